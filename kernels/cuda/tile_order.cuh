// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which part of a product a thread block computes.

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

/// Some rows of D against one matrix of weights: rows [row0, end) of A and D, matrix `group` of B.
struct RowTile {
  std::int64_t row0, end;
  std::int64_t group;
};

/// Row tiles of a grouped product, made on the device from its offsets: group g has the rows
/// [offsets[g], offsets[g+1]), in tiles of `height`; an empty group has none. `tiles` has room for
/// total / height + groups; what is not needed gets row0 == end.
void plan_row_tiles(const std::int64_t* offsets, std::int64_t groups, int height, RowTile* tiles,
                    std::int64_t capacity);

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
