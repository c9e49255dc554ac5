// SPDX-License-Identifier: Apache-2.0
// Replay against answers worked out by hand, and on the shipped recording: the control, the
// quantizer against golden, and the same bytes for any number of threads.
#include "simulator/replay.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "golden/quantize.h"
#include "simulator/fake_quantize.h"
#include "simulator/input_error.h"
#include "tests/simulator/tiny_recording.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace assay::simulator {
namespace {

// MXFP4 round-up on rows of 2: row 0 has amax 1, scale 2^ceil(log2(1/6)) = 1/4: 1 -> 4 -> 1 and
// 0.3125 -> 1.25, a tie, to the even code 1.0 -> 0.25. Row 1 has amax 6, scale 1: 6, and 2.25 -> 2.
constexpr std::array<double, 4> kHat{1, 0.25, 6, 2};

TEST(Replay, TensorFiguresOfTheHandMadeRecording) {
  TinyRecording tiny;
  const auto recording = Recording::open(tiny.write());
  const auto result = replay(recording, load_recipe("mxfp4-rceil"));
  ASSERT_EQ(result.tensors.size(), 1U);
  const auto& t = result.tensors[0];
  EXPECT_EQ(t.tensor, "w");
  EXPECT_EQ(t.op, "lin");
  const double ww = 1 + 0.3125 * 0.3125 + 36 + 2.25 * 2.25;
  const double gain = (1 + 0.3125 * 0.25 + 36 + 4.5) / ww;
  EXPECT_DOUBLE_EQ(t.error.gain, gain);
  EXPECT_NEAR(t.error.relative_mse, (0.0625 * 0.0625 + 0.25 * 0.25) / ww, 1e-15);
  EXPECT_NEAR(t.error.relative_mse, (1 - gain) * (1 - gain) + t.error.nsr, 1e-15);
  // Row 0 loses 0.0625^2 of 1.09765625, row 1 0.25^2 of 41.0625: row 0 is the worse block.
  EXPECT_EQ(t.worst_block, 0);
  EXPECT_DOUBLE_EQ(t.worst_block_error, 0.0625 * 0.0625 / 1.09765625);
  EXPECT_EQ(t.clipped, 0U);
  EXPECT_EQ(t.flushed, 0U);
  EXPECT_EQ(t.codes[2], 1U);  // 1.0
  EXPECT_EQ(t.codes[4], 1U);  // 2.0
  EXPECT_EQ(t.codes[6], 1U);  // 4.0
  EXPECT_EQ(t.codes[7], 1U);  // 6.0
}

TEST(Replay, LinearFiguresOfTheHandMadeRecording) {
  TinyRecording tiny;
  const auto recording = Recording::open(tiny.write());
  const auto result = replay(recording, load_recipe("mxfp4-rceil"));
  ASSERT_EQ(result.linears.size(), 1U);
  const auto& l = result.linears[0];
  double yy = 0;
  double yz = 0;
  double ee = 0;
  double loss = 0;
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t o = 0; o < 2; ++o) {
      const double y = tiny.x[2 * r] * tiny.w[2 * o] + tiny.x[2 * r + 1] * tiny.w[2 * o + 1];
      const double z = tiny.x[2 * r] * kHat[2 * o] + tiny.x[2 * r + 1] * kHat[2 * o + 1];
      yy += y * y;
      yz += y * z;
      ee += (z - y) * (z - y);
      loss += tiny.output_grad[2 * r + o] * (z - y);
    }
  }
  EXPECT_NEAR(l.error.gain, yz / yy, 1e-14);
  EXPECT_NEAR(l.error.relative_mse, ee / yy, 1e-15);
  ASSERT_TRUE(l.has_loss_change);
  EXPECT_DOUBLE_EQ(l.loss_change, loss);
  EXPECT_EQ(result.linears_left_alone, 1U);  // the router
}

