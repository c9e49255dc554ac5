// SPDX-License-Identifier: Apache-2.0
#include "analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace assay::analysis {

double quantile(std::span<const double> values, double p) {
  if (values.empty() || !(p >= 0 && p <= 1)) {
    throw std::invalid_argument("quantile: needs values and a p in [0, 1].");
  }
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = p * static_cast<double>(sorted.size() - 1);
  const auto lower = static_cast<std::size_t>(position);
  const double fraction = position - static_cast<double>(lower);
  // No arithmetic where none is needed: infinities would give NaN.
  if (fraction == 0 || sorted[lower] == sorted[lower + 1]) return sorted[lower];
  return sorted[lower] + fraction * (sorted[lower + 1] - sorted[lower]);
}

Interval wilson(std::uint64_t successes, std::uint64_t trials, double z) {
  if (successes > trials) throw std::invalid_argument("wilson: more successes than trials.");
  if (trials == 0) return {};
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double scale = 1 + z * z / n;
  const double centre = (p + z * z / (2 * n)) / scale;
  const double half = z / scale * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  // At p = 0 and p = 1 one end is exactly the edge; rounding must not step over it.
  return {successes == 0 ? 0 : std::max(0.0, centre - half),
          successes == trials ? 1 : std::min(1.0, centre + half)};
}

Histogram histogram(std::span<const double> values, double low, double high, int bins) {
  if (bins < 1 || !(low < high)) throw std::invalid_argument("histogram: empty range or no bins.");
  Histogram h{low, high, std::vector<std::uint64_t>(static_cast<std::size_t>(bins)), 0, 0};
  for (const double v : values) {
    if (v < low) {
      ++h.below;
    } else if (!(v < high)) {
      ++h.above;
    } else {
      const auto bin = static_cast<int>((v - low) / (high - low) * bins);
      ++h.bins[static_cast<std::size_t>(std::min(bin, bins - 1))];
    }
  }
  return h;
}

}  // namespace assay::analysis
