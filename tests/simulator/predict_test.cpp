// SPDX-License-Identifier: Apache-2.0
// Predictions against closed forms and against execution on random networks.
#include "simulator/graph/predict.h"

#include <gtest/gtest.h>

#include <cmath>

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
// deviation. Contributions add up to the variance.
TEST(Prediction, RouterNoiseOfRandomNetworks) {
  double ratio = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const Graph g =
        RandomGraph({.layers = 1, .width = 64, .sequences = 8, .length = 16, .seed = seed}).make();
    const Forward clean = run_forward(g, {});
    Predictor predictor(g, clean, measure_responses(g, clean, 4, 1));
    const Recipe recipe = load_recipe("nvfp4-w4a4");
    const Prediction p = predictor.predict(recipe, {});
    const Measurement m = measure(g, clean, recipe, {});
    ratio += p.routers[0].noise_sd / m.routers[0].noise_sd / 8;
    double sum = 0;
    for (const auto& c : p.contributions) sum += c.variance[0];
    EXPECT_NEAR(std::sqrt(sum) / p.routers[0].noise_sd, 1, 0.02);  // the rest is the gain
    EXPECT_NEAR(p.routers[0].covariance.trace() / static_cast<double>(g.nodes[g.routers[0]].width),
                p.routers[0].noise_sd * p.routers[0].noise_sd, 1e-9);
  }
  EXPECT_NEAR(ratio, 1, 0.1);
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
