// SPDX-License-Identifier: Apache-2.0
// One damage at a time to a good recording.json, and the sentence that the reader answers.
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "simulator/recording.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

constexpr const char* kGood = R"({"schema":"assay-recording","version":1,"name":"n",
"training_step":7,"token_sampling":"s","provenance":{"text":"t","licence":"l","facts":{"a":"b"}},
"ops":[
{"id":"lin","kind":"linear","class":"expert","inputs":[],"tensors":{"weight":"w"},"layer":0},
{"id":"top","kind":"top_k","class":"router","inputs":["lin"],"tensors":{},"numbers":{"k":1}}],
"tensors":[
{"name":"w","role":"weight","dtype":"F32","shape":[2,4],"shards":[{"file":"f","rank":1}]},
{"name":"c","role":"rows","dtype":"F4","shape":[4],"shards":[{"file":"f"}]}]})";

struct Damage {
  const char* name;
  const char* find;
  const char* put;
  const char* says;  ///< after "file: "; a beginning
};
void PrintTo(const Damage& damage, std::ostream* stream) { *stream << damage.name; }

class HostileRecording : public testing::TestWithParam<Damage> {};

TEST_P(HostileRecording, IsRefusedInOneSentence) {
  const Damage& damage = GetParam();
  std::string json = kGood;
  const auto at = json.find(damage.find);
  ASSERT_NE(at, std::string::npos) << "the case does not apply";
  json.replace(at, std::string_view(damage.find).size(), damage.put);
  const std::string message =
      message_of<InputError>([&] { parse_recording(json, "r/recording.json"); });
  EXPECT_EQ(message.rfind(std::string("r/recording.json: ") + damage.says, 0), 0U) << message;
  EXPECT_EQ(message.back(), '.') << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

const Damage kDamages[] = {
    {"Truncated", R"("shards":[{"file":"f"}]}]})", "", "the recording is not valid JSON ("},
    {"NotUtf8", R"("name":"n")", "\"name\":\"\xC3\x28\"", "the recording is not valid JSON ("},
    {"DoubleKey", R"("training_step":7)", R"("version":1)",
     "the recording has the key \"version\" twice."},
    {"Deep", R"("numbers":{"k":1})",
     R"("x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]])",
     "the recording is nested too deeply."},
    {"OtherSchema", "assay-recording", "else", "the recording has another schema than"},
    {"NewerVersion", R"("version":1)", R"("version":2)",
     "the recording has schema version 2, this program reads version 1."},
    {"VersionText", R"("version":1)", R"("version":"1")",
     "the recording has a \"version\" that is not a 64-bit integer."},
    {"NoName", R"("name":"n",)", "", "the recording has no \"name\"."},
    {"StepTooLarge", R"("training_step":7)", R"("training_step":9223372036854775808)",
     "the recording has a \"training_step\" that is not a 64-bit integer."},
    {"StepFraction", R"("training_step":7)", R"("training_step":7.5)",
     "the recording has a \"training_step\" that is not a 64-bit integer."},
    {"NoLicence", R"("licence":"l",)", "", "the provenance has no \"licence\"."},
    {"FactNumber", R"("a":"b")", R"("a":1)", "the provenance has \"a\" that is not a string."},
    {"FactsList", R"("facts":{"a":"b"})", R"("facts":[])",
     "the provenance has a \"facts\" that is not an object."},
    {"OpNotObject", R"("ops":[)", R"("ops":[1,)", "an op is not an object."},
    {"OpKind", R"("kind":"linear")", R"("kind":"conv")",
     "op \"lin\" has the unknown word \"conv\"."},
    {"OpTwice", R"("id":"top")", R"("id":"lin")", "the recording has the op \"lin\" twice."},
    {"OpReadsLater", R"("inputs":[])", R"("inputs":["top"])",
     "op \"lin\" has an input that is no op before it: \"top\"."},
    {"OpReadsItself", R"("inputs":[])", R"("inputs":["lin"])",
     "op \"lin\" has an input that is no op before it: \"lin\"."},
    {"OpReadsNumber", R"("inputs":[])", R"("inputs":[3])",
     "op \"lin\" has an input that is no op before it: 3."},
    {"OpTensorMissing", R"({"weight":"w"})", R"({"weight":"v"})",
     "op \"lin\" names the tensor \"v\", which is not listed."},
    {"OpRole", R"({"weight":"w"})", R"({"wait":"w"})", "op \"lin\" has the unknown word \"wait\"."},
    {"LayerRange", R"("layer":0)", R"("layer":-2)", "op \"lin\" has a \"layer\" out of range."},
    {"LayerHuge", R"("layer":0)", R"("layer":1000000001)",
     "op \"lin\" has a \"layer\" out of range."},
    {"NumberText", R"("k":1)", R"("k":"1")", "op \"top\" has \"k\" that is not a number."},
    {"NumberInfinite", R"("k":1)", R"("k":1e999)", "the recording is not valid JSON ("},
    {"NumbersList", R"({"k":1})", "[1]", "op \"top\" has \"numbers\" that are not an object."},
    {"TensorTwice", R"("name":"c")", R"("name":"w")", "the recording has the tensor \"w\" twice."},
    {"TensorRole", R"("role":"rows")", R"("role":"row")",
     "tensor \"c\" has the unknown word \"row\"."},
    {"TensorDtype", R"("dtype":"F4")", R"("dtype":"F5")",
     "tensor \"c\" has the unknown dtype \"F5\"."},
    {"ExtentNegative", "[2,4]", "[-2,4]",
     "tensor \"w\" has a \"shape\" with something else than natural numbers."},
    {"ExtentsOverflow", "[2,4]", "[4294967296,4294967296]",
     "tensor \"w\" of shape 4294967296x4294967296 is too large or ends inside a byte."},
    {"OverflowBehindZero", "[2,4]", "[0,9223372036854775807,9223372036854775807]",
     "tensor \"w\" of shape 0x9223372036854775807x9223372036854775807 is too large"},
    {"EndsInsideAByte", R"("shape":[4])", R"("shape":[3])",
     "tensor \"c\" of shape 3 is too large or ends inside a byte."},
    {"NoShards", R"("shards":[{"file":"f"}])", R"("shards":[])", "tensor \"c\" has no shard."},
    {"FileAbove", R"([{"file":"f"}])", R"([{"file":"../f"}])",
     "a shard of tensor \"c\" names the file \"../f\" outside the recording's folder."},
    {"FileAboveInside", R"([{"file":"f"}])", R"([{"file":"a/../../f"}])",
     "a shard of tensor \"c\" names the file \"a/../../f\" outside"},
    {"FileAbsolute", R"([{"file":"f"}])", R"([{"file":"/etc/passwd"}])",
     "a shard of tensor \"c\" names the file \"/etc/passwd\" outside"},
    {"FileEmpty", R"([{"file":"f"}])", R"([{"file":""}])",
     "a shard of tensor \"c\" names the file \"\" outside"},
    {"FileWithNul", R"([{"file":"f"}])", R"([{"file":"f\u0000g"}])",
     "a shard of tensor \"c\" names the file \"f\\x00g\" outside"},
    {"WordOnTwoLines", R"("kind":"linear")", R"("kind":"li\near")",
     "op \"lin\" has the unknown word \"li\\x0aear\"."},
    {"ShardRank", R"("rank":1)", R"("rank":1.5)",
     "a shard of tensor \"w\" has a \"rank\" that is not a 64-bit integer."},
    {"ShardOutside", R"("rank":1)", R"("offset":[1,0])",
     "tensor \"w\" has a shard of shape 2x4 at 1x0 that is not inside 2x4."},
    {"ShardOffsetWraps", R"("rank":1)", R"("offset":[9223372036854775807,0])",
     "tensor \"w\" has a shard of shape 2x4 at 9223372036854775807x0 that is not inside 2x4."},
    {"ShardOtherRank", R"("rank":1)", R"("offset":[0])",
     "tensor \"w\" has a shard of shape 2x4 at 0 that is not inside 2x4."},
    {"ShardsIncomplete", R"("rank":1)", R"("shape":[1,4])",
     "tensor \"w\" has shards with 4 of its 8 elements."},
};
INSTANTIATE_TEST_SUITE_P(EachDamage, HostileRecording, testing::ValuesIn(kDamages),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(HostileRecordings, TheUndamagedOneIsRead) {
  const RecordingHeader header = parse_recording(kGood, "r/recording.json");
  EXPECT_EQ(header.ops.size(), 2U);
  EXPECT_EQ(header.tensors.at(0).shards.at(0).rank, 1);
}

constexpr const char* kFull = R"({"schema":"assay-recording","version":1,"name":"full",
"training_step":9,"token_sampling":"s","provenance":{"text":"t","licence":"l","facts":{"a":"b"}},
"ops":[
{"id":"e","kind":"embedding","class":"embedding","inputs":[],"tensors":{}},
{"id":"lin","kind":"linear","class":"expert","inputs":["e"],"tensors":{"weight":"w","rows":"c"},
 "layer":3,"expert":5,"numbers":{"x":0.5,"y":-2}}],
"tensors":[
{"name":"w","role":"weight","dtype":"BF16","shape":[2,4],"shards":[
 {"file":"f","key":"other","shape":[1,4],"offset":[0,0],"rank":1,"microbatch":2},
 {"file":"g","shape":[1,4],"offset":[1,0]}]},
{"name":"c","role":"rows","dtype":"I64","shape":[4],"shards":[{"file":"f"}]}]})";

