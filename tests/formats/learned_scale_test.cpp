// SPDX-License-Identifier: Apache-2.0
// The least-squares scale is at least as good as every scale of a dense scan.

#include "formats/learned_scale.h"

#include <gtest/gtest.h>

#include "tests/formats/block_cases.h"

namespace assay::tests {
namespace {

using namespace formats;

double error_of(std::span<const float> group, double scale, const FormatSpec& element) {
  double sum = 0;
  for (const float x : group) {
    const Policy policy = profile_row(saturating, element).policy;
    const double u = scale == 0 ? 0.0 : static_cast<double>(x) / scale;
    const double q = static_cast<double>(
        decode(element, encode(element, u, RoundingMode::nearest_even, policy)));
    sum += (static_cast<double>(x) - scale * q) * (static_cast<double>(x) - scale * q);
  }
  return sum;
}

TEST(LeastSquaresScale, BeatsADenseScan) {
  Words w(5);
  for (int trial = 0; trial < 60; ++trial) {
    const FormatSpec& element = trial % 6 == 5 ? e4m3 : e2m1;
    std::vector<float> group(1 + w.below(40));
    for (float& x : group) x = w.sign() * std::ldexp(w.uniform(), static_cast<int>(w.below(5)));
    const double scale = least_squares_scale(group, element);
    const double best = error_of(group, scale, element);
    double energy = 0;
    float amax = 0;
    for (const float x : group) {
      energy += static_cast<double>(x) * static_cast<double>(x);
      amax = std::max(amax, std::fabs(x));
    }
    // Rounding of sums of at most 40 * 127 terms in double: far below 2^-36 of the energy.
    const double slack = energy * 0x1p-36;
    const double top = static_cast<double>(amax) / (element.name == e2m1.name ? 0.25 : 0x1p-10);
    for (int i = 1; i <= 4000; ++i) {
      ASSERT_LE(best, error_of(group, top * i / 4000, element) + slack) << "trial " << trial;
      ASSERT_LE(best, error_of(group, top * std::exp2(-i / 200.0), element) + slack) << trial;
    }
  }
}

TEST(LeastSquaresScale, ExactGroupsAndZeros) {
  const std::vector<float> exact{3.0F,  -1.5F, 0.75F, 0.0F,
                                 -9.0F, 4.5F,  2.25F};  // 1.5 * E2M1 values
  EXPECT_EQ(least_squares_scale(exact, e2m1), 1.5);
  EXPECT_EQ(least_squares_scale(std::vector<float>{0.0F, -0.0F}, e2m1), 0.0);
  EXPECT_THROW((void)least_squares_scale(exact, fp32), std::invalid_argument);
  EXPECT_THROW((void)least_squares_scales(exact, 2, 3, {1, 2}, e2m1), std::invalid_argument);
}

TEST(LeastSquaresScale, BlocksOfAMatrixServeTheGivenRule) {
  const std::vector<float> x = matrix(8, 5, 77, 0, false);
  const std::vector<float> scales = least_squares_scales(x, 5, 77, article.block, *article.element);
  ASSERT_EQ(scales.size(), 5U * 3U);
  EXPECT_EQ(scales[4],
            static_cast<float>(least_squares_scale(std::span(x).subspan(77 + 32, 32), e2m1)));
  QuantizeOptions o;
  o.scales = scales;
  expect_same(quantize(x, 5, 77, article, o), golden::quantize(x, 5, 77, article, o), "learned");
}

}  // namespace
}  // namespace assay::tests
