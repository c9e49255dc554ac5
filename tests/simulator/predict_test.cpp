// SPDX-License-Identifier: Apache-2.0
// Predictions against closed forms and against execution on random networks.
#include "simulator/graph/predict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "formats/presets.h"
#include "simulator/graph/measure.h"
#include "tests/simulator/random_graph.h"

namespace assay::simulator {
namespace {

Matrix gaussian(int rows, int cols, double sd) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> n(0, sd);
  Matrix m(rows, cols);
  for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(n(random));
  return m;
}

class OperandPrediction : public testing::TestWithParam<const formats::BlockFormat*> {};

// N = 2^18 normal elements. The mean squared error of a realised rounding varies by about N^-1/2 of
// itself. Its gain varies by sqrt(sum x^2 e^2) / sum x^2, about sqrt(NSR / N); where the scale is
// chosen by the error the prediction's table has the same spread at 2^16 elements. Four of both.
TEST_P(OperandPrediction, IsTheMeasuredGainAndNoise) {
  OperandFormat format;
  format.block = *GetParam();
  if (format.block->rule == formats::ScaleRule::given) format.scales = ScaleSource::least_squares;
  for (const double sd : {0.02, 0.027, 1.0}) {  // phases of a power-of-two scale
    const Matrix x = gaussian(512, 512, sd);
    const auto measured = compare(x, quantized_operand(x, format, 1));
    const auto predicted = predict_operand(block_statistics(x, format.block->block), format);
    EXPECT_NEAR(predicted.nsr / measured.error.nsr, 1, 0.03) << format.block->name << " " << sd;
    const double gain_bound = 4 * std::sqrt(measured.error.nsr) * (1.0 / 512 + 1.0 / 256);
    EXPECT_NEAR(predicted.gain, measured.error.gain, gain_bound) << format.block->name << " " << sd;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, OperandPrediction,
    testing::Values(&formats::nvfp4, &formats::mxfp4_floor, &formats::mxfp4_rceil,
                    &formats::mxfp4_even, &formats::fp8_deepseek_v3,
                    &formats::fp8_deepseek_v3_weight, &formats::fp8_deepseek_v4, &formats::article,
                    &formats::article_attention, &formats::fp4_fp32, &formats::nvfp4_2d,
                    &formats::nvfp4_4over6, &formats::int4_g32, &formats::mxfp6_e2m3_rceil),
    [](const auto& info) {
      std::string name(info.param->name);
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// At most 16384 elements: every magnitude is kept, and what is left between prediction and
// measurement is the quantizer's own FP32 arithmetic. Heavy tails (the cube of a normal number) are
// what a histogram shared by many blocks misses. Least squares: the search is not exhaustive, 2 %.
TEST_P(OperandPrediction, OfASmallTensorWithHeavyTailsIsExact) {
  OperandFormat format;
  format.block = *GetParam();
  if (format.block->candidates != nullptr) return;  // by a table: above
  if (format.block->rule == formats::ScaleRule::given) format.scales = ScaleSource::least_squares;
  Matrix x = gaussian(24, 160, 1);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.data()[i] = static_cast<float>(std::pow(x.data()[i], 3));
  }
  const Matrix q = quantized_operand(x, format, 1);
  const auto measured = compare(x, q);
  const auto predicted = predict_operand(block_statistics(x, format.block->block), format);
  EXPECT_NEAR(predicted.nsr / measured.error.nsr, 1, 1e-4) << format.block->name;
  EXPECT_NEAR(predicted.gain, measured.error.gain, 1e-6) << format.block->name;
  const double noise = (q - x).squaredNorm();
  for (std::int64_t c = 0; c < x.cols(); ++c) {
    const double share = (q - x).col(c).squaredNorm() / noise;
    EXPECT_NEAR(predicted.columns[static_cast<std::size_t>(c)], share, 1e-5)
        << format.block->name << " column " << c;
  }
}

// Too large for every magnitude to be kept, with heavy tails: the blocks' largest elements, which
// round as no other, hold much of the power. 3 %.
TEST_P(OperandPrediction, OfALargeTensorWithHeavyTails) {
  OperandFormat format;
  format.block = *GetParam();
  if (format.block->candidates != nullptr) return;              // by a table: above
  if (format.block->rule == formats::ScaleRule::given) return;  // searched: above
  Matrix x = gaussian(2048, 32, 1);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const double size = std::exp(x(r, 0) / 4);
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      x(r, c) = std::pow(x(r, c), 5) * size;  // no FP32 number, as of an execution in double
    }
  }
  const auto measured = compare(x, quantized_operand(x, format, 1));
  const auto predicted = predict_operand(block_statistics(x, format.block->block), format);
  EXPECT_NEAR(predicted.nsr / measured.error.nsr, 1, 0.03) << format.block->name;
}

// One block of 2^22 elements, as of a scale factor for a whole tensor: its power is a sum in
// double, whose terms of one sign err by at most 2^22 2^-53 < 1e-9 together.
TEST(BlockStatistics, OfATensorInOneBlockHaveItsPower) {
  const Matrix x = gaussian(2048, 2048, 1);
  EXPECT_NEAR(block_statistics(x, {0, 0}).power / x.squaredNorm(), 1, 1e-9);
}

// A transform before the quantizer is in the statistics; undone, it spreads the noise of a group.
TEST(Prediction, OfATransformedOperand) {
  const Graph g = RandomGraph({.width = 64}).make();
  const Forward clean = run_forward(g, {});
  Recipe recipe = load_recipe("nvfp4-w4a4");
  for (auto& t : recipe.classes) {
    if (!t) continue;
    t->weight.hadamard = t->activation.hadamard = 16;
    t->activation.random_signs = true;
  }
  Predictor predictor(g, clean, measure_responses(g, clean, 1, 1));
  const Prediction p = predictor.predict(recipe, {});
  const Measurement m = measure(g, clean, recipe, {});
  ASSERT_FALSE(p.operands.empty());
  for (const auto& o : p.operands) {
    for (const auto& v : m.operands) {
      if (v.tensor != o.tensor || v.role != o.role || v.expert != o.expert) continue;
      EXPECT_NEAR(o.figures.nsr / v.error.nsr, 1, 1e-3) << o.tensor;
    }
  }
}

TEST(Prediction, TheControlIsPredictedToChangeNothing) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  Predictor predictor(g, clean, measure_responses(g, clean, 2, 1));
  const Prediction p = predictor.predict(load_recipe("bf16"), {});
  EXPECT_TRUE(p.operands.empty());
  EXPECT_EQ(p.loss.change, 0);
  EXPECT_EQ(p.loss.kl, 0);
  for (const auto& r : p.routers) {
    EXPECT_EQ(r.noise_sd, 0);
    EXPECT_EQ(r.flip_rate, 0);
    EXPECT_NEAR(r.load_shift, 0, 1e-12);
  }
}

