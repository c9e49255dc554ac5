// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which part of a product a thread block computes.

#include <cstdint>

#include "kernels/cuda/host_device.h"

struct CUstream_st;  // cudaStream_t points to it; this header needs no CUDA

namespace assay::kernels::cuda {

/// Some rows of D against one matrix of weights: rows [row0, end) of A and D, matrix `group` of B.
struct RowTile {
  std::int64_t row0, end;
  std::int64_t group;
};

/// The rows of A and D that each group has, in one of the two layouts of the field.
struct GroupRows {
  const std::int64_t* offsets = nullptr;  ///< contiguous: rows offsets[g] .. offsets[g+1] - 1
  const std::int64_t* counts = nullptr;   ///< masked: the first counts[g] of `most` rows ...
  std::int64_t most = 0;                  ///< ... from g * most on

  [[nodiscard]] ASSAY_HOST_DEVICE std::int64_t begin(std::int64_t g) const {
    return offsets != nullptr ? offsets[g] : g * most;
  }
  [[nodiscard]] ASSAY_HOST_DEVICE std::int64_t end(std::int64_t g) const {
    return offsets != nullptr ? offsets[g + 1] : g * most + counts[g];
  }
};

ASSAY_HOST_DEVICE inline std::int64_t tiles_of_group(const GroupRows& rows, std::int64_t g,
                                                     int height) {
  return (rows.end(g) - rows.begin(g) + height - 1) / height;
}
/// Writes the tiles of a group, tiles_of_group of them; an empty group has none.
ASSAY_HOST_DEVICE inline void put_group_tiles(const GroupRows& rows, std::int64_t g, int height,
                                              RowTile* to) {
  const std::int64_t end = rows.end(g);
  for (std::int64_t row = rows.begin(g); row < end; row += height)
    *to++ = {row, end < row + height ? end : row + height, g};
}
/// As many tiles as `total` rows can need, whatever the groups' sizes.
ASSAY_HOST_DEVICE inline std::int64_t most_row_tiles(std::int64_t total, std::int64_t groups,
                                                     int height) {
  return total / height + groups;
}

/// Row tiles of a grouped product, made on the device, `rows` pointing to device memory. `tiles`
/// has room for most_row_tiles; what is not needed gets row0 == end.
void plan_row_tiles(const GroupRows& rows, std::int64_t groups, int height, RowTile* tiles,
                    std::int64_t capacity, CUstream_st* stream = nullptr);

/// Blocks that run at the same time should share their operands in the cache: `across` tiles of
/// rows advance together through the columns.
struct TilePlace {
  unsigned row, col;
};
ASSAY_HOST_DEVICE inline TilePlace tile_place(unsigned block, unsigned row_tiles,
                                              unsigned col_tiles, unsigned across) {
  const unsigned band = block / (across * col_tiles);
  const unsigned first = band * across;
  const unsigned height = row_tiles - first < across ? row_tiles - first : across;
  const unsigned within = block - band * across * col_tiles;
  return {first + within % height, within / height};
}

}  // namespace assay::kernels::cuda
