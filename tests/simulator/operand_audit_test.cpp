// SPDX-License-Identifier: Apache-2.0
// The streamed figures of operands, held against those that are computed in memory by other code
// (fake_quantize and measure_tensor), for every shape of block and every kind of scale.
#include "simulator/operand_audit.h"

#include <gtest/gtest.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <random>

#include "formats/block.h"
#include "formats/presets.h"
#include "formats/rule_matrix.h"
#include "simulator/bf16_rows.h"
#include "simulator/bf16_statistics.h"
#include "simulator/error_figures.h"
#include "simulator/fake_quantize.h"
#include "simulator/hadamard.h"
#include "simulator/linear_replay.h"
#include "simulator/safetensors.h"
#include "simulator/tile_kernels.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

/// One matrix in memory.
class Held final : public OperandSource {
 public:
  Held(std::int64_t rows, std::int64_t cols, Role role = Role::weight)
      : x_(static_cast<std::size_t>(rows * cols)) {
    name_ = "held";
    layers_ = 4;
    operands_.push_back({"w", "w", role, TensorClass::dense, 1, -1, rows, cols});
    std::mt19937 rng(7);
    std::normal_distribution<float> normal(0, 0.3F);
    for (float& v : x_) v = normal(rng);
    for (std::size_t i = 0; i < x_.size(); i += 97) x_[i] = 0;
    x_[x_.size() / 2] = 9;  // an outlier, so that blocks differ
  }
  std::string identity() const override { return name_; }
  void read(const Operand& o, std::int64_t first, std::int64_t count,
            std::span<float> out) const override {
    std::copy_n(x_.begin() + first * o.cols, count * o.cols, out.begin());
  }
  void prefetch(const Operand& /*operand*/, std::int64_t /*first*/,
                std::int64_t /*count*/) const override {}
  [[nodiscard]] const Operand& operand() const { return operands_[0]; }
  std::vector<float> x_;
};

/// A matrix of BF16 values, given as such or as floats.
class HeldBf16 final : public OperandSource {
 public:
  HeldBf16(std::int64_t rows, std::int64_t cols, const std::vector<std::uint16_t>& bits,
           bool as_bf16)
      : bits_(bits), as_bf16_(as_bf16) {
    name_ = "held";
    layers_ = 4;
    operands_.push_back({"w", "w", Role::weight, TensorClass::dense, 1, -1, rows, cols});
  }
  std::string identity() const override { return name_; }
  void read(const Operand& o, std::int64_t first, std::int64_t count,
            std::span<float> out) const override {
    for (std::int64_t i = 0; i < count * o.cols; ++i)
      out[static_cast<std::size_t>(i)] =
          std::bit_cast<float>(std::uint32_t{bits_[first * o.cols + i]} << 16);
  }
  bool is_bf16(const Operand& /*operand*/) const override { return as_bf16_; }
  std::span<const std::uint16_t> bf16(const Operand& o, std::int64_t first,
                                      std::int64_t count) const override {
    return std::span(bits_).subspan(static_cast<std::size_t>(first * o.cols),
                                    static_cast<std::size_t>(count * o.cols));
  }
  void prefetch(const Operand& /*operand*/, std::int64_t /*first*/,
                std::int64_t /*count*/) const override {}
  [[nodiscard]] const Operand& operand() const { return operands_[0]; }

 private:
  std::vector<std::uint16_t> bits_;
  bool as_bf16_;
};

Recipe with_weight(const OperandFormat& weight) {
  Recipe recipe = load_recipe("bf16");
  recipe.classes.resize(kTensorClassNames.size());
  Treatment t;
  t.weight = weight;
  t.activation = t.gradient = recipe.high_precision;
  recipe.classes[static_cast<std::size_t>(TensorClass::dense)] = t;
  return recipe;
}

TensorReplay in_memory(const Held& held, OperandFormat format) {
  const Operand& o = held.operand();
  std::vector<float> x = held.x_;
  if (format.hadamard > 0) hadamard(x, o.rows, o.cols, format);
  format.hadamard = 0;
  TensorReplay t;
  t.rows = o.rows;
  t.cols = o.cols;
  measure_tensor(x, fake_quantize(x, o.rows, o.cols, format, tensor_seed(1, o.tensor)), format, t);
  return t;
}

