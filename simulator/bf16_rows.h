// SPDX-License-Identifier: Apache-2.0
#pragma once
// tile_statistics.h for tensors of BF16 and elements of 6 and 8 bits, which have too many values
// for the tables of bf16_statistics.h: elements are rounded in FP32 where they are summed, the same
// to the bit, and no tile is decoded, quantized or packed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "formats/block_probe.h"
#include "simulator/tile_kernels.h"
#include "simulator/tile_statistics.h"

namespace assay::simulator {

/// One row of a tile, whole blocks of `width` elements or what is left; the arrays are per block.
struct Bf16Row {
  const std::uint16_t* x = nullptr;
  std::size_t cols = 0, width = 1;
  const float* factor = nullptr;        ///< elements are divided by, or else multiplied with it
  const double* scale = nullptr;        ///< what rounded elements are multiplied with
  const std::uint16_t* clip = nullptr;  ///< the largest bits of |x| that are not clipped
};

/// Adds a row as add_row_statistics() does; `job` rounds to nearest. Only where
/// bf16_kernels_apply().
void add_row_bf16(const formats::ElementJob& job, const Bf16Row& row, StatisticsSums& sums);

/// amax[b] = max(amax[b], the largest bits of |x| in the row's block b). Only where
/// bf16_kernels_apply().
void row_amax_bf16(const std::uint16_t* x, std::size_t cols, std::size_t width,
                   std::uint16_t* amax);

class Bf16Rows {
 public:
  /// Null where another path must be taken: narrower elements, elements without a sign bit, blocks
  /// of whole extents, several orders, another rounding than to nearest even, a machine without the
  /// vectors.
  static std::unique_ptr<Bf16Rows> of(const formats::BlockFormat& format,
                                      const formats::QuantizeOptions& options, float tensor_amax);

  /// The sums of whole rows of `cols` elements, from the first row of a block on. Safe from several
  /// threads. Nothing where they hold a NaN or infinity, or a scale factor is no ordinary number.
  /// The memory of `room` is used for the blocks.
  [[nodiscard]] std::optional<TileSums> tile(std::span<const std::uint16_t> x, std::int64_t cols,
                                             std::vector<BlockSums> room) const;

 private:
  struct Blocks;
  Bf16Rows(const formats::BlockFormat& format, const formats::QuantizeOptions& options,
           float tensor_amax);
  [[nodiscard]] bool find_scales(Blocks& blocks) const;

  formats::BlockProbe probe_;
  const formats::BlockFormat& format_;
  double largest_;  ///< element
};

}  // namespace assay::simulator
