// SPDX-License-Identifier: Apache-2.0
#include "formats/layout.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "formats/parallel.h"

namespace assay::formats {
namespace {

void require_size(std::span<const std::uint8_t> scales, std::int64_t size) {
  if (static_cast<std::int64_t>(scales.size()) != size) {
    throw std::invalid_argument("scale factors: " + std::to_string(scales.size()) +
                                " bytes given where the grid of blocks has " +
                                std::to_string(size));
  }
}

void require_grid(std::int64_t rows, std::int64_t cols) {
  if (rows <= 0 || cols <= 0) {
    throw std::invalid_argument("scale factors: the grid of blocks is " + std::to_string(rows) +
                                " x " + std::to_string(cols) + "; both must be positive");
  }
}

}  // namespace

std::vector<std::uint8_t> swizzle(std::span<const std::uint8_t> scales, std::int64_t rows,
                                  std::int64_t cols) {
  require_grid(rows, cols);
  require_size(scales, rows * cols);
  std::vector<std::uint8_t> out(
      static_cast<std::size_t>(scale_slots(rows, cols, ScaleLayout::swizzled_128x4)));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      out[static_cast<std::size_t>(swizzled_128x4(r, c, cols))] =
          scales[static_cast<std::size_t>(r * cols + c)];
    }
  }
  return out;
}

std::vector<std::uint8_t> unswizzle(std::span<const std::uint8_t> scales, std::int64_t rows,
                                    std::int64_t cols) {
  require_grid(rows, cols);
  require_size(scales, scale_slots(rows, cols, ScaleLayout::swizzled_128x4));
  std::vector<std::uint8_t> out(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      out[static_cast<std::size_t>(r * cols + c)] =
          scales[static_cast<std::size_t>(swizzled_128x4(r, c, cols))];
    }
  }
  return out;
}

std::vector<std::uint8_t> pack_six_bits(std::span<const std::uint8_t> codes) {
  std::vector<std::uint8_t> bytes((codes.size() * 6 + 7) / 8);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::uint32_t word = (codes[i] & 0x3FU) << (6 * i % 8);  // bits 0, 6, 4, 2: two bytes do
    bytes[6 * i / 8] = static_cast<std::uint8_t>(bytes[6 * i / 8] | word);
    if (word > 0xFF) bytes[6 * i / 8 + 1] = static_cast<std::uint8_t>(word >> 8);
  }
  return bytes;
}

std::vector<std::uint8_t> unpack_six_bits(std::span<const std::uint8_t> bytes, std::size_t count) {
  if (bytes.size() != (count * 6 + 7) / 8) {
    throw std::invalid_argument(std::to_string(count) + " codes of 6 bits take " +
                                std::to_string((count * 6 + 7) / 8) + " bytes, but there are " +
                                std::to_string(bytes.size()));
  }
  std::vector<std::uint8_t> codes(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t byte = 6 * i / 8;
    const std::uint32_t high = byte + 1 < bytes.size() ? bytes[byte + 1] : 0U;
    codes[i] = static_cast<std::uint8_t>(((high << 8 | bytes[byte]) >> (6 * i % 8)) & 0x3F);
  }
  return codes;
}

std::vector<std::uint8_t> transpose_codes(std::span<const std::uint8_t> codes, std::int64_t rows,
                                          std::int64_t cols, int bits) {
  const std::int64_t from = packed_bytes(cols, bits);
  const std::int64_t to = packed_bytes(rows, bits);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(cols * to));
  // A square of an even side at a time: no two squares share a byte of `out`, and both sides of the
  // copy stay in cache.
  constexpr std::int64_t kSide = 64;
#pragma omp parallel for schedule(static) if (detail::worth_threads(rows * cols))
  for (std::int64_t first_col = 0; first_col < cols; first_col += kSide) {
    const std::int64_t last_col = std::min(cols, first_col + kSide);
    for (std::int64_t first_row = 0; first_row < rows; first_row += kSide) {
      const std::int64_t last_row = std::min(rows, first_row + kSide);
      for (std::int64_t c = first_col; c < last_col; ++c) {
        for (std::int64_t r = first_row; r < last_row; ++r) {
          store_code(&out[static_cast<std::size_t>(c * to)], r, bits,
                     load_code(&codes[static_cast<std::size_t>(r * from)], c, bits));
        }
      }
    }
  }
  return out;
}

std::uint32_t element_code(const BlockScaledTensor& tensor, std::int64_t r, std::int64_t c) {
  const int bits = tensor.format->element->storage_bits;
  const std::int64_t stride = code_stride(tensor.rows, tensor.cols, bits, tensor.layout);
  if (tensor.layout == Layout::split_nibbles) {
    return tensor.codes[static_cast<std::size_t>(r * stride + c / 32 * 16 + c % 16)] >>
               (c % 32 / 16 * 4) &
           0xF;
  }
  const bool by_row = tensor.layout == Layout::row_major;
  return load_code(tensor.codes.data() + (by_row ? r : c) * stride, by_row ? c : r, bits);
}

std::uint32_t scale_code(const BlockScaledTensor& tensor, std::int64_t r, std::int64_t c) {
  const BlockGrid grid = block_grid(tensor.format->block, tensor.rows, tensor.cols);
  const std::int64_t index = scale_index(r / grid.block_rows, c / grid.block_cols, grid.rows,
                                         grid.cols, tensor.scale_layout);
  return load_code(tensor.scales.data(), index, tensor.format->scale->storage_bits);
}

}  // namespace assay::formats
