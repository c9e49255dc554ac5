// SPDX-License-Identifier: Apache-2.0
// The integrals behind `assay bench errors` against published figures and against counting, and the
// command itself.
#include "tools/bench_errors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "formats/spec.h"
#include "tools/expected_error.h"

namespace assay::tools {
namespace {

using formats::RoundingMode;
using formats::ScaleRule;

// J. Max (1960), Table II, and Adams and Giesler (1978), Table 1, both for 15 levels, as printed.
TEST(ExpectedError, BestUniformQuantizersAreThePublishedOnes) {
  const auto values = positive_values(formats::int4);
  ASSERT_EQ(values.size(), 8U);
  const double normal = best_scale(Density::normal, values);
  EXPECT_NEAR(normal, 0.3534, 5e-5);
  EXPECT_NEAR(FixedScale(Density::normal, values, normal, RoundingMode::nearest_even).upto().error,
              0.01289, 5e-6);
  const double laplace = best_scale(Density::laplace, values);
  EXPECT_NEAR(laplace, 0.4869, 5e-5);
  EXPECT_NEAR(
      FixedScale(Density::laplace, values, laplace, RoundingMode::nearest_even).upto().error,
      0.0274, 5e-5);
}

// Stochastic rounding that clips nothing leaves <x, y> = <x, x>: all rules but those that clip.
TEST(ExpectedError, StochasticRoundingIsUnbiasedExactlyWhereNothingClips) {
  const auto values = positive_values(formats::e2m1);
  const auto gain = [&](ScaleRule rule) {
    return expected_in_blocks(Density::normal, values, 32, power_of_two_pieces(rule, formats::e2m1),
                              RoundingMode::stochastic)
        .product;
  };
  EXPECT_NEAR(gain(ScaleRule::rceil), 1, 1e-9);
  EXPECT_NEAR(gain(ScaleRule::ceil), 1, 1e-9);
  EXPECT_LT(gain(ScaleRule::floor), 0.999);
}

// The weight of amax is a density: with values so fine that nothing is lost, the product is the
// variance.
TEST(ExpectedError, BlocksOfFineValuesLoseNothing) {
  const auto values = positive_values(formats::e4m3);
  for (const Density density : {Density::normal, Density::laplace}) {
    const Expected e = expected_in_blocks(density, values, 16, linear_pieces(values.back()),
                                          RoundingMode::stochastic);
    EXPECT_NEAR(e.product, 1, 1e-7);
    EXPECT_LT(e.error, 2e-3);
  }
}

// Blocks of two can be integrated by brute force, over the square.
TEST(ExpectedError, BlocksOfTwoAreTheIntegralOverTheSquare) {
  const auto values = positive_values(formats::e2m1);
  constexpr int steps = 3001;  // prime: the points meet no corner of the integrand
  constexpr double most = 6;
  double error = 0;
  double product = 0;
  const auto density = [](double x) {
    return std::exp(-x * x / 2) * std::sqrt(2 / std::acos(-1.0));
  };
  const auto round = [&](double u) {
    double best = values.front();
    for (const double v : values)
      if (std::fabs(v - u) < std::fabs(best - u)) best = v;
    return best;
  };
  for (int i = 0; i < steps; ++i) {
    for (int j = 0; j < steps; ++j) {
      const double x[] = {(i + 0.5) * most / steps, (j + 0.5) * most / steps};
      const double scale = std::exp2(std::ceil(std::log2(std::max(x[0], x[1]) / 6)));
      const double weight = density(x[0]) * density(x[1]) * (most / steps) * (most / steps) / 2;
      for (const double v : x) {
        const double y = scale * round(v / scale);
        error += weight * (v - y) * (v - y);
        product += weight * v * y;
      }
    }
  }
  const Expected e = expected_in_blocks(Density::normal, values, 2,
                                        power_of_two_pieces(ScaleRule::rceil, formats::e2m1),
                                        RoundingMode::nearest_even);
  EXPECT_NEAR(e.error / error, 1, 1e-3);
  EXPECT_NEAR(e.product / product, 1, 1e-4);
}

// Where the scale factor doubles: E2M1's largest value is 6 = 1.5 * 4, its mantissa has one bit.
TEST(ExpectedError, PowersOfTwoChangeWhereTheRulesSay) {
  const auto scale_at = [](ScaleRule rule, double amax) {
    for (const ScalePiece& piece : power_of_two_pieces(rule, formats::e2m1))
      if (piece.from < amax && amax < piece.to) return piece.fixed;
    return 0.0;
  };
  EXPECT_EQ(scale_at(ScaleRule::floor, 7.9), 1);
  EXPECT_EQ(scale_at(ScaleRule::floor, 8.1), 2);
  EXPECT_EQ(scale_at(ScaleRule::ceil, 4.1), 2);
  EXPECT_EQ(scale_at(ScaleRule::rceil, 5.9), 1);
  EXPECT_EQ(scale_at(ScaleRule::rceil, 6.1), 2);
  EXPECT_EQ(scale_at(ScaleRule::even, 6.9), 1);
  EXPECT_EQ(scale_at(ScaleRule::even, 7.1), 2);
}

TEST(BenchErrors, PublishedFiguresAreMetUnlessAReasonIsGiven) {
  testing::internal::CaptureStdout();
  BenchErrorsOptions options;
  options.elements = 1 << 20;
  const int surprising = bench_errors(options);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(surprising, 0) << text;
  EXPECT_NE(text.find("Quartet II"), std::string::npos);
}

TEST(BenchErrors, RejectsNonsense) {
  BenchErrorsOptions options;
  options.elements = 0;
  EXPECT_THROW(bench_errors(options), std::invalid_argument);
}

}  // namespace
}  // namespace assay::tools
