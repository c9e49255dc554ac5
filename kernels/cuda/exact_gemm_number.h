// SPDX-License-Identifier: Apache-2.0
#pragma once
// Arithmetic of the exact GEMM on the GPU, for host and device alike, so that tests reach it
// without a GPU.
//
// A number is an element times its block's scale factor: significand * 2^exponent, the significand
// below 2^28 (4 bits and 24). A row's numbers are integers below 2^bits over 2^base; where bits is
// at most 8 P - 2, P signed digits of 8 bits hold each (127 (256^P - 1) / 255 > 2^(8 P - 2)), and a
// product of rows is a sum of products of digits, sum_d 2^(8 d) S_d with S_d the int8 products of
// all planes p + q = d. |S_d| <= 2^14 P k < 2^31 where P k < 2^17. With P at most 6 the sum has at
// most 46 + 46 + 17 bits. What does not fit goes through a sum over all exponents there are.

#include <cstdint>
#include <initializer_list>

#include "formats/host_device.h"

namespace assay::kernels::cuda::exact {

__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;

constexpr int most_planes = 6;
constexpr int most_bits = 8 * most_planes - 2;
constexpr std::int64_t most_sum = 1 << 17;  ///< of planes * k, not reached

/// value = significand * 2^exponent; significand 0 for NaN and infinities too.
struct Part {
  float value = 1;
  std::int32_t significand = 1;
  std::int32_t exponent = 0;
};

ASSAY_HOST_DEVICE constexpr Part part_of_bits(std::uint32_t bits) {
  Part p{__builtin_bit_cast(float, bits), 0, 0};
  const auto field = static_cast<std::int32_t>(bits >> 23 & 0xFFU);
  std::uint32_t significand = bits & 0x7FFFFFU;
  if (field == 0xFF) return p;
  if (field != 0) significand |= 0x800000U;
  if (significand == 0) return p;
  p.exponent = (field == 0 ? 1 : field) - 150;
  for (; (significand & 1U) == 0; significand >>= 1) ++p.exponent;
  p.significand = (bits >> 31) != 0 ? -static_cast<std::int32_t>(significand)
                                    : static_cast<std::int32_t>(significand);
  return p;
}

/// A tensor as kernels read it. `elements` and `scale_table` have 256 entries.
struct Operand {
  const std::uint8_t* codes;
  const std::uint8_t* scales;
  const Part* elements;
  const Part* scale_table;
  std::int64_t rows, k, code_stride, block_rows, block_cols, across;
  int scale_bytes;
  bool nibbles;
  bool row_scale;  ///< a row has one scale factor, which multiplies its sums
  float tensor_scale;
};

ASSAY_HOST_DEVICE inline Part element(const Operand& o, std::int64_t row, std::int64_t k) {
  const std::uint8_t byte = o.codes[row * o.code_stride + (o.nibbles ? k / 2 : k)];
  return o.elements[o.nibbles ? byte >> (k % 2 * 4) & 15 : byte];
}

ASSAY_HOST_DEVICE inline Part scale(const Operand& o, std::int64_t row, std::int64_t k) {
  const std::int64_t at = row / o.block_rows * o.across + k / o.block_cols;
  if (o.scale_bytes == 1) return o.scale_table[o.scales[at]];
  std::uint32_t bits = 0;
  for (int i = 0; i < o.scale_bytes; ++i)
    bits |= static_cast<std::uint32_t>(o.scales[at * o.scale_bytes + i]) << (8 * i);
  return part_of_bits(o.scale_bytes == 2 ? bits << 16 : bits);  // BF16 is the upper half of FP32
}

struct Number {
  std::int64_t significand;
  std::int32_t exponent;
  bool special;
};

ASSAY_HOST_DEVICE inline bool finite(float x) { return x - x == 0; }

ASSAY_HOST_DEVICE inline Number number(const Part& e, const Part& s) {
  return {static_cast<std::int64_t>(e.significand) * s.significand, e.exponent + s.exponent,
          !finite(e.value) || !finite(s.value)};
}

ASSAY_HOST_DEVICE inline Number number_at(const Operand& o, std::int64_t row, std::int64_t k) {
  const Part s = scale(o, row, k);
  Number x = number(element(o, row, k), o.row_scale ? Part{} : s);
  x.special = x.special || !finite(s.value);
  return x;
}

ASSAY_HOST_DEVICE inline int width_of(std::uint64_t x) {
  int width = 0;
  for (; x != 0; x >>= 1) ++width;
  return width;
}

/// Of a row; the two exponents are those of its last and first bit in use.
struct RowRange {
  std::int32_t low, high;
  std::int32_t special;
  std::int32_t negative_factor;
  std::uint64_t factor;  ///< below 2^48: tensor scale times the row's scale factor
  std::int32_t factor_exponent;
};
constexpr std::int32_t no_low = 1 << 20;

ASSAY_HOST_DEVICE inline void set_factor(const Operand& o, std::int64_t row, RowRange& range) {
  const Part t = part_of_bits(__builtin_bit_cast(std::uint32_t, o.tensor_scale));
  const Part s = o.row_scale ? scale(o, row, 0) : Part{};
  const std::int64_t product = static_cast<std::int64_t>(t.significand) * s.significand;
  range.factor = static_cast<std::uint64_t>(product < 0 ? -product : product);
  range.negative_factor = static_cast<std::int32_t>(product < 0);
  range.factor_exponent = t.exponent + s.exponent;
  if (!finite(t.value) || !finite(s.value)) range.special = 1;
}

ASSAY_HOST_DEVICE inline bool fits(const RowRange& range, int planes) {
  return range.special == 0 && (range.low == no_low || range.high - range.low <= 8 * planes - 2);
}

/// Digit by digit, the least significant first.
ASSAY_HOST_DEVICE inline std::int8_t next_digit(std::int64_t& x) {
  const auto digit = static_cast<std::int8_t>(static_cast<std::uint8_t>(x & 0xFF));
  x = (x - digit) >> 8;
  return digit;
}

/// Where a digit lies: tiles of `tile` rows, steps of 64 k, planes, and within a plane 8 rows x 16
/// k together, as wgmma reads them without swizzling.
ASSAY_HOST_DEVICE inline std::int64_t digit_at(int planes, int tile, std::int64_t steps,
                                               std::int64_t row, std::int64_t k, int plane) {
  const std::int64_t within = row % tile;
  return (((((row / tile * steps + k / 64) * planes + plane) * 4 + k % 64 / 16) * (tile / 8) +
           within / 8) *
          128) +
         within % 8 * 16 + k % 16;
}

/// (-1)^negative * (top + below) * 2^(exponent - 63), the highest bit of top set, below in [0, 1)
/// and not 0 where `sticky`: to the nearest FP32, ties to even.
ASSAY_HOST_DEVICE inline std::uint32_t nearest_f32(std::uint64_t top, bool sticky, int exponent,
                                                   bool negative) {
  const std::uint32_t sign = negative ? 0x80000000U : 0;
  int drop = 40;
  if (exponent < -126) drop += -126 - exponent;
  if (drop > 64) return sign;  // below half of the smallest number
  const std::uint64_t kept = drop == 64 ? 0 : top >> drop;
  const std::uint64_t half = std::uint64_t{1} << (drop - 1);
  const std::uint64_t rest = drop == 64 ? top : top & (2 * half - 1);
  std::uint64_t code = kept;
  if (exponent >= -126) code += static_cast<std::uint64_t>(exponent + 126) << 23;
  if (rest > half || (rest == half && (sticky || (kept & 1U) != 0))) ++code;
  if (exponent > 127 || code >= 0x7F800000U) return sign | 0x7F800000U;
  return sign | static_cast<std::uint32_t>(code);
}

ASSAY_HOST_DEVICE inline std::uint64_t multiply_limb(std::uint64_t limb, std::uint64_t factor,
                                                     std::uint64_t& carry) {
  const Uint128 product = static_cast<Uint128>(limb) * factor + carry;
  carry = static_cast<std::uint64_t>(product >> 64);
  return static_cast<std::uint64_t>(product);
}

/// sum * both factors * 2^exponent. 109 + 48 + 48 bits at most.
ASSAY_HOST_DEVICE inline std::uint32_t round_sum(Int128 sum, const RowRange& x, const RowRange& y) {
  if (sum == 0 || x.factor == 0 || y.factor == 0) return 0;
  const bool negative = (sum < 0) != (x.negative_factor != y.negative_factor);
  const Uint128 magnitude = sum < 0 ? -static_cast<Uint128>(sum) : static_cast<Uint128>(sum);
  std::uint64_t l0 = static_cast<std::uint64_t>(magnitude);
  std::uint64_t l1 = static_cast<std::uint64_t>(magnitude >> 64);
  std::uint64_t l2 = 0;
  std::uint64_t l3 = 0;
  for (const std::uint64_t factor : {x.factor, y.factor}) {
    std::uint64_t carry = 0;
    l0 = multiply_limb(l0, factor, carry);
    l1 = multiply_limb(l1, factor, carry);
    l2 = multiply_limb(l2, factor, carry);
    l3 = multiply_limb(l3, factor, carry);
  }
  int exponent = x.low + x.factor_exponent + y.low + y.factor_exponent + 255;
  while (l3 == 0) {
    l3 = l2;
    l2 = l1;
    l1 = l0;
    l0 = 0;
    exponent -= 64;
  }
  int zeros = 0;
#ifdef __CUDA_ARCH__
  zeros = __clzll(static_cast<long long>(l3));
#else
  zeros = __builtin_clzll(l3);
#endif
  const std::uint64_t top = zeros == 0 ? l3 : l3 << zeros | l2 >> (64 - zeros);
  const bool sticky = (l2 << zeros | l1 | l0) != 0;
  return nearest_f32(top, sticky, exponent - zeros, negative);
}

/// An element of D by itself, over all exponents there are. Digits of 32 bits that carry only in
/// the end count 2^(32 d - origin). Exponents of products: elements at least 2^-17, scale factors
/// 2^-149, of both sides 2^-332; at most 2^(15 + 127) each with significands stripped of zeros, so
/// 284. A product has at most 56 bits, with its shift 88: digits 0 to (284 + origin) / 32 + 2. Each
/// of fewer than 2^31 terms adds less than 2^32.
constexpr int origin = 352;
constexpr int wide_digits = 24;

ASSAY_HOST_DEVICE inline std::uint32_t round_digits(std::int64_t* digits, const RowRange& x,
                                                    const RowRange& y) {
  constexpr int limbs_in_all = wide_digits + 4;
  std::uint32_t limbs[limbs_in_all];
  std::int64_t carry = 0;
  for (int d = 0; d < limbs_in_all; ++d) {
    const std::int64_t v = (d < wide_digits ? digits[d] : 0) + carry;
    limbs[d] = static_cast<std::uint32_t>(v);
    carry = v >> 32;
  }
  const bool below_zero = carry < 0;
  if (below_zero) {
    std::uint64_t add = 1;
    for (std::uint32_t& limb : limbs) {
      add += static_cast<std::uint32_t>(~limb);
      limb = static_cast<std::uint32_t>(add);
      add >>= 32;
    }
  }
  for (const std::uint64_t factor : {x.factor, y.factor}) {
    Uint128 up = 0;
    for (std::uint32_t& limb : limbs) {
      up += static_cast<Uint128>(limb) * factor;
      limb = static_cast<std::uint32_t>(up);
      up >>= 32;
    }
  }
  int high = limbs_in_all - 1;
  while (high >= 0 && limbs[high] == 0) --high;
  if (high < 0) return 0;
  const int zeros = 32 - width_of(limbs[high]);
  const auto limb = [&](int d) { return static_cast<std::uint64_t>(d >= 0 ? limbs[d] : 0); };
  const std::uint64_t two = limb(high) << 32 | limb(high - 1);
  const std::uint64_t top = zeros == 0 ? two : two << zeros | limb(high - 2) >> (32 - zeros);
  bool sticky = static_cast<std::uint32_t>(limb(high - 2) << zeros) != 0;
  for (int d = high - 3; d >= 0; --d) sticky = sticky || limbs[d] != 0;
  const int exponent = 32 * high + 31 - zeros - origin + x.factor_exponent + y.factor_exponent;
  return nearest_f32(top, sticky, exponent, below_zero != (x.negative_factor != y.negative_factor));
}

/// A term as a double has the class and sign of the exact one: of magnitudes from 2^-630 to 2^542
/// none is lost, and IEEE 754-2019 section 7.2 says the rest.
ASSAY_HOST_DEVICE inline double term_class(const Operand& o, std::int64_t row, std::int64_t k) {
  return static_cast<double>(element(o, row, k).value) *
         (static_cast<double>(scale(o, row, k).value) * static_cast<double>(o.tensor_scale));
}

ASSAY_HOST_DEVICE inline std::uint32_t wide_dot(const Operand& a, std::int64_t i, const RowRange& x,
                                                const Operand& b, std::int64_t j,
                                                const RowRange& y) {
  constexpr std::uint32_t nan = 0x7FC00000U;
  if (x.special != 0 || y.special != 0) {
    bool positive = false;
    bool negative = false;
    for (std::int64_t k = 0; k < a.k; ++k) {
      const double p = term_class(a, i, k) * term_class(b, j, k);
      if (p != p) return nan;
      if (p - p != 0) (p < 0 ? negative : positive) = true;
    }
    if (positive && negative) return nan;
    if (positive) return 0x7F800000U;
    if (negative) return 0xFF800000U;
  }
  std::int64_t digits[wide_digits] = {};
  for (std::int64_t k = 0; k < a.k; ++k) {
    const Number u = number_at(a, i, k);
    const Number v = number_at(b, j, k);
    const std::int64_t product = u.significand * v.significand;
    if (product == 0) continue;
    const int at = u.exponent + v.exponent + origin;
    Uint128 rest =
        static_cast<Uint128>(static_cast<std::uint64_t>(product < 0 ? -product : product))
        << (at % 32);
    for (int d = at / 32; rest != 0; ++d, rest >>= 32) {
      const auto digit = static_cast<std::int64_t>(static_cast<std::uint32_t>(rest));
      digits[d] += product < 0 ? -digit : digit;
    }
  }
  return round_digits(digits, x, y);
}

}  // namespace assay::kernels::cuda::exact
