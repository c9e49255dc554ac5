// SPDX-License-Identifier: Apache-2.0
// Recipes are data: every shipped file parses and cites a source, the schedule decides what holds
// at a step, and a bad file is refused with one sentence that names the place.
#include "simulator/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "golden/estimator.h"
#include "simulator/input_error.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

constexpr std::int64_t end_of_training = std::numeric_limits<std::int64_t>::max();

TEST(Recipe, EveryShippedRecipeParsesAndCitesASource) {
  ASSERT_EQ(recipe_names().size(), 13U);
  for (const auto name : recipe_names()) {
    const Recipe recipe = load_recipe(std::string(name));
    EXPECT_EQ(recipe.name, name);
    EXPECT_FALSE(recipe.source.empty());
    EXPECT_FALSE(recipe.summary.empty());
  }
}

TEST(Recipe, RouterStaysInHighPrecisionEverywhere) {
  for (const auto name : recipe_names()) {
    const auto t =
        load_recipe(std::string(name)).treatment(TensorClass::router, -1, end_of_training);
    EXPECT_EQ(t.weight.format_name(), "bf16") << name;
  }
}

TEST(Recipe, DeepSeekV4IsWhatThePaperSays) {
  const Recipe recipe = load_recipe("deepseek-v4");
  const auto expert = recipe.treatment(TensorClass::expert, 3, end_of_training);
  ASSERT_TRUE(expert.weight.block && expert.weight.reencode && expert.activation.block);
  EXPECT_EQ(expert.weight.block->element, &formats::e2m1);
  EXPECT_EQ(expert.weight.block->scale, &formats::e8m0);
  EXPECT_EQ(expert.weight.block->rule, formats::ScaleRule::rceil);
  EXPECT_EQ(expert.weight.block->block.cols, 32);
  EXPECT_EQ(expert.weight.reencode->element, &formats::e4m3);
  EXPECT_EQ(expert.activation.block->block.cols, 128);
  EXPECT_EQ(expert.ste, SteKind::identity);
  EXPECT_EQ(recipe.master, &formats::fp32);
  EXPECT_EQ(recipe.treatment(TensorClass::attention, -1, 0).weight.block->element, &formats::e4m3);
}

TEST(Recipe, ArticleQuantizesExpertsFirstThenAttention) {
  const Recipe recipe = load_recipe("article");
  EXPECT_EQ(recipe.treatment(TensorClass::expert, 0, 999).weight.format_name(), "bf16");
  EXPECT_EQ(recipe.treatment(TensorClass::expert, 0, 1000).weight.format_name(), "article");
  EXPECT_EQ(recipe.treatment(TensorClass::attention, -1, 1000).weight.format_name(), "bf16");
  const auto late = recipe.treatment(TensorClass::attention, -1, 3000);
  EXPECT_EQ(late.weight.format_name(), "article-attention");
  EXPECT_EQ(late.weight.block->block.cols, 16);
  EXPECT_EQ(late.weight.scales, ScaleSource::least_squares);
  EXPECT_EQ(recipe.master, &formats::bf16);
  EXPECT_EQ(recipe.loss_scaling.kind, "dynamic");
}

TEST(Recipe, PresetsOfTheIssueAreThere) {
  for (const char* name : {"bf16", "fp8-ptq", "fp8-deepseek-v3", "deepseek-v4", "article",
                           "nvfp4-pretraining", "nvfp4-w4a4", "mxfp4-w4a4", "w4a16", "fp4-rtn"})
    EXPECT_EQ(load_recipe(name).name, name);
}

