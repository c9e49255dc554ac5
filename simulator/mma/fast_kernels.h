// SPDX-License-Identifier: Apache-2.0
#pragma once
// The vector code behind mma_gemm(). Private to simulator/mma.

#include <bit>
#include <cstdint>

#include "simulator/mma/fast.h"

namespace assay::simulator {

/// What a model's step needs, in numbers.
struct FastStep {
  int step = 0;
  int fraction_bits = 0;
  int product_bits = 0;  ///< fraction bits of a product's (or group term's) significand
  int zero_exponent = 0;
  bool zero_is_floor = false;
  int mantissa_bits = 0, bias = 0, kept_bits = 0;  ///< of D
  std::uint32_t sign_bit = 0;                      ///< of D
  bool nearest = false;
  bool signed_underflow = true;
  int scale_block = 0;  ///< 0: none
};

/// Exponents of zero elements of `fused` models: sums of two with one of them lie below every sum
/// of two others, which is at least 2 * -149.
inline constexpr int zero_element = -1000;
inline constexpr int below_all_products = -600;

/// Columns of B that lie together in an operand of a `fused` model.
inline constexpr std::size_t fast_lanes = 16;

/// The accumulator between steps.
struct FastAccumulator {
  bool finite = true, negative = false;
  std::uint64_t significand = 0;
  int exponent = 0;
};

inline FastAccumulator fast_read(const FastStep& s, std::uint32_t code) {
  const int exponent_bits = s.mantissa_bits == 10 ? 5 : 8;
  const std::uint32_t mantissa = code & ((1U << s.mantissa_bits) - 1);
  const std::uint32_t top = (1U << exponent_bits) - 1;
  const std::uint32_t field = code >> s.mantissa_bits & top;
  FastAccumulator c;
  c.finite = field != top;
  c.negative = (code >> (s.mantissa_bits + exponent_bits) & 1U) != 0;
  c.significand = mantissa | (field == 0 ? 0 : std::uint64_t{1} << s.mantissa_bits);
  c.exponent = static_cast<int>(field == 0 ? 1 : field) - s.bias;
  return c;
}

/// `sum` * 2^unit in D's format, by the model's conversion.
inline std::uint32_t fast_convert(const FastStep& s, std::int64_t sum, int unit) {
  if (sum == 0) return 0;
  const std::uint32_t sign = sum < 0 ? (s.mantissa_bits == 10 ? 0x8000U : 0x80000000U) : 0;
  const auto magnitude = static_cast<std::uint64_t>(sum < 0 ? -sum : sum);
  const int smallest = 1 - s.bias;
  int exponent = 63 - std::countl_zero(magnitude) + unit;
  if (exponent < smallest) exponent = smallest;
  const int shift = exponent - s.kept_bits - unit;
  std::uint64_t kept = 0;
  if (shift <= 0) {
    kept = magnitude << -shift;
  } else if (shift < 64) {
    kept = magnitude >> shift;
    const std::uint64_t half = std::uint64_t{1} << (shift - 1);
    const std::uint64_t rest = magnitude & (half | (half - 1));
    if (s.nearest && (rest > half || (rest == half && (kept & 1) != 0))) ++kept;
  }
  if (kept == 0 && !s.signed_underflow) return 0;
  if (kept >> (s.kept_bits + 1) != 0) {
    kept >>= 1;
    ++exponent;
  }
  const int dropped = s.mantissa_bits - s.kept_bits;
  if (exponent > s.bias)
    return sign | static_cast<std::uint32_t>(2 * s.bias + 1) << s.mantissa_bits;
  return sign | ((static_cast<std::uint32_t>(exponent - smallest) << s.mantissa_bits) +
                 static_cast<std::uint32_t>(kept << dropped));
}

/// x >> by toward zero, for any by >= 0.
inline std::int64_t fast_truncated(std::uint64_t magnitude, bool negative, int by) {
  const auto kept = static_cast<std::int64_t>(by > 63 ? 0 : magnitude >> by);
  return negative ? -kept : kept;
}

/// Row `i` of A with all rows of B; false in `done` where dot() must take the element.
struct FastJob {
  const FastStep& step;
  const MmaOperand& a;
  const MmaOperand& b;
  std::int64_t i = 0;
  const std::uint32_t* c = nullptr;  ///< of row i, or null
  std::uint32_t* d = nullptr;        ///< of row i
  bool* done = nullptr;              ///< of row i
};

using FastKernel = void (*)(const FastJob&);
/// For the instruction set of this machine.
[[nodiscard]] FastKernel fast_fused();
[[nodiscard]] FastKernel fast_grouped();

}  // namespace assay::simulator