TEST(Replay, RouterOfTheHandMadeRecording) {
  TinyRecording tiny;
  const auto recording = Recording::open(tiny.write());
  const auto result = replay(recording, load_recipe("mxfp4-rceil"));
  ASSERT_EQ(result.routers.size(), 1U);
  const auto& router = result.routers[0];
  // e = x (W^ - W)^T: only the second column of W changes, by -1/16 and -1/4. Token 0 goes from
  // (1, 1.125) to (0.9375, 0.875): its expert changes. Tokens 1 and 2 keep theirs.
  EXPECT_EQ(router.local.flipped, (std::vector<std::uint8_t>{1, 0, 0}));
  EXPECT_EQ(router.accumulated.flipped, router.local.flipped);
  double sum = 0;
  for (std::size_t t = 0; t < 3; ++t) {
    const double a = tiny.residual[2 * t];
    const double b = tiny.residual[2 * t + 1];
    const double a2 = a - tiny.x[2 * t + 1] * 0.0625;
    const double b2 = b - tiny.x[2 * t + 1] * 0.25;
    const double n = std::sqrt((a * a + b * b) / 2);
    const double n2 = std::sqrt((a2 * a2 + b2 * b2) / 2);
    sum += std::pow(a2 / n2 - a / n, 2) + std::pow(b2 / n2 - b / n, 2);
    EXPECT_NEAR(router.margins[t], std::fabs(a - b) / n, 1e-14);
  }
  EXPECT_NEAR(router.local.noise_sd, std::sqrt(sum / 6), 1e-14);
}

TEST(Replay, ABiasDecidesInSelectionSpace) {
  TinyRecording tiny;
  tiny.bias = {2, 0};  // more than any difference of two sigmoids: expert 0 always
  const auto recording = Recording::open(
      tiny.write(R"("inputs":["router"],"tensors":{},"layer":0,"numbers":{"k":1)",
                 R"("inputs":["router"],"tensors":{"router_bias":"bias"},"layer":0,)"
                 R"("numbers":{"score":1,"k":1)"));
  const auto router = replay(recording, load_recipe("mxfp4-rceil")).routers.at(0);
  EXPECT_EQ(router.local.flips(), 0U);
  EXPECT_GT(router.local.noise_sd, 0.0);
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  const double n = std::sqrt((1 + 1.125 * 1.125) / 2);
  EXPECT_NEAR(router.margins[0], 2 + sigmoid(1 / n) - sigmoid(1.125 / n), 1e-14);
}

// A second block like the first, listed its router named under an earlier layer. It reads the
// stream with the errors of both linears, of which the first belongs to the first router.
TEST(Replay, ARouterOwnsTheErrorsSinceTheOneBefore) {
  TinyRecording tiny;
  const std::string ops =
      R"("numbers":{"k":1,"experts":2}},
{"id":"lin2","kind":"linear","class":"expert","inputs":[],"tensors":{"weight":"w","input":"x"},"layer":1},
{"id":"sum2","kind":"add","class":"residual","inputs":["sum","lin2"],"tensors":{},"layer":1},
{"id":"norm2","kind":"rmsnorm","class":"norm","inputs":["sum2"],"tensors":{"norm_weight":"norm","residual":"residual"},"layer":1,"numbers":{"eps":0}},
{"id":"router2","kind":"linear","class":"router","inputs":["norm2"],"tensors":{"weight":"router","input":"residual"},"layer":-1},
{"id":"top2","kind":"top_k","class":"router","inputs":["router2"],"tensors":{},"layer":1,"numbers":{"k":1,"experts":2}})";
  const auto recording = Recording::open(tiny.write(R"("numbers":{"k":1,"experts":2}})", ops));
  const auto result = replay(recording, load_recipe("mxfp4-rceil"));
  ASSERT_EQ(result.routers.size(), 2U);
  const auto& second = result.routers[0];
  const auto& first = result.routers[1];
  EXPECT_EQ(second.op, "router2") << "in the order of the layers";
  EXPECT_EQ(first.op, "router");
  EXPECT_EQ(first.local.noise_sd, first.accumulated.noise_sd);
  EXPECT_EQ(second.local.noise_sd, first.local.noise_sd) << "the same linear, the same stream";
  double sum = 0;  // both errors: twice that of RouterOfTheHandMadeRecording
  for (std::size_t t = 0; t < 3; ++t) {
    const double a = tiny.residual[2 * t];
    const double b = tiny.residual[2 * t + 1];
    const double a2 = a - 2 * tiny.x[2 * t + 1] * 0.0625;
    const double b2 = b - 2 * tiny.x[2 * t + 1] * 0.25;
    const double n = std::sqrt((a * a + b * b) / 2);
    const double n2 = std::sqrt((a2 * a2 + b2 * b2) / 2);
    sum += std::pow(a2 / n2 - a / n, 2) + std::pow(b2 / n2 - b / n, 2);
  }
  EXPECT_NEAR(second.accumulated.noise_sd, std::sqrt(sum / 6), 1e-14);
}

