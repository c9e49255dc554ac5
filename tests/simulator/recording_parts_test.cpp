// SPDX-License-Identifier: Apache-2.0
// Parts of several ranks read as one recording, and every way in which they do not belong together.
#include "simulator/recording_parts.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

/// Two ranks: rows of "w" are cut, "n" is on both, each has an op of its own stage and one in
/// common.
RecordingHeader part(int rank) {
  RecordingHeader h;
  h.name = "run";
  h.training_step = 7;
  h.provenance = {"text", "licence", {}};
  h.part = {rank, 2, rank, "a"};
  const std::string file = "rank-" + std::to_string(rank) + ".safetensors";
  h.tensors.push_back(
      {"w", Role::weight, Dtype::f32, {4, 3}, {{file, "w", {2 * rank, 0}, {2, 3}, rank, 0}}});
  h.tensors.push_back({"n", Role::norm_weight, Dtype::f32, {3}, {{file, "n", {0}, {3}, rank, 0}}});
  Op linear{"linear", OpKind::linear, "dense", -1, -1, {}, {{Role::weight, "w"}}, {}};
  Op own{"norm-" + std::to_string(rank), OpKind::rmsnorm, "norm", -1, -1, {}, {}, {}};
  own.tensors[Role::norm_weight] = "n";
  own.inputs = {rank == 0 ? "linear" : "norm-0"};
  if (rank == 0) h.ops = {linear};
  h.ops.push_back(own);
  h.files = {{file, 100, std::string(64, 'a')}};
  return h;
}

const std::vector<std::string> kNames{"f/part-00000-of-00002.json", "f/part-00001-of-00002.json"};

TEST(RecordingParts, APartIsWhatItsJsonSays) {
  for (int rank = 0; rank < 2; ++rank)
    EXPECT_EQ(parse_recording(to_json(part(rank)), "p"), part(rank));
}

TEST(RecordingParts, TwoRanksAreOneRecording) {
  for (const bool swapped : {false, true}) {  // the order of files is no matter, that of stages is
    std::vector<RecordingHeader> parts{part(0), part(1)};
    if (swapped) std::swap(parts[0], parts[1]);
    const RecordingHeader h = merge_parts(parts, kNames);
    ASSERT_EQ(h.ops.size(), 3U);
    EXPECT_EQ(h.ops[2].id, "norm-1");
    ASSERT_EQ(h.tensors.size(), 2U);
    EXPECT_EQ(h.tensors[0].shards.size(), 2U);
    EXPECT_EQ(h.files.size(), 2U);
    EXPECT_EQ(h.part, RecordedPart{});
    EXPECT_EQ(parse_recording(to_json(h), "whole"), h) << "what is merged is a recording";
  }
}

struct BadParts {
  const char* name;
  void (*spoil)(std::vector<RecordingHeader>&);
  const char* says;
};
class RefusedParts : public ::testing::TestWithParam<BadParts> {};

TEST_P(RefusedParts, WithOneSentence) {
  std::vector<RecordingHeader> parts{part(0), part(1)};
  GetParam().spoil(parts);
  try {
    (void)merge_parts(parts, {kNames.begin(), kNames.begin() + static_cast<long>(parts.size())});
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find(GetParam().says), std::string::npos) << e.what();
    EXPECT_EQ(std::string(e.what()).back(), '.');
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedParts,
    ::testing::Values(
        BadParts{"Missing", [](auto& p) { p.pop_back(); }, "rank 1 of 2 has left no part"},
        BadParts{"Twice", [](auto& p) { p[1].part.rank = 0; }, "a second part of rank 0"},
        BadParts{"AnotherRun", [](auto& p) { p[1].part.run = "b"; }, "of another run"},
        BadParts{"AnotherStep", [](auto& p) { p[1].training_step = 8; }, "training step"},
        BadParts{"AnotherType", [](auto& p) { p[1].tensors[0].dtype = Dtype::bf16; },
                 "another role, type or shape"},
        BadParts{"AnotherShape",
                 [](auto& p) {
                   p[1].tensors[0].shape = {4, 4};
                 },
                 "another role, type or shape"},
        BadParts{"AHole",
                 [](auto& p) {
                   p[1].tensors[0].shards[0].offset = {3, 0};
                   p[1].tensors[0].shards[0].shape = {1, 3};
                 },
                 "9 of its 12 elements"},
        BadParts{"AnOverlap",
                 [](auto& p) {
                   p[1].tensors[0].shards[0].offset = {1, 0};
                 },
                 "overlap"},
        BadParts{"AnotherOp",
                 [](auto& p) {
                   p[1].ops[0] = p[0].ops[1];
                   p[1].ops[0].numbers["eps"] = 1;
                 },
                 "differs from that of other ranks"},
        BadParts{"StagesReversed", [](auto& p) { p[0].part.stage = 5; }, "number the stages"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(RecordingParts, AFolderOfPartsWithoutOneIsRefused) {
  const ScratchFolder folder;
  std::ofstream(folder.path() / "part-00001-of-00002.json") << to_json(part(1));
  EXPECT_EQ(recording_parts(folder.path()).size(), 1U);
  try {
    (void)Recording::open(folder.path());
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("rank 0 of 2 has left no part"), std::string::npos);
  }
}

}  // namespace
}  // namespace assay::simulator
