// SPDX-License-Identifier: Apache-2.0
#include "golden/layout.h"

#include <stdexcept>
#include <string>
#include <vector>

namespace assay::golden {
namespace {

using formats::BlockScaledTensor;
using formats::FormatSpec;
using formats::Layout;
using formats::ScaleLayout;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Byte and bit position of element `index` of line `line`, lines of `length` elements each starting
// at a byte; a line is a row or a column of the matrix.
struct Address {
  std::size_t byte;
  int shift;
};

Address address(const BlockScaledTensor& t, std::int64_t row, std::int64_t col) {
  if (t.layout == Layout::split_nibbles) {
    // Rows of cols / 2 bytes; 16 bytes hold 32 codes, the first 16 of them in the low nibbles.
    const std::int64_t byte = row * (t.cols / 2) + (col / 32) * 16 + col % 16;
    return {static_cast<std::size_t>(byte), col % 32 < 16 ? 0 : 4};
  }
  const bool by_rows = t.layout == Layout::row_major;
  const std::int64_t line = by_rows ? row : col;
  const std::int64_t index = by_rows ? col : row;
  const std::int64_t length = by_rows ? t.cols : t.rows;
  const std::int64_t bits = t.format->element->storage_bits;
  const std::int64_t bit = line * ceil_div(length * bits, 8) * 8 + index * bits;
  return {static_cast<std::size_t>(bit / 8), static_cast<int>(bit % 8)};
}

// Little endian, least significant byte first; sub-byte codes fill a byte from its low bits.
std::uint32_t load(const std::vector<std::uint8_t>& bytes, Address at, int storage_bits) {
  if (storage_bits < 8) return (bytes.at(at.byte) >> at.shift) & ((1U << storage_bits) - 1);
  std::uint32_t code = 0;
  for (int i = 0; i < storage_bits / 8; ++i)
    code |= std::uint32_t{bytes.at(at.byte + static_cast<std::size_t>(i))} << (8 * i);
  return code;
}

void store(std::vector<std::uint8_t>& bytes, Address at, int storage_bits, std::uint32_t code) {
  if (storage_bits < 8) {
    const std::uint32_t mask = ((1U << storage_bits) - 1) << at.shift;
    std::uint8_t& byte = bytes.at(at.byte);
    byte = static_cast<std::uint8_t>((byte & ~mask) | ((code << at.shift) & mask));
    return;
  }
  for (int i = 0; i < storage_bits / 8; ++i)
    bytes.at(at.byte + static_cast<std::size_t>(i)) = static_cast<std::uint8_t>(code >> (8 * i));
}

Address scale_address(const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
  const BlockGrid grid = block_grid(*t.format, t.rows, t.cols);
  const std::int64_t index = scale_index(t.scale_layout, grid.down, grid.across, r, c);
  return {static_cast<std::size_t>(index * (t.format->scale->storage_bits / 8)), 0};
}

}  // namespace

BlockGrid block_grid(const formats::BlockFormat& format, std::int64_t rows, std::int64_t cols) {
  if (rows < 1 || cols < 1)
    throw std::invalid_argument(
        "a block-scaled tensor needs at least one row and one column, not " + std::to_string(rows) +
        " x " + std::to_string(cols));
  const std::int64_t block_rows = format.block.rows == 0 ? rows : format.block.rows;
  const std::int64_t block_cols = format.block.cols == 0 ? cols : format.block.cols;
  return {block_rows, block_cols, ceil_div(rows, block_rows), ceil_div(cols, block_cols)};
}

std::int64_t code_bytes(const FormatSpec& element, std::int64_t rows, std::int64_t cols,
                        Layout layout) {
  if (layout == Layout::split_nibbles && (element.storage_bits != 4 || cols % 32 != 0))
    throw std::invalid_argument("split nibbles are 4-bit codes in rows of multiples of 32, not " +
                                std::to_string(element.storage_bits) + "-bit codes in rows of " +
                                std::to_string(cols));
  const bool by_rows = layout != Layout::column_major;
  return (by_rows ? rows : cols) * ceil_div((by_rows ? cols : rows) * element.storage_bits, 8);
}

std::int64_t scale_bytes(const formats::BlockFormat& format, std::int64_t rows, std::int64_t cols,
                         ScaleLayout layout) {
  const BlockGrid grid = block_grid(format, rows, cols);
  const std::int64_t width = format.scale->storage_bits / 8;
  const auto require_width = [&](std::int64_t needed, const char* name) {
    if (width == needed) return;
    throw std::invalid_argument(std::string(name) + " needs scale factors of " +
                                std::to_string(needed) + " bytes; format " +
                                std::string(format.name) + " has " + std::to_string(width));
  };
  switch (layout) {
    case ScaleLayout::row_major:
      return grid.down * grid.across * width;
    case ScaleLayout::swizzled_128x4:
      require_width(1, "the 128x4 swizzle");
      return ceil_div(grid.down, 128) * 128 * ceil_div(grid.across, 4) * 4;
    case ScaleLayout::mn_major:
      require_width(4, "the MN-major layout");
      return grid.across * ceil_div(grid.down, 4) * 4 * 4;
    case ScaleLayout::mn_major_packed:
      require_width(1, "the packed MN-major layout");
      return ceil_div(grid.across, 4) * ceil_div(grid.down, 4) * 4 * 4;
  }
  throw std::invalid_argument("unknown scale layout");
}

std::int64_t scale_index(ScaleLayout layout, std::int64_t down, std::int64_t across, std::int64_t r,
                         std::int64_t c) {
  switch (layout) {
    case ScaleLayout::row_major:
      return r * across + c;
    case ScaleLayout::swizzled_128x4:
      return ((r / 128) * ceil_div(across, 4) + c / 4) * 512 + (r % 32) * 16 +
             ((r % 128) / 32) * 4 + c % 4;
    case ScaleLayout::mn_major:
      return c * (ceil_div(down, 4) * 4) + r;
    case ScaleLayout::mn_major_packed:
      return ((c / 4) * (ceil_div(down, 4) * 4) + r) * 4 + c % 4;
  }
  throw std::invalid_argument("unknown scale layout");
}

std::uint32_t load_code(const BlockScaledTensor& t, std::int64_t row, std::int64_t col) {
  return load(t.codes, address(t, row, col), t.format->element->storage_bits);
}

void store_code(BlockScaledTensor& t, std::int64_t row, std::int64_t col, std::uint32_t code) {
  store(t.codes, address(t, row, col), t.format->element->storage_bits, code);
}

std::uint32_t load_scale(const BlockScaledTensor& t, std::int64_t block_row,
                         std::int64_t block_col) {
  return load(t.scales, scale_address(t, block_row, block_col), t.format->scale->storage_bits);
}

void store_scale(BlockScaledTensor& t, std::int64_t block_row, std::int64_t block_col,
                 std::uint32_t code) {
  store(t.scales, scale_address(t, block_row, block_col), t.format->scale->storage_bits, code);
}

void require_consistent(const BlockScaledTensor& t) {
  if (t.format == nullptr)
    throw std::invalid_argument(
        "a block-scaled tensor needs a format; set BlockScaledTensor::format");
  const std::int64_t scales = scale_bytes(*t.format, t.rows, t.cols, t.scale_layout);
  const std::int64_t codes = code_bytes(*t.format->element, t.rows, t.cols, t.layout);
  if (static_cast<std::int64_t>(t.codes.size()) != codes)
    throw std::invalid_argument("tensor has " + std::to_string(t.codes.size()) +
                                " bytes of codes; its shape and layout need " +
                                std::to_string(codes));
  if (static_cast<std::int64_t>(t.scales.size()) != scales)
    throw std::invalid_argument("tensor has " + std::to_string(t.scales.size()) +
                                " bytes of scale factors; its shape and layout need " +
                                std::to_string(scales));
}

}  // namespace assay::golden