TEST(Replay, RefusesARecordingWithANan) {
  TinyRecording tiny;
  tiny.x[3] = std::numeric_limits<float>::quiet_NaN();
  const auto recording = Recording::open(tiny.write());
  try {
    (void)replay(recording, load_recipe("nvfp4"));
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("tensor x"), std::string::npos) << e.what();
  }
}

TEST(Replay, RefusesShapesThatDoNotFit) {
  TinyRecording tiny;
  const auto recording = Recording::open(tiny.write(R"("k":1)", R"("k":3)"));
  EXPECT_THROW((void)replay(recording, load_recipe("nvfp4")), InputError);
}

TEST(Replay, RefusesACountThatIsNone) {
  TinyRecording tiny;
  for (const char* k : {"0", "-1", "1.5", "1e300", "4294967297"}) {
    const auto recording = Recording::open(tiny.write(R"("k":1)", std::string(R"("k":)") + k));
    EXPECT_THROW((void)replay(recording, load_recipe("nvfp4")), InputError) << k;
  }
}

TEST(Replay, RefusesGraphsWhoseShapesDoNotFit) {
  TinyRecording tiny;
  const char* const sum = R"("kind":"add","class":"residual","inputs":["embed","lin"])";
  const char* const wrong[] = {
      R"("kind":"swiglu","class":"expert","inputs":[])",
      R"("kind":"swiglu","class":"expert","inputs":["lin"])",
      R"("kind":"swiglu","class":"expert","inputs":["lin","embed"])",
  };
  for (const char* op : wrong) {
    const auto recording = Recording::open(tiny.write(sum, op));
    EXPECT_THROW((void)replay(recording, load_recipe("nvfp4")), InputError) << op;
  }
}

TEST(ReplayShipped, TheControlHasNoError) {
  const auto recording = Recording::open(default_recording());
  const auto result = replay(recording, load_recipe("bf16"));
  EXPECT_TRUE(result.tensors.empty());
  ASSERT_FALSE(result.routers.empty());
  for (const auto& r : result.routers) {
    EXPECT_EQ(r.recorded_differs, 0U)
        << r.op;  // the recomputed network chooses as the recorded one
    EXPECT_EQ(r.accumulated.noise_sd, 0.0) << r.op;
    EXPECT_EQ(r.accumulated.flips(), 0U) << r.op;
  }
  // bf16 operands carry 8 bits: a value is within 2^-9 of its recorded one, its square within
  // 2^-18; a SwiGLU multiplies two outputs of recorded (rounded) operands, hence a few times that.
  ASSERT_FALSE(result.recomputations.empty());
  for (const auto& c : result.recomputations) EXPECT_LT(c.relative_mse, 4 * 0x1p-18) << c.op;
}