TEST(Recordings, EveryMemberIsRead) {
  const RecordingHeader h = parse_recording(kFull, "r");
  EXPECT_EQ(h.name, "full");
  EXPECT_EQ(h.training_step, 9);
  EXPECT_EQ(h.token_sampling, "s");
  EXPECT_EQ(h.provenance, (Provenance{"t", "l", {{"a", "b"}}}));
  ASSERT_EQ(h.ops.size(), 2U);
  EXPECT_EQ(h.ops[0], (Op{"e", OpKind::embedding, "embedding", -1, -1, {}, {}, {}}));
  EXPECT_EQ(h.ops[1], (Op{"lin",
                          OpKind::linear,
                          "expert",
                          3,
                          5,
                          {"e"},
                          {{Role::weight, "w"}, {Role::rows, "c"}},
                          {{"x", 0.5}, {"y", -2}}}));
  ASSERT_EQ(h.tensors.size(), 2U);
  EXPECT_EQ(
      h.tensors[0],
      (TensorEntry{"w",
                   Role::weight,
                   Dtype::bf16,
                   {2, 4},
                   {{"f", "other", {0, 0}, {1, 4}, 1, 2}, {"g", "w", {1, 0}, {1, 4}, 0, 0}}}));
  EXPECT_EQ(h.tensors[1],
            (TensorEntry{"c", Role::rows, Dtype::i64, {4}, {{"f", "c", {0}, {4}, 0, 0}}}));
}