void expect_equal(const TensorReplay& a, const TensorReplay& b, const std::string& what) {
  // Sums of n terms of one sign in two orders are at most n 2^-53 < 1e-9 apart, relatively, for the
  // n < 2^20 here, and so is the gain. The noise is streamed as mse - (1 - a)^2: an error of the
  // mse's own, and 2 |1 - a| times that of a.
  const double noise = 1e-9 * b.error.relative_mse + 2e-9 * std::fabs(1 - b.error.gain);
  EXPECT_NEAR(a.error.gain, b.error.gain, 1e-9) << what;
  EXPECT_NEAR(a.error.relative_mse, b.error.relative_mse, 1e-9 * b.error.relative_mse) << what;
  EXPECT_NEAR(a.error.nsr, b.error.nsr, noise) << what;
  EXPECT_NEAR(a.worst_block_error, b.worst_block_error, 1e-9 * b.worst_block_error) << what;
  EXPECT_EQ(a.worst_block, b.worst_block) << what;
  EXPECT_EQ(a.clipped, b.clipped) << what;
  EXPECT_EQ(a.flushed, b.flushed) << what;
  EXPECT_EQ(a.codes, b.codes) << what;
  EXPECT_EQ(a.reencode_changed, b.reencode_changed) << what;
}

OperandFormat block_operand(std::string_view name) {
  OperandFormat format;
  format.block = formats::find_block_format(name);
  if (format.block->rule == formats::ScaleRule::given) format.scales = ScaleSource::least_squares;
  return format;
}

std::vector<OperandFormat> formats_to_try() {
  std::vector<OperandFormat> all;
  for (const char* name :
       {"nvfp4", "nvfp4-paper", "nvfp4-pretraining", "mxfp4-floor", "mxfp4-rceil",
        "mxfp6-e2m3-rceil", "fp8-deepseek-v3", "fp8-deepseek-v3-weight", "fp4-fp32", "int4-g128",
        "article-attention", "nvfp4-4over6"})
    all.push_back(block_operand(name));
  const auto also = [&](std::string_view name, auto change) {
    all.push_back(block_operand(name));
    change(all.back());
  };
  for (const formats::BlockShape shape :
       {formats::BlockShape{1, 0}, {0, 0}, {0, 1}, {0, 32}, {16, 1}, {64, 3}})
    also("fp8-deepseek-v3", [&](OperandFormat& f) { f.block->block = shape; });
  also("deepseek-v4",
       [](OperandFormat& f) { f.reencode = formats::find_block_format("fp8-deepseek-v4-weight"); });
  also("nvfp4-paper", [](OperandFormat& f) {
    f.rounding = formats::RoundingMode::stochastic;
    f.random_bits = 9;
  });
  also("nvfp4-paper", [](OperandFormat& f) {
    f.block->block = {16, 1};
    f.hadamard = 16;
    f.random_signs = true;
  });
  also("mxfp4-rceil", [](OperandFormat& f) { f.hadamard = 32; });
  OperandFormat cast;
  cast.element = &formats::e4m3;
  all.push_back(cast);
  cast.rounding = formats::RoundingMode::stochastic;
  cast.random_bits = 4;
  all.push_back(cast);
  return all;
}

TEST(OperandAudit, StreamedFiguresAreThoseInMemory) {
  // Several tiles, one tile, one element; ragged at every border.
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{700, 515}, {33, 257}, {1, 7}, {5, 1}}) {
    const Held held(rows, cols);
    for (const OperandFormat& format : formats_to_try()) {
      const auto results =
          audit_operand(held, held.operand(), std::vector<Recipe>{with_weight(format)}, {});
      ASSERT_EQ(results.size(), 1U);
      EXPECT_EQ(results[0].tensor.format, describe(format));
      expect_equal(results[0].tensor, in_memory(held, format),
                   describe(format) + " of " + std::to_string(rows) + "x" + std::to_string(cols));
    }
  }
}

TEST(OperandAudit, RecipesTogetherAreRecipesAlone) {
  const Held held(300, 129);
  std::vector<Recipe> recipes;
  for (const OperandFormat& format : formats_to_try()) recipes.push_back(with_weight(format));
  recipes.push_back(load_recipe("bf16"));
  const auto together = audit_operand(held, held.operand(), recipes, {});
  ASSERT_EQ(together.size(), recipes.size() - 1) << "bf16 quantizes nothing";
  for (std::size_t r = 0; r < together.size(); ++r) {
    EXPECT_EQ(together[r].recipe, r);
    const auto alone = audit_operand(held, held.operand(), std::span(recipes).subspan(r, 1), {});
    // Tiles may be cut elsewhere, so sums may be added in another order.
    expect_equal(together[r].tensor, alone[0].tensor, alone[0].tensor.format);
  }
}