TEST(Recipe, NvfpPretrainingIsWhatThePaperSays) {
  const Recipe recipe = load_recipe("nvfp4-pretraining");
  const auto t = recipe.treatment(TensorClass::expert, 0, 0);
  EXPECT_EQ(t.weight.block->block.rows, 16);
  EXPECT_EQ(t.weight.block->block.cols, 16);
  EXPECT_EQ(t.activation.block->block.rows, 1);
  EXPECT_EQ(t.activation.rounding, formats::RoundingMode::nearest_even);
  EXPECT_EQ(t.gradient.rounding, formats::RoundingMode::stochastic);
  EXPECT_EQ(t.gradient.hadamard, 0) << "the transform is of the weight gradient's operands only";
  ASSERT_TRUE(t.wgrad_input && t.wgrad_gradient);
  for (const OperandFormat& operand : {*t.wgrad_input, *t.wgrad_gradient}) {
    EXPECT_EQ(operand.hadamard, 16);
    EXPECT_TRUE(operand.random_signs);
    EXPECT_EQ(operand.block->block.rows, 16) << "k of that product are the tokens";
    EXPECT_EQ(operand.block->block.cols, 1);
  }
  EXPECT_EQ(t.wgrad_input->rounding, formats::RoundingMode::nearest_even);
  EXPECT_EQ(t.wgrad_gradient->rounding, formats::RoundingMode::stochastic);
  EXPECT_EQ(t.ste, SteKind::identity);
}

TEST(Recipe, KeptLayersAreInHighPrecision) {
  auto text = nlohmann::json::parse(recipe_json("nvfp4-pretraining"));
  text["high_precision_layers"] = {{"first", 0.03}, {"last", 0.129}};
  const Recipe recipe = parse_recipe(text.dump(), "test");
  for (int layer = 0; layer < 62; ++layer) {
    const bool kept = layer < 2 || layer >= 54;  // the first two and the last eight of 62
    const auto t = recipe.treatment(TensorClass::attention, -1, 0, {layer, 62});
    EXPECT_EQ(t.weight.format_name(), kept ? "bf16" : "nvfp4-pretraining") << layer;
    EXPECT_EQ(t.wgrad_input.has_value(), !kept);
  }
  EXPECT_EQ(recipe.treatment(TensorClass::attention, -1, 0).weight.format_name(),
            "nvfp4-pretraining");
}

TEST(Recipe, DeepSeekSaysWhatTheOptimizerHolds) {
  const Recipe recipe = load_recipe("fp8-deepseek-v3");
  EXPECT_EQ(recipe.master, &formats::fp32);
  EXPECT_EQ(recipe.moments, &formats::bf16);
  EXPECT_EQ(recipe.weight_gradient, &formats::fp32);
  const auto indexer = load_recipe("deepseek-v4").treatment(TensorClass::indexer, -1, 0);
  EXPECT_EQ(indexer.activation.hadamard, 128);
  EXPECT_EQ(indexer.activation.block->element, &formats::e2m1);
}

TEST(Recipe, AScheduleMayNameSomeExperts) {
  auto text = nlohmann::json::parse(recipe_json("nvfp4"));
  text["schedule"] = {
      {{"step", 10}, {"class", "expert"}, {"experts", {1, 2}}, {"weight", "nvfp4"}}};
  const Recipe recipe = parse_recipe(text.dump(), "test");
  EXPECT_EQ(recipe.treatment(TensorClass::expert, 1, 9).weight.format_name(), "bf16");
  EXPECT_EQ(recipe.treatment(TensorClass::expert, 1, 10).weight.format_name(), "nvfp4");
  // Expert 0 is not scheduled: what its class declares holds from the start.
  EXPECT_EQ(recipe.treatment(TensorClass::expert, 0, 9).weight.format_name(), "nvfp4");
}

TEST(Recipe, AnOperandMayChangeTheBlockShape) {
  auto text = nlohmann::json::parse(recipe_json("nvfp4"));
  text["classes"][0]["weight"] = {{"format", "nvfp4"}, {"block", {16, 16}}};
  const auto t = parse_recipe(text.dump(), "test").treatment(TensorClass::expert, 0, 0);
  EXPECT_EQ(t.weight.block->block.rows, 16);
  EXPECT_EQ(t.weight.block->element, &formats::e2m1);
}

struct BadRecipe {
  const char* name;
  void (*spoil)(nlohmann::json&);
  const char* says;
};

class BadRecipes : public ::testing::TestWithParam<BadRecipe> {};