TEST(Recordings, WhatIsWrittenIsReadBack) {
  for (const char* text : {kGood, kFull}) {
    const RecordingHeader header = parse_recording(text, "r");
    EXPECT_EQ(parse_recording(to_json(header), "r"), header);
    EXPECT_EQ(to_json(parse_recording(to_json(header), "r")), to_json(header));
  }
}

TEST(Recordings, LimitsOfLayersAreInside) {
  for (const char* layer : {"-1", "1000000000"}) {
    std::string json = kGood;
    json.replace(json.find("\"layer\":0"), 9, std::string("\"layer\":") + layer);
    EXPECT_EQ(parse_recording(json, "r").ops[0].layer, std::stoi(layer));
  }
}

TEST(HostileRecordings, MoreShardsThanCanBeComparedAreRefused) {
  RecordingHeader header;
  header.tensors.push_back({"w", Role::weight, Dtype::f32, {4097}, {}});
  for (int i = 0; i < 4097; ++i) header.tensors[0].shards.push_back({"f", "w", {i}, {1}, 0, 0});
  const std::string message =
      message_of<InputError>([&] { parse_recording(to_json(header), "r"); });
  EXPECT_EQ(message, "r: tensor \"w\" has more than 4096 shards.");
}

TEST(HostileRecordings, AbsentFilesAreNamed) {
  const ScratchFolder folder;
  const auto open = [&] { Recording::open(folder.path()); };
  EXPECT_NE(message_of<InputError>(open).find((folder / "recording.json").string()),
            std::string::npos);
  folder.put("recording.json", kGood);
  EXPECT_NE(message_of<InputError>(open).find((folder / "f").string()), std::string::npos);
}

}  // namespace
}  // namespace assay::simulator
