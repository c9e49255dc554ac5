// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where codes and scale factors lie (Layout and ScaleLayout of tensor.h), as index arithmetic:
// sizes in bytes and positions. All functions are total for rows, cols >= 1 and constexpr.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"

namespace assay::formats {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

/// The blocks of a rows x cols matrix: how many, and which one holds an element.
struct BlockGrid {
  std::int64_t block_rows;  ///< extent of a block, the whole extent resolved
  std::int64_t block_cols;
  std::int64_t rows;  ///< number of blocks down and across; the last ones may be partial
  std::int64_t cols;

  [[nodiscard]] constexpr std::int64_t count() const { return rows * cols; }
  /// Row-major number of the block that holds element (r, c).
  [[nodiscard]] constexpr std::int64_t block_of(std::int64_t r, std::int64_t c) const {
    return r / block_rows * cols + c / block_cols;
  }
};

constexpr BlockGrid block_grid(BlockShape block, std::int64_t rows, std::int64_t cols) {
  const std::int64_t height = block.rows == 0 ? rows : block.rows;
  const std::int64_t width = block.cols == 0 ? cols : block.cols;
  return {height, width, ceil_div(rows, height), ceil_div(cols, width)};
}

/// Bytes of `n` consecutive codes of `bits` bits (4, 8, 16, 32), starting at a byte.
constexpr std::int64_t packed_bytes(std::int64_t n, int bits) { return ceil_div(n * bits, 8); }

/// Bytes from one row (column) to the next, and of the whole array of codes.
constexpr std::int64_t code_stride(std::int64_t rows, std::int64_t cols, int bits, Layout layout) {
  return packed_bytes(layout == Layout::column_major ? rows : cols, bits);
}
constexpr std::int64_t code_bytes(std::int64_t rows, std::int64_t cols, int bits, Layout layout) {
  return code_stride(rows, cols, bits, layout) * (layout == Layout::column_major ? cols : rows);
}

/// Position of the scale factor of block (r, c) in a grid of `cols` block columns (tensor.h).
constexpr std::int64_t swizzled_128x4(std::int64_t r, std::int64_t c, std::int64_t cols) {
  return (r / 128 * ceil_div(cols, 4) + c / 4) * 512 + r % 32 * 16 + r % 128 / 32 * 4 + c % 4;
}
constexpr std::int64_t scale_index(std::int64_t r, std::int64_t c, std::int64_t rows,
                                   std::int64_t cols, ScaleLayout layout) {
  if (layout == ScaleLayout::row_major) return r * cols + c;
  if (layout == ScaleLayout::swizzled_128x4) return swizzled_128x4(r, c, cols);
  const std::int64_t column = round_up(rows, 4);
  return layout == ScaleLayout::mn_major ? c * column + r : (c / 4 * column + r) * 4 + c % 4;
}
/// Number of scale factors that the layout allocates, padding included.
constexpr std::int64_t scale_slots(std::int64_t rows, std::int64_t cols, ScaleLayout layout) {
  if (layout == ScaleLayout::row_major) return rows * cols;
  if (layout == ScaleLayout::swizzled_128x4) return round_up(rows, 128) * round_up(cols, 4);
  return round_up(rows, 4) * (layout == ScaleLayout::mn_major ? cols : round_up(cols, 4));
}
/// Bits of the scale factors that the layout is for; 0: any.
constexpr int scale_layout_bits(ScaleLayout layout) {
  if (layout == ScaleLayout::row_major) return 0;
  return layout == ScaleLayout::mn_major ? 32 : 8;
}

/// Throws std::invalid_argument where the format cannot lie like that: split nibbles are for 4-bit
/// codes in rows of multiples of 32, each scale layout but row_major for one width of factors.
void require_layouts(const BlockFormat& format, std::int64_t cols, Layout layout,
                     ScaleLayout scales);

/// The scale factors of a rows x cols grid of one-byte codes from row-major to swizzled_128x4
/// (padding 0), and back. Throws std::invalid_argument where `scales` has not the size that the
/// grid implies.
std::vector<std::uint8_t> swizzle(std::span<const std::uint8_t> scales, std::int64_t rows,
                                  std::int64_t cols);
std::vector<std::uint8_t> unswizzle(std::span<const std::uint8_t> scales, std::int64_t rows,
                                    std::int64_t cols);

/// One code (4, 8, 16, 32 bits, little endian, low nibble first) of a run that starts at `codes`.
/// store_code() expects the nibble's place to hold zero.
constexpr std::uint32_t load_code(const std::uint8_t* codes, std::int64_t i, int bits) {
  if (bits == 4) return codes[i / 2] >> (i % 2 * 4) & 0xF;
  std::uint32_t code = 0;
  for (int byte = 0; byte < bits / 8; ++byte) {
    code |= std::uint32_t{codes[i * (bits / 8) + byte]} << (8 * byte);
  }
  return code;
}
constexpr void store_code(std::uint8_t* codes, std::int64_t i, int bits, std::uint32_t code) {
  if (bits == 4) codes[i / 2] = static_cast<std::uint8_t>(codes[i / 2] | code << (i % 2 * 4));
  for (int byte = 0; byte < bits / 8; ++byte) {
    codes[i * (bits / 8) + byte] = static_cast<std::uint8_t>(code >> (8 * byte));
  }
}

/// Codes of 6 bits (E2M3, E3M2), one a byte, as a dense string of bits: code i at bit 6 i, bit b in
/// byte b / 8 from its low end, so that 4 codes take 3 bytes; the unused bits of the last byte are
/// 0. Bits 6 and 7 of a code are ignored. Nothing else here takes this packing: arrays and tensors
/// keep such codes a byte each. This project's definition. unpack throws std::invalid_argument
/// where `bytes` has not the size of `count` codes.
std::vector<std::uint8_t> pack_six_bits(std::span<const std::uint8_t> codes);
std::vector<std::uint8_t> unpack_six_bits(std::span<const std::uint8_t> bytes, std::size_t count);

/// A rows x cols matrix of packed row-major codes as the packed row-major codes of its transpose,
/// which are its own column-major ones.
std::vector<std::uint8_t> transpose_codes(std::span<const std::uint8_t> codes, std::int64_t rows,
                                          std::int64_t cols, int bits);

/// Row-major 4-bit codes as split nibbles (Layout::split_nibbles), and back, in place: the
/// arithmetic is the same for every 16 bytes. Throws std::invalid_argument where `codes` is not a
/// multiple of 16 bytes.
void split_nibbles(std::span<std::uint8_t> codes);
void join_nibbles(std::span<std::uint8_t> codes);

/// The same numbers at other addresses; padding is 0. Throws std::invalid_argument for a tensor
/// whose arrays have not the sizes of its shape, and for a layout that its codes or scale factors
/// cannot have.
BlockScaledTensor relayout(const BlockScaledTensor& tensor, Layout codes, ScaleLayout scales);

/// Rows of gates (0 .. n-1) and ups (n .. 2n-1) interleaved, gate i to row 2i, up i to row 2i + 1,
/// with their scale factors; and back. For row-major and split-nibble codes in blocks of one row.
/// Throws std::invalid_argument otherwise and for an odd number of rows.
BlockScaledTensor interleave_gate_up(const BlockScaledTensor& tensor);
BlockScaledTensor separate_gate_up(const BlockScaledTensor& tensor);

/// The code of element (r, c), and the scale code of its block.
std::uint32_t element_code(const BlockScaledTensor& tensor, std::int64_t r, std::int64_t c);
std::uint32_t scale_code(const BlockScaledTensor& tensor, std::int64_t r, std::int64_t c);

}  // namespace assay::formats