TEST_P(BadRecipes, AreRefusedWithOneSentence) {
  auto text = nlohmann::json::parse(recipe_json("article"));
  GetParam().spoil(text);
  try {
    (void)parse_recipe(text.dump(), "bad.json");
    FAIL() << "accepted";
  } catch (const InputError& e) {
    const std::string message = e.what();
    EXPECT_NE(message.find("bad.json"), std::string::npos) << message;
    EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
    EXPECT_EQ(message.back(), '.');
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRecipes,
    ::testing::Values(
        BadRecipe{"Version", [](nlohmann::json& j) { j["schema_version"] = 2; }, "must be 1"},
        BadRecipe{
            "UnknownReencode",
            [](nlohmann::json& j) {
              j["classes"][0]["activation"] = {{"format", "deepseek-v4"}, {"reencode", "fp8-x"}};
            },
            "unknown block format"},
        BadRecipe{"ReencodeOfFp32Scales",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"},
                                                     {"reencode", "fp8-deepseek-v4"}};
                  },
                  "e8m0 scales"},
        BadRecipe{
            "ReencodeOfACast",
            [](nlohmann::json& j) {
              j["classes"][0]["activation"] = {{"format", "bf16"}, {"reencode", "fp8-deepseek-v4"}};
            },
            "e8m0 scales"},
        BadRecipe{"RandomBitsTooMany",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {
                        {"format", "nvfp4"}, {"rounding", "stochastic"}, {"random_bits", 17}};
                  },
                  "must lie in"},
        BadRecipe{"RandomBitsNone",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {
                        {"format", "nvfp4"}, {"rounding", "stochastic"}, {"random_bits", 0}};
                  },
                  "must lie in"},
        BadRecipe{"RandomBitsWithoutNeed",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"random_bits", 4}};
                  },
                  "exactly when its rounding is stochastic"},
        BadRecipe{"UnknownRounding",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"rounding", "up"}};
                  },
                  "unknown rounding mode"},
        BadRecipe{"OneSidedBlock",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"block", {16}}};
                  },
                  "[rows, columns]"},
        BadRecipe{"NegativeBlock",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"block", {1, -1}}};
                  },
                  "must lie in"},
        BadRecipe{"HadamardOfThree",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"hadamard", 12}};
                  },
                  "power of two"},
        BadRecipe{"SignsAlone",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"signs", "random"}};
                  },
                  "needs \"hadamard\""},
        BadRecipe{"HadamardAndReencode",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "deepseek-v4"},
                                                     {"hadamard", 16},
                                                     {"reencode", "fp8-deepseek-v4"}};
                  },
                  "does not go with"},
        BadRecipe{"ShareOfLayers",
                  [](nlohmann::json& j) {
                    j["high_precision_layers"] = {{"last", 2}};
                  },
                  "a share of the layers"},
        BadRecipe{"UnknownMoments", [](nlohmann::json& j) { j["moments"] = "nvfp4"; },
                  "not a format"},
        BadRecipe{"UnknownScales",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"scales", "x"}};
                  },
                  "known: rule"},
        BadRecipe{
            "ScalesWithoutNeed",
            [](nlohmann::json& j) {
              j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"scales", "least_squares"}};
            },
            "no scale rule"},
        BadRecipe{"UnknownOperandKey",
                  [](nlohmann::json& j) {
                    j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"bits", 4}};
                  },
                  "unknown key \"bits\""},
        BadRecipe{"Fp32WithFractionBits",
                  [](nlohmann::json& j) {
                    j["classes"][0]["accumulator"] = {{"kind", "fp32"}, {"fraction_bits", 13}};
                  },
                  "exactly when its kind is truncating"},
        BadRecipe{"TruncatingWithout",
                  [](nlohmann::json& j) {
                    j["classes"][0]["accumulator"] = {{"kind", "truncating"}};
                  },
                  "exactly when its kind is truncating"},
        BadRecipe{"FractionBitsNone",
                  [](nlohmann::json& j) {
                    j["classes"][0]["accumulator"] = {{"kind", "truncating"}, {"fraction_bits", 0}};
                  },
                  "must lie in"},
        BadRecipe{
            "FractionBitsTooMany",
            [](nlohmann::json& j) {
              j["classes"][0]["accumulator"] = {{"kind", "truncating"}, {"fraction_bits", 53}};
            },
            "must lie in"},
        BadRecipe{"UnknownSte", [](nlohmann::json& j) { j["classes"][0]["ste"] = "x"; },
                  "known: identity"},
        BadRecipe{"SteNumber", [](nlohmann::json& j) { j["classes"][0]["ste"] = 1; },
                  "must be an object"},
        BadRecipe{"SteOfUnknownKind",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "pakt"}};
                  },
                  "known: identity, clip_mask, lsq, pact, ewgs, dge, trust_mask"},
        BadRecipe{"SteWithoutKind",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"parameter", 1}};
                  },
                  "lacks the key \"kind\""},
        BadRecipe{"SteUnknownKey",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "ewgs"}, {"delta", 1}};
                  },
                  "unknown key \"delta\""},
        BadRecipe{"EwgsByName", [](nlohmann::json& j) { j["classes"][0]["ste"] = "ewgs"; },
                  "exactly for ewgs"},
        BadRecipe{"TrustMaskWithoutT",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "trust_mask"}};
                  },
                  "exactly for ewgs"},
        BadRecipe{"PactWithParameter",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "pact"}, {"parameter", 1}};
                  },
                  "exactly for ewgs"},
        BadRecipe{"NegativeParameter",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "ewgs"}, {"parameter", -0.5}};
                  },
                  "at least 0"},
        BadRecipe{"ParameterBeyondFp32",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "ewgs"}, {"parameter", 1e39}};
                  },
                  "at least 0"},
        BadRecipe{"ParameterText",
                  [](nlohmann::json& j) {
                    j["classes"][0]["ste"] = {{"kind", "ewgs"}, {"parameter", "1"}};
                  },
                  "at least 0"},
        BadRecipe{"PackedBlock", [](nlohmann::json& j) { j["high_precision"] = "q4_0"; },
                  "packed block q4_0"},
        BadRecipe{
            "ReencodeSuggestsShortNames",
            [](nlohmann::json& j) {
              j["classes"][0]["activation"] = {{"format", "mxfp4-floor"}, {"reencode", "mxfp88"}};
            },
            "did you mean 'mxfp8'"},
        BadRecipe{"UnknownMaster", [](nlohmann::json& j) { j["master"] = "nvfp4"; },
                  "not a format"},
        BadRecipe{"ScalingNotPositive", [](nlohmann::json& j) { j["loss_scaling"]["initial"] = 0; },
                  "must be positive"},
        BadRecipe{"ScalingText", [](nlohmann::json& j) { j["loss_scaling"]["initial"] = "1"; },
                  "must be positive"},
        BadRecipe{"ScalingInterval",
                  [](nlohmann::json& j) { j["loss_scaling"]["growth_interval"] = 0; },
                  "must lie in"},
        BadRecipe{"ScheduleExperts", [](nlohmann::json& j) { j["schedule"][0]["experts"] = {-1}; },
                  "must lie in"},
        BadRecipe{"NameNumber", [](nlohmann::json& j) { j["name"] = 3; }, "must be"},
        BadRecipe{"NoteNumber", [](nlohmann::json& j) { j["notes"] = {1}; }, "must be"},
        BadRecipe{"MissingKey", [](nlohmann::json& j) { j.erase("source"); },
                  "lacks the key \"source\""},
        BadRecipe{"UnknownKey", [](nlohmann::json& j) { j["clases"] = 1; },
                  "unknown key \"clases\""},
        BadRecipe{"UnknownFormat", [](nlohmann::json& j) { j["high_precision"] = "fp5"; },
                  "unknown format"},
        BadRecipe{"UnknownClass", [](nlohmann::json& j) { j["classes"][0]["class"] = "mlp"; },
                  "known: attention"},
        BadRecipe{"ClassTwice", [](nlohmann::json& j) { j["classes"][1]["class"] = "attention"; },
                  "appears twice"},
        BadRecipe{
            "RandomBits",
            [](nlohmann::json& j) {
              j["classes"][0]["activation"] = {{"format", "nvfp4"}, {"rounding", "stochastic"}};
            },
            "random_bits"},
        BadRecipe{"LearnedWithoutScales",
                  [](nlohmann::json& j) { j["classes"][0]["weight"] = "article"; },
                  "least_squares"},
        BadRecipe{"ScheduleOrder", [](nlohmann::json& j) { j["schedule"][1]["step"] = 1; },
                  "sort the schedule"},
        BadRecipe{"NegativeStep", [](nlohmann::json& j) { j["schedule"][0]["step"] = -1; },
                  "must lie in"},
        BadRecipe{"Fraction", [](nlohmann::json& j) { j["schedule"][0]["step"] = 1.5; },
                  "must be an integer"},
        BadRecipe{"NotAList", [](nlohmann::json& j) { j["classes"] = 3; }, "must be a list"},
        BadRecipe{"WrongBlock",
                  [](nlohmann::json& j) {
                    j["high_precision"] = {{"format", "bf16"}, {"block", {1, 16}}};
                  },
                  "block format"}),
    [](const auto& info) { return info.param.name; });

