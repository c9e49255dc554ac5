// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/layout.h"
#include "formats/parallel.h"

namespace assay::formats {
namespace {

void require_bytes(const char* what, std::size_t size, std::int64_t expected) {
  if (static_cast<std::int64_t>(size) != expected) {
    throw std::invalid_argument(std::string("dequantize: ") + std::to_string(size) + " bytes of " +
                                what + " where the shape implies " + std::to_string(expected));
  }
}

void require_consistent(const BlockScaledTensor& t, std::span<float> out) {
  if (t.format == nullptr) throw std::invalid_argument("dequantize: the tensor has no format");
  if (t.rows <= 0 || t.cols <= 0) {
    throw std::invalid_argument("dequantize: the shape is " + std::to_string(t.rows) + " x " +
                                std::to_string(t.cols) + "; both sizes must be positive");
  }
  const BlockGrid grid = block_grid(t.format->block, t.rows, t.cols);
  require_layouts(*t.format, t.cols, t.layout, t.scale_layout);
  require_bytes("element codes", t.codes.size(),
                code_bytes(t.rows, t.cols, t.format->element->storage_bits, t.layout));
  require_bytes(
      "scale factors", t.scales.size(),
      scale_slots(grid.rows, grid.cols, t.scale_layout) * t.format->scale->storage_bits / 8);
  if (static_cast<std::int64_t>(out.size()) != t.rows * t.cols) {
    throw std::invalid_argument("dequantize: the output has " + std::to_string(out.size()) +
                                " elements where the shape implies " +
                                std::to_string(t.rows * t.cols));
  }
}

/// The FP32 nearest to e * s, for e of at most 24 and s of at most 48 significant bits. The product
/// may exceed 53 bits: then it is rounded to odd in double first, after which the rounding to 24
/// bits is as if from the exact product (Boldo and Melquiond, IEEE TC 57(4), 2008). The error of a
/// double product is exact by fma; all exponents here are far inside double's range.
float product(double e, double s) {
  double p = e * s;
  const double error = std::fma(e, s, -p);
  auto bits = std::bit_cast<std::uint64_t>(p);
  if (error != 0 && std::isfinite(p) && (bits & 1) == 0) {
    bits += (error > 0) == (p > 0) ? 1 : -1;  // one step towards the exact value: an odd double
    p = std::bit_cast<double>(bits);
  }
  return static_cast<float>(p);
}

/// One row of codes (packed) into values; factor[b] is the scale of block b.
class RowDecoder {
 public:
  explicit RowDecoder(const FormatSpec& element) : element_(element) {
    if (element.storage_bits > 8) return;
    values_.resize(std::size_t{1} << element.storage_bits);
    for (std::size_t c = 0; c < values_.size(); ++c) {
      values_[c] = static_cast<double>(decode(element, static_cast<std::uint32_t>(c)));
    }
  }

  void run(const std::uint8_t* codes, std::int64_t first, std::int64_t count, double factor,
           float* out) const {
    if (element_.storage_bits == 4) return nibbles(codes, first, count, factor, out);
    if (element_.storage_bits == 8 && element_.mantissa_bits <= 4) {
      for (std::int64_t i = 0; i < count; ++i) {  // at most 5 + 48 bits: exact
        out[i] = static_cast<float>(values_[codes[first + i]] * factor);
      }
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint32_t code = load_code(codes, first + i, element_.storage_bits);
      out[i] = product(static_cast<double>(decode(element_, code)), factor);
    }
  }

 private:
  void nibbles(const std::uint8_t* codes, std::int64_t first, std::int64_t count, double factor,
               float* out) const {
    std::array<float, 16> table;
    // At most 4 + 48 bits: the double product is exact.
    for (std::size_t c = 0; c < 16; ++c) table[c] = static_cast<float>(values_[c] * factor);
    std::int64_t i = 0;
    if (first % 2 != 0) out[i++] = table[codes[first / 2] >> 4];
    const std::uint8_t* pairs = codes + (first + i) / 2;
    for (; i + 1 < count; i += 2, ++pairs) {
      out[i] = table[*pairs & 0xF];
      out[i + 1] = table[*pairs >> 4];
    }
    if (i < count) out[i] = table[*pairs & 0xF];
  }

  const FormatSpec& element_;
  std::vector<double> values_;
};

}  // namespace

void dequantize(const BlockScaledTensor& tensor, std::span<float> out) {
  require_consistent(tensor, out);
  const BlockFormat& format = *tensor.format;
  const int bits = format.element->storage_bits;
  const BlockGrid grid = block_grid(format.block, tensor.rows, tensor.cols);
  std::vector<std::uint8_t> rearranged;  // row-major, where the tensor is not
  if (tensor.layout == Layout::column_major) {
    rearranged = transpose_codes(tensor.codes, tensor.cols, tensor.rows, bits);
  } else if (tensor.layout == Layout::split_nibbles) {
    rearranged = tensor.codes;
    join_nibbles(rearranged);
  }
  const std::uint8_t* codes = rearranged.empty() ? tensor.codes.data() : rearranged.data();
  const std::int64_t stride = packed_bytes(tensor.cols, bits);
  const double tensor_scale =
      format.tensor_scale == TensorScale::fp32 ? static_cast<double>(tensor.tensor_scale) : 1.0;
  const RowDecoder decoder(*format.element);
#pragma omp parallel for schedule(static) if (detail::worth_threads(tensor.rows * tensor.cols))
  for (std::int64_t row = 0; row < tensor.rows; ++row) {
    for (std::int64_t b = 0; b < grid.cols; ++b) {
      const std::int64_t index =
          scale_index(row / grid.block_rows, b, grid.rows, grid.cols, tensor.scale_layout);
      const std::uint32_t code = load_code(tensor.scales.data(), index, format.scale->storage_bits);
      // 24 + 24 bits: exact.
      const double factor = static_cast<double>(decode(*format.scale, code)) * tensor_scale;
      const std::int64_t first = b * grid.block_cols;
      const std::int64_t count = std::min(grid.block_cols, tensor.cols - first);
      decoder.run(codes + row * stride, first, count, factor,
                  out.data() + row * tensor.cols + first);
    }
  }
}

}  // namespace assay::formats
