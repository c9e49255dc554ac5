// SPDX-License-Identifier: Apache-2.0
#pragma once
// Between the statistics of tiles and their vector code.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "simulator/tile_statistics.h"

namespace assay::simulator {

inline constexpr std::size_t kStatisticsLanes = 8;

/// One row of a tile, or a piece of one that begins with a block. Run b, `width` elements or what
/// is left, belongs to block b: its values are element[i] * scale[b], and it clips beyond limit[b].
/// Sums are added to blocks[b], to the lanes of `xy` and to the counts.
struct StatisticsRow {
  const float* x = nullptr;
  const float* element = nullptr;  ///< or, if null:
  const double* exact = nullptr;   ///< where FP32 does not hold them
  const double* scale = nullptr;
  const double* limit = nullptr;
  std::size_t cols = 0, width = 1;
};
struct StatisticsSums {
  struct Lanes {
    double power[kStatisticsLanes], error[kStatisticsLanes];
  };
  BlockSums* blocks = nullptr;
  double xy[kStatisticsLanes] = {};
  std::uint64_t clipped = 0, flushed = 0;
  std::vector<Lanes> partial;  ///< of machines with narrower vectors
};
void add_row_statistics(const StatisticsRow& row, StatisticsSums& sums);

/// NaN where there is one: magnitudes are ordered as their bits.
[[nodiscard]] float largest_magnitude(std::span<const float> x);
/// The same of BF16, little endian.
[[nodiscard]] float largest_magnitude_bf16(std::span<const std::byte> bytes);

/// Of n 4-bit codes, two to a byte, twice[code] / 2.
void decode_nibbles(const std::uint8_t* codes, std::size_t n, const std::int8_t* twice, float* out);
/// Of n codes of a byte, of a float with a sign and subnormal numbers and no code that is special:
/// `factor` = 2^(127 - its bias).
void decode_bytes(const std::uint8_t* codes, std::size_t n, int mantissa_bits, float factor,
                  float* out);

/// The order in which eight partial sums are added, everywhere.
inline double lane_sum(const double* s) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

}  // namespace assay::simulator