TEST(Recipe, EveryMemberIsRead) {
  const Recipe r = parse_recipe(R"({"schema_version":1,"name":"n","summary":"s","source":"o",
    "notes":["a","b"],"high_precision":"fp16","master":"fp16",
    "classes":[{"class":"dense","weight":{"format":"nvfp4","rounding":"stochastic","random_bits":16},
      "activation":"mxfp4-floor","gradient":{"format":"e4m3","rounding":"toward_zero"},"ste":"lsq",
      "accumulator":{"kind":"truncating","fraction_bits":52,"promotion":1048576}}],
    "loss_scaling":{"kind":"dynamic","initial":1024,"growth_interval":200},
    "schedule":[{"step":5,"class":"dense","weight":"nvfp4","experts":[0,1048576]},
                {"step":5,"class":"head","weight":"nvfp4","experts":"all"}]})",
                                "test");
  EXPECT_EQ(r.name, "n");
  EXPECT_EQ(r.summary, "s");
  EXPECT_EQ(r.source, "o");
  EXPECT_EQ(r.notes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.high_precision.element, &formats::fp16);
  EXPECT_EQ(r.master, &formats::fp16);
  const auto& dense = r.classes.at(static_cast<std::size_t>(TensorClass::dense));
  ASSERT_TRUE(dense);
  EXPECT_EQ(dense->weight.format_name(), "nvfp4");
  EXPECT_EQ(dense->weight.rounding, formats::RoundingMode::stochastic);
  EXPECT_EQ(dense->weight.random_bits, 16);
  EXPECT_EQ(dense->activation.format_name(), "mxfp4-floor");
  EXPECT_EQ(dense->gradient.element, &formats::e4m3);
  EXPECT_EQ(dense->gradient.rounding, formats::RoundingMode::toward_zero);
  EXPECT_EQ(dense->ste, SteKind::lsq);
  EXPECT_EQ(dense->accumulator.kind, "truncating");
  EXPECT_EQ(dense->accumulator.fraction_bits, 52);
  EXPECT_EQ(dense->accumulator.promotion, 1048576);
  EXPECT_EQ(r.loss_scaling.kind, "dynamic");
  EXPECT_EQ(r.loss_scaling.initial, 1024);
  EXPECT_EQ(r.loss_scaling.growth_interval, 200);
  // Any positive number: growth and halving pass through 1.
  auto low = nlohmann::json::parse(recipe_json("article"));
  low["loss_scaling"] = {{"kind", "dynamic"}, {"initial", 0.5}, {"growth_interval", 200}};
  EXPECT_EQ(parse_recipe(low.dump(), "test").loss_scaling.initial, 0.5);
  ASSERT_EQ(r.schedule.size(), 2U);
  EXPECT_EQ(r.schedule[0].step, 5);
  EXPECT_EQ(r.schedule[0].experts, (std::vector<int>{0, 1048576}));
  EXPECT_TRUE(r.schedule[1].experts.empty());
  EXPECT_EQ(r.schedule[1].tensor_class, TensorClass::head);
  // What a class leaves out is in high precision, identity, FP32.
  const Treatment other = r.treatment(TensorClass::expert, 0, 0);
  EXPECT_EQ(other.weight.element, &formats::fp16);
  EXPECT_EQ(other.gradient.element, &formats::fp16);
  EXPECT_EQ(other.ste, SteKind::identity);
  EXPECT_EQ(other.accumulator.kind, "fp32");
}