#ifdef _OPENMP
TEST(OperandAudit, ThreadsChangeNoBit) {
  const Held held(900, 257);
  std::vector<Recipe> recipes;
  for (const OperandFormat& format : formats_to_try()) recipes.push_back(with_weight(format));
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = audit_operand(held, held.operand(), recipes, {});
  omp_set_num_threads(5);
  const auto five = audit_operand(held, held.operand(), recipes, {});
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].tensor.error.gain, five[i].tensor.error.gain) << one[i].tensor.format;
    EXPECT_EQ(one[i].tensor.error.nsr, five[i].tensor.error.nsr) << one[i].tensor.format;
    EXPECT_EQ(one[i].tensor.worst_block_error, five[i].tensor.worst_block_error);
  }
}
#endif

TEST(OperandAudit, VectorsOfAnyWidthChangeNoBit) {
  const Held held(300, 257);
  std::vector<Recipe> recipes;
  for (const OperandFormat& format : formats_to_try()) recipes.push_back(with_weight(format));
  const auto want = audit_operand(held, held.operand(), recipes, {});
  for (const std::int64_t target : {HWY_AVX2, HWY_SSE4, HWY_SCALAR}) {
    hwy::SetSupportedTargetsForTest(target);
    const auto got = audit_operand(held, held.operand(), recipes, {});
    hwy::SetSupportedTargetsForTest(0);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i].tensor.error.gain, want[i].tensor.error.gain) << want[i].tensor.format;
      EXPECT_EQ(got[i].tensor.error.nsr, want[i].tensor.error.nsr) << want[i].tensor.format;
      EXPECT_EQ(got[i].tensor.worst_block_error, want[i].tensor.worst_block_error);
      EXPECT_EQ(got[i].tensor.codes, want[i].tensor.codes);
      EXPECT_EQ(got[i].tensor.clipped, want[i].tensor.clipped);
      EXPECT_EQ(got[i].tensor.flushed, want[i].tensor.flushed);
    }
  }
}

/// What a tensor of weights holds, and what it hardly does.
std::vector<std::uint16_t> bf16_values(std::size_t count, int kind) {
  std::mt19937 rng(11 + static_cast<unsigned>(kind));
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<std::uint16_t> bits(count);
  for (std::size_t i = 0; i < count; ++i) {
    float v = normal(rng);
    // Blocks of every magnitude; single elements far below their block, zeros of both signs.
    if (kind == 1) v *= std::ldexp(1.0F, static_cast<int>(i / 32 % 61) - 40);
    if (kind == 1 && rng() % 7 == 0) v *= std::ldexp(1.0F, -static_cast<int>(rng() % 60));
    if (kind == 1 && rng() % 11 == 0) v = rng() % 2 == 0 ? 0.0F : -0.0F;
    if (kind == 2) v = 0;
    bits[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16);
    // Any finite bits, subnormal ones too.
    if (kind == 3) bits[i] = static_cast<std::uint16_t>(rng() % 0x7F80 | (rng() % 2) << 15);
  }
  return bits;
}

