// SPDX-License-Identifier: Apache-2.0
#include "analysis/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace assay::analysis {
namespace {

TEST(Quantile, InterpolatesBetweenOrderStatistics) {
  const std::vector<double> v{4, 1, 3, 2};
  EXPECT_EQ(quantile(v, 0), 1);
  EXPECT_EQ(quantile(v, 1), 4);
  EXPECT_EQ(quantile(v, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(v, 0.1), 1.3);  // position 0.3
}

TEST(Quantile, KeepsInfinities) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> v{1, inf, inf};
  EXPECT_EQ(quantile(v, 0), 1);
  EXPECT_EQ(quantile(v, 0.75), inf);
}

TEST(Quantile, RefusesNothingAndOddProbabilities) {
  const std::vector<double> none;
  const std::vector<double> one{1};
  EXPECT_THROW((void)quantile(none, 0.5), std::invalid_argument);
  EXPECT_THROW((void)quantile(one, 1.5), std::invalid_argument);
  EXPECT_THROW((void)quantile(one, std::nan("")), std::invalid_argument);
}

// The interval's ends are where |p^ - p| = z sqrt(p (1 - p) / n): the definition, not the formula.
TEST(Wilson, EndsSolveTheScoreEquation) {
  constexpr double z = 1.959964;
  for (const std::uint64_t n : {1U, 7U, 256U, 100000U}) {
    for (const std::uint64_t k : {std::uint64_t{0}, std::uint64_t{1}, n / 3, n}) {
      const double estimate = static_cast<double>(k) / static_cast<double>(n);
      const auto interval = wilson(k, n, z);
      for (const double p : {interval.low, interval.high}) {
        EXPECT_NEAR(std::pow(estimate - p, 2), z * z * p * (1 - p) / static_cast<double>(n), 1e-12);
      }
      EXPECT_LE(interval.low, estimate);
      EXPECT_GE(interval.high, estimate);
    }
  }
}

TEST(Wilson, NoTrialsSayNothing) {
  EXPECT_EQ(wilson(0, 0).low, 0);
  EXPECT_EQ(wilson(0, 0).high, 1);
  EXPECT_THROW((void)wilson(2, 1), std::invalid_argument);
}

TEST(Histogram, BinsAreEqualPartsOfTheRange) {
  // [-2, 6) in 4 bins of width 2: both ends of each.
  const std::vector<double> v{-2, -0.25, 0, 1.75, 2, 3.75, 4, 5.75};
  const auto h = histogram(v, -2, 6, 4);
  EXPECT_EQ(h.bins, (std::vector<std::uint64_t>{2, 2, 2, 2}));
  EXPECT_EQ(h.below + h.above, 0U);
  EXPECT_EQ(h.low, -2);
  EXPECT_EQ(h.high, 6);
  EXPECT_EQ(histogram(v, -2, 6, 1).bins, (std::vector<std::uint64_t>{8}));
  EXPECT_THROW((void)histogram(v, 0, 1, 0), std::invalid_argument);
  EXPECT_THROW((void)histogram(v, 1, 1, 4), std::invalid_argument);
}

TEST(Histogram, CountsEveryValueOnce) {
  const std::vector<double> v{-1, 0, 0.49, 0.5, 0.99, 1, std::nan("")};
  const auto h = histogram(v, 0, 1, 2);
  EXPECT_EQ(h.below, 1U);
  EXPECT_EQ(h.bins, (std::vector<std::uint64_t>{2, 2}));
  EXPECT_EQ(h.above, 2U);  // the range is half open, and a NaN is not below anything
  EXPECT_THROW((void)histogram(v, 1, 1, 2), std::invalid_argument);
}

}  // namespace
}  // namespace assay::analysis