TEST(Recipe, EveryEstimatorThatGoldenKnows) {
  const auto ste_of = [](const nlohmann::json& ste) {
    nlohmann::json j = nlohmann::json::parse(recipe_json("nvfp4"));
    j["classes"][0]["ste"] = ste;
    const Recipe recipe = parse_recipe(j.dump(), "test");
    const auto kind = tensor_class(j["classes"][0]["class"].get<std::string>());
    return *recipe.classes.at(static_cast<std::size_t>(kind));
  };
  for (std::size_t i = 0; i < golden::estimator_rules.size(); ++i) {
    const std::string rule(golden::estimator_rules[i].name);
    const bool takes_one = rule == "ewgs" || rule == "trust_mask";
    const Treatment t = takes_one ? ste_of({{"kind", rule}, {"parameter", 0.25}}) : ste_of(rule);
    EXPECT_EQ(static_cast<std::size_t>(t.ste), i);
    EXPECT_EQ(name(t.ste), rule);
    EXPECT_EQ(t.ste_parameter, takes_one ? 0.25F : 0.0F);
  }
  EXPECT_EQ(ste_of({{"kind", "dge"}}).ste, SteKind::dge);
  EXPECT_EQ(ste_of({{"kind", "trust_mask"}, {"parameter", 0}}).ste_parameter, 0.0F);
}

