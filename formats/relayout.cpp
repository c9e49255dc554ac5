// SPDX-License-Identifier: Apache-2.0
// The same numbers at other addresses.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "formats/layout.h"

namespace assay::formats {
namespace {

void require_groups(std::span<std::uint8_t> codes) {
  if (codes.size() % 16 == 0) return;
  throw std::invalid_argument("split nibbles come in groups of 16 bytes; " +
                              std::to_string(codes.size()) + " bytes are no multiple");
}

void require_arrays(const BlockScaledTensor& t) {
  if (t.format == nullptr || t.rows <= 0 || t.cols <= 0) {
    throw std::invalid_argument("relayout: the tensor needs a format and a positive shape");
  }
  require_layouts(*t.format, t.cols, t.layout, t.scale_layout);
  const BlockGrid grid = block_grid(t.format->block, t.rows, t.cols);
  const std::int64_t codes = code_bytes(t.rows, t.cols, t.format->element->storage_bits, t.layout);
  const std::int64_t scales =
      scale_slots(grid.rows, grid.cols, t.scale_layout) * t.format->scale->storage_bits / 8;
  if (static_cast<std::int64_t>(t.codes.size()) != codes ||
      static_cast<std::int64_t>(t.scales.size()) != scales) {
    throw std::invalid_argument("relayout: " + std::to_string(t.codes.size()) +
                                " bytes of codes and " + std::to_string(t.scales.size()) +
                                " of scale factors where the shape implies " +
                                std::to_string(codes) + " and " + std::to_string(scales));
  }
}

std::vector<std::uint8_t> move_codes(const BlockScaledTensor& t, Layout to) {
  if (t.layout == to) return t.codes;
  const int bits = t.format->element->storage_bits;
  // Through row-major, which each of the others is one step away from.
  std::vector<std::uint8_t> codes =
      t.layout == Layout::column_major ? transpose_codes(t.codes, t.cols, t.rows, bits) : t.codes;
  if (t.layout == Layout::split_nibbles) join_nibbles(codes);
  if (to == Layout::column_major) return transpose_codes(codes, t.rows, t.cols, bits);
  if (to == Layout::split_nibbles) split_nibbles(codes);
  return codes;
}

std::vector<std::uint8_t> move_scales(const BlockScaledTensor& t, ScaleLayout to) {
  if (t.scale_layout == to) return t.scales;
  const int bits = t.format->scale->storage_bits;
  const BlockGrid grid = block_grid(t.format->block, t.rows, t.cols);
  std::vector<std::uint8_t> out(
      static_cast<std::size_t>(scale_slots(grid.rows, grid.cols, to) * bits / 8));
  for (std::int64_t r = 0; r < grid.rows; ++r) {
    for (std::int64_t c = 0; c < grid.cols; ++c) {
      store_code(out.data(), scale_index(r, c, grid.rows, grid.cols, to), bits,
                 load_code(t.scales.data(), scale_index(r, c, grid.rows, grid.cols, t.scale_layout),
                           bits));
    }
  }
  return out;
}

/// Row r goes to row to(r).
template <typename To>
BlockScaledTensor move_rows(const BlockScaledTensor& t, To to) {
  require_arrays(t);
  if (t.layout == Layout::column_major || t.format->block.rows != 1 || t.rows % 2 != 0) {
    throw std::invalid_argument(
        "interleaving gates and ups needs an even number of rows, stored row by row, in blocks "
        "of one row");
  }
  BlockScaledTensor out = t;
  const std::int64_t stride =
      code_stride(t.rows, t.cols, t.format->element->storage_bits, t.layout);
  const int bits = t.format->scale->storage_bits;
  const BlockGrid grid = block_grid(t.format->block, t.rows, t.cols);
  for (std::int64_t r = 0; r < t.rows; ++r) {
    std::copy_n(t.codes.data() + r * stride, stride, out.codes.data() + to(r) * stride);
    for (std::int64_t c = 0; c < grid.cols; ++c) {
      const auto at = [&](std::int64_t row) {
        return scale_index(row, c, grid.rows, grid.cols, t.scale_layout);
      };
      store_code(out.scales.data(), at(to(r)), bits, load_code(t.scales.data(), at(r), bits));
    }
  }
  return out;
}

}  // namespace

void require_layouts(const BlockFormat& format, std::int64_t cols, Layout layout,
                     ScaleLayout scales) {
  const std::string name(format.name);
  if (layout == Layout::split_nibbles && (format.element->storage_bits != 4 || cols % 32 != 0)) {
    throw std::invalid_argument(name + ": split nibbles are for 4-bit codes in rows of multiples " +
                                "of 32, not rows of " + std::to_string(cols) + "; use row_major");
  }
  const int bits = scale_layout_bits(scales);
  if (bits != 0 && format.scale->storage_bits != bits) {
    throw std::invalid_argument(name + ": this layout is for scale factors of " +
                                std::to_string(bits / 8) + " bytes, not of " +
                                std::to_string(format.scale->storage_bits / 8) + "; use row_major");
  }
}

void split_nibbles(std::span<std::uint8_t> codes) {
  require_groups(codes);
  for (std::size_t group = 0; group < codes.size(); group += 16) {
    std::array<std::uint8_t, 16> out;
    // Codes j and 16 + j meet in byte j; j is even in byte j/2, odd above it.
    for (std::size_t j = 0; j < 16; ++j) {
      const unsigned low = codes[group + j / 2] >> (j % 2 * 4) & 0xFU;
      const unsigned high = codes[group + 8 + j / 2] >> (j % 2 * 4) & 0xFU;
      out[j] = static_cast<std::uint8_t>(low | high << 4);
    }
    std::copy(out.begin(), out.end(), codes.begin() + static_cast<std::ptrdiff_t>(group));
  }
}

void join_nibbles(std::span<std::uint8_t> codes) {
  require_groups(codes);
  for (std::size_t group = 0; group < codes.size(); group += 16) {
    std::array<std::uint8_t, 16> out;
    for (std::size_t i = 0; i < 8; ++i) {
      const unsigned even = codes[group + 2 * i];
      const unsigned odd = codes[group + 2 * i + 1];
      out[i] = static_cast<std::uint8_t>((even & 0xFU) | (odd & 0xFU) << 4);
      out[8 + i] = static_cast<std::uint8_t>(even >> 4 | (odd & 0xF0U));
    }
    std::copy(out.begin(), out.end(), codes.begin() + static_cast<std::ptrdiff_t>(group));
  }
}

BlockScaledTensor relayout(const BlockScaledTensor& tensor, Layout codes, ScaleLayout scales) {
  require_arrays(tensor);
  require_layouts(*tensor.format, tensor.cols, codes, scales);
  return {tensor.format,
          tensor.rows,
          tensor.cols,
          codes,
          scales,
          move_codes(tensor, codes),
          move_scales(tensor, scales),
          tensor.tensor_scale};
}

BlockScaledTensor interleave_gate_up(const BlockScaledTensor& tensor) {
  const std::int64_t n = tensor.rows / 2;
  return move_rows(tensor, [n](std::int64_t r) { return r < n ? 2 * r : 2 * (r - n) + 1; });
}

BlockScaledTensor separate_gate_up(const BlockScaledTensor& tensor) {
  const std::int64_t n = tensor.rows / 2;
  return move_rows(tensor, [n](std::int64_t r) { return r % 2 == 0 ? r / 2 : n + r / 2; });
}

}  // namespace assay::formats
