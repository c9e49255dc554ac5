// SPDX-License-Identifier: Apache-2.0
#include "tools/tiles.h"

#include <algorithm>

namespace assay::tools {

std::vector<formats::Tile> tiles(const formats::BlockFormat& format, formats::ScaleLayout layout,
                                 std::int64_t rows, std::int64_t cols, std::int64_t budget) {
  const formats::BlockGrid grid = formats::block_grid(format.block, rows, cols);
  const bool plain = layout == formats::ScaleLayout::row_major;
  const bool swizzled = layout == formats::ScaleLayout::swizzled_128x4;
  const std::int64_t band = std::min(rows, grid.block_rows * (plain ? 1 : swizzled ? 128 : 4));
  // Two blocks at least, so that a 4-bit tile begins at a byte whatever the block's extent.
  const std::int64_t step = grid.block_cols * (plain ? 2 : 4);
  std::int64_t height = band;
  std::int64_t width = cols;
  if (band * cols <= budget)
    height = budget / (band * cols) * band;
  else
    width = std::max(budget / band / step, std::int64_t{1}) * step;
  std::vector<formats::Tile> out;
  for (std::int64_t row = 0; row < rows; row += height)
    for (std::int64_t col = 0; col < cols; col += width)
      out.push_back({row, col, std::min(height, rows - row), std::min(width, cols - col)});
  return out;
}

}  // namespace assay::tools
