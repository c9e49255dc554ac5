// SPDX-License-Identifier: Apache-2.0
#pragma once
// The few statistics that reports need.

#include <cstdint>
#include <span>
#include <vector>

namespace assay::analysis {

/// The p-quantile (0 <= p <= 1) with linear interpolation between order statistics at (n - 1) p:
/// Hyndman & Fan 1996, type 7. Infinite values are allowed; NaN is not. Throws
/// std::invalid_argument for no values or p outside [0, 1].
[[nodiscard]] double quantile(std::span<const double> values, double p);

struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's score interval for a proportion of `successes` in `trials` independent trials, at z
/// standard deviations (1.959964: 95 %): centre (p + z^2/2n) / (1 + z^2/n), half width z/(1 +
/// z^2/n) sqrt(p(1-p)/n + z^2/4n^2) (Wilson 1927, JASA 22:209). No trials give [0, 1]. Throws
/// std::invalid_argument for more successes than trials.
[[nodiscard]] Interval wilson(std::uint64_t successes, std::uint64_t trials, double z = 1.959964);

/// Counts in equal bins over [low, high); what lies outside is counted apart.
struct Histogram {
  double low = 0, high = 1;
  std::vector<std::uint64_t> bins;
  std::uint64_t below = 0, above = 0;
};
/// Throws std::invalid_argument for no bins or an empty range.
[[nodiscard]] Histogram histogram(std::span<const double> values, double low, double high,
                                  int bins);

}  // namespace assay::analysis