TEST(OperandAudit, Bf16IsMeasuredAsItsFloatsToTheBit) {
  std::vector<OperandFormat> all = formats_to_try();
  for (const formats::BlockFormat* format : formats::every_block_format)
    all.push_back(block_operand(format->name));
  for (const formats::BlockShape shape : {formats::BlockShape{3, 32}, {1, 96}, {64, 8}, {1, 5}}) {
    all.push_back(block_operand("fp8-deepseek-v3"));
    all.back().block->block = shape;
  }
  all.push_back(block_operand("nvfp4"));
  all.back().block->block = {1, 32};
  all.push_back(block_operand("mxfp4-rceil"));
  all.back().block->block = {1, 16};
  // Several tiles; one of few blocks; rows that do not end with a block.
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{300, 1056}, {7, 32}, {3, 16}, {33, 257}}) {
    for (int kind = 0; kind < 4; ++kind) {
      const auto bits = bf16_values(static_cast<std::size_t>(rows * cols), kind);
      const HeldBf16 floats(rows, cols, bits, false);
      const HeldBf16 as_bf16(rows, cols, bits, true);
      for (const OperandFormat& format : all) {
        const std::vector<Recipe> recipes{with_weight(format)};
        const auto want = audit_operand(floats, floats.operand(), recipes, {});
        const auto got = audit_operand(as_bf16, as_bf16.operand(), recipes, {});
        ASSERT_EQ(got.size(), want.size());
        const std::string what = describe(format) + " of " + std::to_string(rows) + "x" +
                                 std::to_string(cols) + ", kind " + std::to_string(kind);
        const auto same = [](double a, double b) {
          return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
        };
        for (std::size_t i = 0; i < want.size(); ++i) {
          const TensorReplay& a = got[i].tensor;
          const TensorReplay& b = want[i].tensor;
          EXPECT_TRUE(same(a.error.gain, b.error.gain)) << what;
          EXPECT_TRUE(same(a.error.nsr, b.error.nsr)) << what;
          EXPECT_TRUE(same(a.error.relative_mse, b.error.relative_mse)) << what;
          EXPECT_TRUE(same(a.worst_block_error, b.worst_block_error)) << what;
          EXPECT_EQ(a.worst_block, b.worst_block) << what;
          EXPECT_EQ(a.codes, b.codes) << what;
          EXPECT_EQ(a.clipped, b.clipped) << what;
          EXPECT_EQ(a.flushed, b.flushed) << what;
          EXPECT_EQ(a.reencode_changed, b.reencode_changed) << what;
        }
      }
    }
  }
}

TEST(OperandAudit, WeightsInBf16TakeTheFastPath) {
  if (!bf16_kernels_apply()) GTEST_SKIP() << "no vectors of 512 bits";
  const auto bits = bf16_values(1056 * 124, 0);
  const float amax = largest_magnitude_bf16(std::as_bytes(std::span(bits)));
  for (const char* name : {"nvfp4", "nvfp4-divide", "mxfp4-floor", "mxfp4-rceil"}) {
    const formats::BlockFormat& format = formats::find_block_format(name);
    const auto fast = Bf16Statistics::of(format, {}, 1056, amax);
    ASSERT_NE(fast, nullptr) << name;
    EXPECT_TRUE(fast->tile(bits, 0).has_value()) << name;
    EXPECT_EQ(Bf16Statistics::of(format, {}, 1057, amax), nullptr) << name;
  }
  for (const char* name : {"fp8-deepseek-v3", "fp8-deepseek-v3-weight", "mxfp6-e2m3-rceil"}) {
    const auto fast = Bf16Rows::of(formats::find_block_format(name), {}, amax);
    ASSERT_NE(fast, nullptr) << name;
    EXPECT_TRUE(fast->tile(bits, 1056, {}).has_value()) << name;
  }
}

TEST(OperandAudit, ANanAmongBf16IsNamedByItsPlace) {
  auto bits = bf16_values(300 * 1056, 0);
  bits[1056 * 200 + 17] = 0xFFC0;
  bits[1056 * 250] = 0x7F80;
  const HeldBf16 held(300, 1056, bits, true);
  for (const char* name : {"nvfp4", "mxfp4-rceil"}) {
    try {
      (void)audit_operand(held, held.operand(),
                          std::vector<Recipe>{with_weight(block_operand(name))}, {});
      FAIL() << "accepted";
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("a NaN in row 200, column 17"), std::string::npos)
          << e.what();
    }
  }
}

/// A recording of one BF16 weight; returns its elements.
std::vector<std::uint16_t> put_weight(const ScratchFolder& folder) {
  folder.put("recording.json", R"({"schema": "assay-recording", "version": 1, "name": "cut",
      "training_step": 0, "token_sampling": "",
      "provenance": {"text": "", "licence": "CC0-1.0", "facts": {}},
      "ops": [{"id": "w", "kind": "linear", "class": "dense", "layer": 0, "inputs": [],
               "tensors": {"weight": "w"}}],
      "tensors": [{"name": "w", "role": "weight", "dtype": "BF16", "shape": [64, 1056],
                   "shards": [{"file": "w.safetensors"}]}]})");
  auto bits = bf16_values(64 * 1056, 0);
  {
    const std::vector<SafetensorsSpec> specs{{"w", Dtype::bf16, {64, 1056}}};
    SafetensorsWriter writer(folder / "w.safetensors", specs);
    writer.write(std::as_bytes(std::span(bits)));
    writer.commit();
  }
  return bits;
}