// The first router of random networks, whose noise is one linear chain. One execution draws one
// noise, so a single network says little: over eight, the mean is held to 10 % of the standard
// deviation. Contributions add up to the variance of 16 draws, whose mean square over 128 tokens, 4
// experts and the groups' few directions is known to some percent.
TEST(Prediction, RouterNoiseOfRandomNetworks) {
  double ratio = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const Graph g =
        RandomGraph({.layers = 1, .width = 64, .sequences = 8, .length = 16, .seed = seed}).make();
    const Forward clean = run_forward(g, {});
    Predictor predictor(g, clean, measure_responses(g, clean, 4, 1));
    const Recipe recipe = load_recipe("nvfp4-w4a4");
    const Prediction p = predictor.with_contributions(recipe, {});
    const Measurement m = measure(g, clean, recipe, {});
    ratio += p.routers[0].noise_sd / m.routers[0].noise_sd / 8;
    double sum = 0;
    for (const auto& c : p.contributions) sum += c.variance[0];
    EXPECT_NEAR(std::sqrt(sum) / p.routers[0].noise_sd, 1, 0.06);
    EXPECT_NEAR(p.routers[0].covariance.trace() / static_cast<double>(g.nodes[g.routers[0]].width),
                p.routers[0].noise_sd * p.routers[0].noise_sd, 1e-9);
  }
  EXPECT_NEAR(ratio, 1, 0.1);
}

