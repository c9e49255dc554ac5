// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where codes and scale factors lie in memory: the formulas of formats/tensor.h, one address at a
// time.

#include <cstdint>
#include <span>

#include "formats/tensor.h"

namespace assay::golden {

/// The grid of blocks over a rows x cols matrix. A block extent of 0 is the whole extent; a partial
/// block at an edge counts.
struct BlockGrid {
  std::int64_t block_rows = 0;  ///< rows of a block
  std::int64_t block_cols = 0;
  std::int64_t down = 0;    ///< blocks along a column of the matrix
  std::int64_t across = 0;  ///< blocks along a row
};
[[nodiscard]] BlockGrid block_grid(const formats::BlockFormat& format, std::int64_t rows,
                                   std::int64_t cols);

/// Bytes that the arrays of a tensor take. Throws std::invalid_argument for split nibbles of codes
/// that are not 4 bits wide or of rows that are not multiples of 32, and for a scale layout of
/// factors of another width.
[[nodiscard]] std::int64_t code_bytes(const formats::FormatSpec& element, std::int64_t rows,
                                      std::int64_t cols, formats::Layout layout);
[[nodiscard]] std::int64_t scale_bytes(const formats::BlockFormat& format, std::int64_t rows,
                                       std::int64_t cols, formats::ScaleLayout layout);

/// Index (in scale factors) of block (r, c) of a grid of `down` x `across` blocks.
[[nodiscard]] std::int64_t scale_index(formats::ScaleLayout layout, std::int64_t down,
                                       std::int64_t across, std::int64_t r, std::int64_t c);

/// The element code at (row, col), the scale factor's code of block (block_row, block_col).
[[nodiscard]] std::uint32_t load_code(const formats::BlockScaledTensor& t, std::int64_t row,
                                      std::int64_t col);
void store_code(formats::BlockScaledTensor& t, std::int64_t row, std::int64_t col,
                std::uint32_t code);
[[nodiscard]] std::uint32_t load_scale(const formats::BlockScaledTensor& t, std::int64_t block_row,
                                       std::int64_t block_col);
void store_scale(formats::BlockScaledTensor& t, std::int64_t block_row, std::int64_t block_col,
                 std::uint32_t code);

/// Throws std::invalid_argument unless the tensor has a format, a positive shape and arrays of
/// exactly the sizes that its shape and layouts need.
void require_consistent(const formats::BlockScaledTensor& t);

}  // namespace assay::golden
