// SPDX-License-Identifier: Apache-2.0
#pragma once
// The definition of a matrix unit's step in exact numbers (Xie et al., arXiv 2511.10909; Khattak
// and Mikaitis, arXiv 2512.07004): what simulator/mma computes in integers, said once more without
// any of its code.

#include <cstdint>
#include <span>

#include "golden/codec.h"

namespace assay::golden {

/// One product (or group of products), or the accumulator. Its exponent is that of the encodings:
/// not floor(log2 |value|).
struct FusedTerm {
  Value value;
  std::int64_t exponent = 0;
  bool takes_zero_exponent = false;
};

struct FusedStep {
  int fraction_bits = 0;
  std::int64_t zero_exponent = 0;
  bool zero_exponent_is_floor = false;  ///< of the largest exponent, whatever is zero
};

/// A number with the exponent of its encoding.
struct FusedOperand {
  Value value;
  std::int64_t exponent = 0;
};
[[nodiscard]] FusedOperand fused_operand(const FormatSpec& spec, std::uint32_t code);

/// The exact product; it takes the zero exponent where a factor is zero.
[[nodiscard]] FusedTerm fused_product(const FusedOperand& a, const FusedOperand& b);
[[nodiscard]] FusedTerm fused_accumulator(const FusedOperand& c);

/// The sum of the terms, each truncated toward zero to a multiple of 2^(e_max - F). NaN and
/// infinities by IEEE 754; an exact zero is +0.
[[nodiscard]] Value fused_sum(std::span<const FusedTerm> terms, const FusedStep& step);

/// `x` truncated toward zero to `kept` fraction bits of format `d` (kept <= its own), also among
/// subnormal numbers; what reaches 2^(emax + 1) becomes infinite. NaN is all ones, positive. The
/// sign of what becomes 0 stays.
[[nodiscard]] std::uint32_t truncate_to(const FormatSpec& d, int kept, const Value& x);

}  // namespace assay::golden
