// SPDX-License-Identifier: Apache-2.0
// Codes to integers and exponents, read from a format's row once more: golden/codec.cpp is another
// reading, and the tests hold the two against each other.
#include <bit>

#include "golden/exact_gemm_operand.h"

namespace assay::golden::exact_parts {

using formats::FormatSpec;
using formats::Negatives;
using formats::Specials;

Number read_number(const FormatSpec& spec, std::uint32_t code) {
  const int width = spec.exponent_bits + spec.mantissa_bits;
  const std::uint32_t magnitude_mask = width == 32 ? ~0U : (1U << width) - 1;
  Number x;
  x.negative = spec.sign_bits != 0 && (code >> width & 1U) != 0;
  std::uint32_t magnitude = code & magnitude_mask;
  if (spec.negatives == Negatives::twos_complement && x.negative)
    magnitude = (1U << width) - magnitude;
  const std::uint32_t mantissa_mask = (1U << spec.mantissa_bits) - 1;
  const std::uint32_t top_field = (1U << spec.exponent_bits) - 1;
  const std::uint32_t field = spec.exponent_bits == 0 ? 0 : magnitude >> spec.mantissa_bits;
  const std::uint32_t mantissa = magnitude & mantissa_mask;
  const bool all_ones = field == top_field && mantissa == mantissa_mask;
  if (spec.specials == Specials::nan_all_ones && all_ones) x.kind = Number::Kind::nan;
  if (spec.specials == Specials::ieee && field == top_field)
    x.kind = mantissa == 0 ? Number::Kind::infinity : Number::Kind::nan;
  if (x.kind != Number::Kind::finite) return x;
  if (spec.exponent_bits == 0) {
    x.significand = magnitude;
    x.exponent = 1 - spec.bias - spec.mantissa_bits;
  } else if (field == 0 && spec.subnormals) {
    x.significand = mantissa;
    x.exponent = 1 - spec.bias - spec.mantissa_bits;
  } else {
    x.significand = mantissa | 1U << spec.mantissa_bits;
    x.exponent = static_cast<int>(field) - spec.bias - spec.mantissa_bits;
  }
  if (x.significand == 0) x.exponent = 0;
  return x;
}

int significand_bits(const FormatSpec& spec) { return spec.mantissa_bits + 1; }

Reader::Reader(const formats::BlockScaledTensor& tensor)
    : t_(tensor),
      code_stride_(tensor.format->element->storage_bits == 4 ? (tensor.cols + 1) / 2 : tensor.cols),
      block_rows_(tensor.format->block.rows == 0 ? tensor.rows : tensor.format->block.rows),
      block_cols_(tensor.format->block.cols == 0 ? tensor.cols : tensor.format->block.cols),
      across_((tensor.cols + block_cols_ - 1) / block_cols_),
      scale_bytes_(static_cast<std::size_t>(tensor.format->scale->storage_bits / 8)) {}

std::uint32_t Reader::code(std::int64_t row, std::int64_t k) const {
  if (t_.format->element->storage_bits == 8)
    return t_.codes[static_cast<std::size_t>(row * code_stride_ + k)];
  return t_.codes[static_cast<std::size_t>(row * code_stride_ + k / 2)] >> (k % 2 * 4) & 0xFU;
}

std::uint32_t Reader::scale_of_block(std::int64_t row, std::int64_t block) const {
  const auto at = static_cast<std::size_t>(row / block_rows_ * across_ + block);
  if (scale_bytes_ == 1) return t_.scales[at];
  std::uint32_t code = 0;
  for (std::size_t i = 0; i < scale_bytes_; ++i)
    code |= std::uint32_t{t_.scales[at * scale_bytes_ + i]} << (8 * i);
  return code;
}

}  // namespace assay::golden::exact_parts