TEST(OperandAudit, AFileCutOffWhileItIsReadIsSaid) {
  const ScratchFolder folder;
  const auto bits = put_weight(folder);
  const Recording recording = Recording::open(folder.path());
  const auto source = operands_of(recording);
  const Operand& o = source->operands().at(0);
  ASSERT_TRUE(source->is_bf16(o));
  source->begin_pass(o, false);
  const auto read = source->bf16(o, 0, o.rows);
  EXPECT_TRUE(std::equal(read.begin(), read.end(), bits.begin(), bits.end()));
  std::filesystem::resize_file(folder / "w.safetensors", 1000);
  EXPECT_THROW((void)source->bf16(o, 32, 32), InputError);
}

TEST(OperandAudit, AFileWithoutANameIsReadToItsEnd) {
  const ScratchFolder folder;
  const auto bits = put_weight(folder);
  const Recording recording = Recording::open(folder.path());
  const auto source = operands_of(recording);
  const Operand& o = source->operands().at(0);
  source->begin_pass(o, false);
  (void)source->bf16(o, 0, 1);
  std::filesystem::remove(folder / "w.safetensors");
  const auto read = source->bf16(o, 0, o.rows);
  EXPECT_TRUE(std::equal(read.begin(), read.end(), bits.begin(), bits.end()));
}

TEST(OperandAudit, GradientsAndInputsOfTheWeightGradientAreMeasuredToo) {
  const std::vector<Recipe> recipes{load_recipe("nvfp4-pretraining")};
  for (const Role role : {Role::input, Role::output_grad}) {
    const Held held(64, 48, role);
    const auto results = audit_operand(held, held.operand(), recipes, {});
    ASSERT_EQ(results.size(), 2U);
    const std::string rounding = role == Role::output_grad ? " stochastic" : "";
    EXPECT_EQ(results[0].tensor.format, "nvfp4-paper" + rounding);
    EXPECT_EQ(results[1].tensor.format, "nvfp4-paper 16x1 hadamard-16" + rounding);
    const Treatment t = recipes[0].treatment(TensorClass::dense, -1, 0);
    expect_equal(results[1].tensor,
                 in_memory(held, role == Role::input ? *t.wgrad_input : *t.wgrad_gradient),
                 "wgrad");
  }
}

TEST(OperandAudit, KeptLayersAreLeftAlone) {
  Held held(64, 48);
  Recipe recipe = load_recipe("nvfp4-pretraining");
  recipe.kept.first = 0.5;  // layers 0 and 1 of 4; the operand lies in layer 1
  EXPECT_TRUE(audit_operand(held, held.operand(), std::vector<Recipe>{recipe}, {}).empty());
}

TEST(OperandAudit, ANanIsNamedByItsPlace) {
  for (const char* name : {"nvfp4", "mxfp4-rceil"}) {
    Held held(700, 515);
    held.x_[515 * 600 + 17] = std::numeric_limits<float>::quiet_NaN();
    held.x_[515 * 650 + 3] = std::numeric_limits<float>::infinity();
    try {
      (void)audit_operand(held, held.operand(),
                          std::vector<Recipe>{with_weight(block_operand(name))}, {});
      FAIL() << "accepted";
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("a NaN in row 600, column 17"), std::string::npos)
          << e.what();
    }
  }
}

TEST(OperandAudit, NamesSayTheClass) {
  EXPECT_EQ(class_of_name("model.layers.3.mlp.gate.weight"), TensorClass::router);
  EXPECT_EQ(class_of_name("model.layers.3.mlp.experts.7.gate_proj.weight"), TensorClass::expert);
  EXPECT_EQ(class_of_name("blk.3.ffn_gate_exps.weight"), TensorClass::expert);
  EXPECT_EQ(class_of_name("model.layers.3.mlp.gate_proj.weight"), TensorClass::dense);
  EXPECT_EQ(class_of_name("encoder.layer.0.attention.output.dense.weight"), TensorClass::attention);
  EXPECT_EQ(class_of_name("encoder.layer.0.attention.output.LayerNorm.weight"), TensorClass::norm);
  EXPECT_EQ(class_of_name("embeddings.word_embeddings.weight"), TensorClass::embedding);
  EXPECT_EQ(class_of_name("token_embd.weight"), TensorClass::embedding);
  EXPECT_EQ(class_of_name("lm_head.weight"), TensorClass::head);
  EXPECT_EQ(class_of_name("pooler.dense.weight"), TensorClass::dense);
}

}  // namespace
}  // namespace assay::simulator
