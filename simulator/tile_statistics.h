// SPDX-License-Identifier: Apache-2.0
#pragma once
// What quantization did to one tile of a matrix, in sums that add up over tiles: fast enough to
// keep pace with a disk. The additions have one order whatever the instruction set: eight partial
// sums a run of a row, added as a tree.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"

namespace assay::simulator {

/// Sums over the elements of one block: of x^2 and of (x^ - x)^2.
struct BlockSums {
  double power = 0, error = 0;
};

struct TileSums {
  double xy = 0;                          ///< sum of x x^
  std::uint64_t clipped = 0;              ///< |x| > largest element * scale factor * tensor scale
  std::uint64_t flushed = 0;              ///< nonzero, and zero after quantization
  std::uint64_t reencode_changed = 0;     ///< elements that a second encoding changes
  std::array<std::uint64_t, 16> codes{};  ///< how often each code is used (4-bit elements)
  std::vector<BlockSums> blocks;          ///< of the tile's own grid of blocks, row-major
};

/// `x`: the tile, row-major; `q`: what it was quantized to, in row-major layouts; `again`: what the
/// values of `q` were encoded to a second time, or null: then x^ are its values, and `clipped` and
/// `codes` those of `q`. x^ are exact products; sums are in double. The memory of `room` is used
/// for the blocks.
[[nodiscard]] TileSums tile_statistics(std::span<const float> x,
                                       const formats::BlockScaledTensor& q,
                                       const formats::BlockScaledTensor* again = nullptr,
                                       std::vector<BlockSums> room = {});

}  // namespace assay::simulator