// Inputs with one channel of 30 times the others' size, activations rounded and weights not: the
// noise of a linear is that channel's, and the column of the weight that it meets decides. The
// measured figure lies inside three stated deviations and what the output's own gain takes out of
// the noise, which the prediction leaves in: of 64 rows behind one column 1/64 by chance, several
// times that because larger values have larger steps. White noise is further off.
TEST(Prediction, NoiseOfLinearsBehindAnOutlierChannel) {
  Graph g =
      RandomGraph({.layers = 1, .width = 64, .expert_width = 64, .sequences = 8, .length = 16})
          .make();
  for (auto& n : g.nodes) {
    if (n.kind == OpKind::rmsnorm) n.norm[9] *= 30;
  }
  const Forward clean = run_forward(g, {});
  Predictor predictor(g, clean, measure_responses(g, clean, 1, 1));
  Recipe recipe = load_recipe("nvfp4-w4a4");
  const Recipe control = load_recipe("bf16");
  for (std::size_t c = 0; c < recipe.classes.size(); ++c) {
    if (recipe.classes[c]) {
      recipe.classes[c]->weight = control.treatment(static_cast<TensorClass>(c), -1, 0).weight;
    }
  }
  const Prediction p = predictor.predict(recipe, {});
  const Measurement m = measure(g, clean, recipe, {});
  ASSERT_EQ(p.linears.size(), m.linears.size());
  double miss = 0;
  double white = 0;
  for (std::size_t i = 0; i < p.linears.size(); ++i) {
    ASSERT_EQ(p.linears[i].op, m.linears[i].op);
    const double measured = m.linears[i].error.nsr;
    EXPECT_NEAR(p.linears[i].nsr / measured, 1, 3 * p.linears[i].uncertainty + 0.12)
        << p.linears[i].op;
    if (p.linears[i].op.find("w_down") != std::string::npos) continue;  // behind SwiGLU
    miss += std::fabs(std::log(p.linears[i].nsr / measured));
    white += std::fabs(std::log(p.linears[i].white / measured));
  }
  EXPECT_LT(miss, white / 2);
}

// Groups by expert hold the same operands as groups by name, each once.
TEST(Prediction, GroupsByExpertHoldTheSameOperands) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  std::map<Role, std::multiset<std::size_t>> by_name;
  std::map<Role, std::multiset<std::size_t>> by_expert;
  bool named = false;
  for (const auto& group : operand_groups(g, clean)) {
    by_name[group.role].insert(group.nodes.begin(), group.nodes.end());
  }
  for (const auto& group : operand_groups(g, clean, Grouping::by_expert)) {
    by_expert[group.role].insert(group.nodes.begin(), group.nodes.end());
    named = named || group.name == "layer 1 expert weight of expert 2";
  }
  EXPECT_EQ(by_name, by_expert);
  EXPECT_TRUE(named);
}

TEST(Prediction, ResponsesDoNotDependOnTheNumberOfThreads) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  const Responses a = measure_responses(g, clean, 2, 7);
  const Responses b = measure_responses(g, clean, 2, 7);
  for (std::size_t i = 0; i < a.groups.size(); ++i) {
    EXPECT_EQ(a.noise[i].logit_power, b.noise[i].logit_power);
    EXPECT_EQ(a.noise[i].loss_even, b.noise[i].loss_even);
  }
}

}  // namespace
}  // namespace assay::simulator