TEST(Recipe, ShortNamesOfBlockFormats) {
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases) {
    nlohmann::json j = nlohmann::json::parse(recipe_json("nvfp4"));
    j["classes"][0]["weight"] = alias.name;
    j["classes"][0]["activation"] = {{"format", alias.name}, {"block", {1, 64}}};
    const Recipe recipe = parse_recipe(j.dump(), "test");
    const auto kind = tensor_class(j["classes"][0]["class"].get<std::string>());
    const Treatment& t = *recipe.classes.at(static_cast<std::size_t>(kind));
    EXPECT_EQ(t.weight.format_name(), alias.format->name);
    EXPECT_EQ(t.weight.element, nullptr);
    EXPECT_EQ(t.activation.block->block.cols, 64);
  }
}

TEST(Recipe, NumbersThatNoDoubleHolds) {
  EXPECT_NE(message_of<InputError>([] {
              (void)parse_recipe(R"({"schema_version": 1e999})", "test");
            }).find("no double holds"),
            std::string::npos);
}

TEST(Recipe, AFileIsReadLikeAnEmbeddedRecipe) {
  const ScratchFolder folder;
  folder.put("mine.json", recipe_json("nvfp4"));
  EXPECT_EQ(load_recipe((folder / "mine.json").string()).name, load_recipe("nvfp4").name);
  EXPECT_NE(message_of<InputError>([&] {
              (void)load_recipe((folder / "none.json").string());
            }).find("neither a known recipe"),
            std::string::npos);
}

TEST(Recipe, UnknownNamesAndBrokenTextAreRefused) {
  EXPECT_THROW((void)load_recipe("no-such-recipe"), InputError);
  EXPECT_THROW((void)parse_recipe("{\"name\": ", "cut.json"), InputError);
  EXPECT_THROW((void)parse_recipe("[]", "list.json"), InputError);
}

}  // namespace
}  // namespace assay::simulator
