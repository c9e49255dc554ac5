// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a matrix that does not fit in memory is cut into tiles whose codes and scale factors stand
// alone.

#include <cstdint>
#include <vector>

#include "formats/block.h"
#include "formats/layout.h"

namespace assay::tools {

/// Tiles that cover rows x cols in row-major order, each of about `budget` elements and at least
/// one block (one 128x4 square of blocks where the scale factors are swizzled, one of 4x4 where
/// they lie column by column). They begin and end at block borders, or with the tensor. A block
/// that spans the whole extent makes tiles that do, too.
std::vector<formats::Tile> tiles(const formats::BlockFormat& format, formats::ScaleLayout layout,
                                 std::int64_t rows, std::int64_t cols, std::int64_t budget);

}  // namespace assay::tools
