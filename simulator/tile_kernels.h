// SPDX-License-Identifier: Apache-2.0
#pragma once
// Between tile_statistics.cpp and its vector code.

#include <cstdint>

#include "simulator/tile_statistics.h"

namespace assay::simulator {

inline constexpr std::size_t kStatisticsLanes = 8;

/// One row of a tile. Run b, `width` elements or what is left of the row, belongs to block b: its
/// values are element[i] * scale[b], and it clips beyond limit[b]. Sums are added to blocks[b], to
/// the lanes of `xy` and to the counts.
struct StatisticsRow {
  const float* x = nullptr;
  const double* element = nullptr;
  const double* scale = nullptr;
  const double* limit = nullptr;
  std::size_t cols = 0, width = 1;
};
struct StatisticsSums {
  BlockSums* blocks = nullptr;
  double xy[kStatisticsLanes] = {};
  std::uint64_t clipped = 0, flushed = 0;
};
void add_row_statistics(const StatisticsRow& row, StatisticsSums& sums);

/// The order in which eight partial sums are added, everywhere.
inline double lane_sum(const double* s) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

}  // namespace assay::simulator