TEST(ReplayShipped, ReencodingDeepSeekV4ExpertsIsLossless) {
  const auto recording = Recording::open(default_recording());
  const auto result = replay(recording, load_recipe("deepseek-v4"));
  std::uint64_t fp4 = 0;
  for (const auto& t : result.tensors) {
    fp4 += t.format == "deepseek-v4" ? 1 : 0;
    EXPECT_EQ(t.reencode_changed, 0U) << t.tensor;
  }
  EXPECT_GT(fp4, 0U);
}

TEST(ReplayShipped, QuantizesAsGoldenDoes) {
  const auto recording = Recording::open(default_recording());
  for (const char* name : {"layers.0.q.weight", "layers.2.experts.3.w_down.weight"}) {
    const auto tensor = recording.tensor(name);
    constexpr std::int64_t rows = 4;
    std::vector<float> x(static_cast<std::size_t>(rows * tensor.cols()));
    tensor.read_rows(0, rows, x);
    for (const auto recipe_name : recipe_names()) {
      const auto recipe = load_recipe(std::string(recipe_name));
      const auto operand =
          recipe.treatment(TensorClass::expert, 3, std::numeric_limits<std::int64_t>::max()).weight;
      if (!operand.block) continue;
      const auto fast = quantize_operand(x, rows, tensor.cols(), operand, 1);
      golden::QuantizeOptions options;
      std::vector<float> scales;
      if (operand.scales == ScaleSource::least_squares) {
        // The scale factors are given; golden encodes with those of the fast path.
        for (std::size_t i = 0; i < fast.scales.size(); i += 4) {
          std::uint32_t bits = 0;
          for (std::size_t b = 0; b < 4; ++b) bits |= std::uint32_t{fast.scales[i + b]} << (8 * b);
          scales.push_back(std::bit_cast<float>(bits));
        }
        options.scales = scales;
      }
      const auto exact = golden::quantize(x, rows, tensor.cols(), *operand.block, options);
      EXPECT_EQ(fast.codes, exact.codes) << name << " " << recipe_name;
      EXPECT_EQ(fast.scales, exact.scales) << name << " " << recipe_name;
      EXPECT_EQ(std::bit_cast<std::uint32_t>(fast.tensor_scale),
                std::bit_cast<std::uint32_t>(exact.tensor_scale))
          << name << " " << recipe_name;
    }
  }
}

#ifdef _OPENMP
TEST(ReplayShipped, DoesNotDependOnTheNumberOfThreads) {
  const auto recording = Recording::open(default_recording());
  const auto recipe = load_recipe("nvfp4-w4a4");
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = replay(recording, recipe);
  omp_set_num_threads(3);
  const auto three = replay(recording, recipe);
  omp_set_num_threads(before);
  ASSERT_EQ(one.tensors.size(), three.tensors.size());
  for (std::size_t i = 0; i < one.tensors.size(); ++i) {
    EXPECT_EQ(one.tensors[i].tensor, three.tensors[i].tensor);
    EXPECT_EQ(one.tensors[i].error.nsr, three.tensors[i].error.nsr);
    EXPECT_EQ(one.tensors[i].worst_block, three.tensors[i].worst_block);
  }
  ASSERT_EQ(one.linears.size(), three.linears.size());
  for (std::size_t i = 0; i < one.linears.size(); ++i) {
    EXPECT_EQ(one.linears[i].op, three.linears[i].op);
    EXPECT_EQ(one.linears[i].error.gain, three.linears[i].error.gain);
    EXPECT_EQ(one.linears[i].loss_change, three.linears[i].loss_change);
  }
  ASSERT_EQ(one.routers.size(), three.routers.size());
  for (std::size_t i = 0; i < one.routers.size(); ++i) {
    EXPECT_EQ(one.routers[i].accumulated.token_noise, three.routers[i].accumulated.token_noise);
    EXPECT_EQ(one.routers[i].local.flipped, three.routers[i].local.flipped);
  }
}
#endif

}  // namespace
}  // namespace assay::simulator
