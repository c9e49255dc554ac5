// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_wide.h"

#include <array>
#include <bit>

#include "golden/exact_gemm_round.h"

namespace assay::golden::exact_parts {
namespace {

bool constant_scale(const Operand& operand) {
  const std::int64_t cols = operand.format->block.cols;
  return cols == 0 || cols >= operand.k;
}

Number tensor_scale(const Operand& operand) {
  const bool two_levels = operand.format->tensor_scale == formats::TensorScale::fp32;
  return read_number(formats::fp32,
                     std::bit_cast<std::uint32_t>(two_levels ? operand.source.tensor_scale : 1.0F));
}

/// NaN, infinite, zero or another number; sign by itself.
struct Class {
  bool nan = false, infinite = false, zero = false, negative = false;
};

Class class_of(const Number& x) {
  return {x.kind == Number::Kind::nan, x.kind == Number::Kind::infinity,
          x.kind == Number::Kind::finite && x.significand == 0, x.negative};
}

/// IEEE 754-2019 section 7.2: infinity times zero is NaN.
Class operator*(const Class& a, const Class& b) {
  Class p{a.nan || b.nan || (a.infinite && b.zero) || (a.zero && b.infinite), false, false,
          a.negative != b.negative};
  p.infinite = !p.nan && (a.infinite || b.infinite);
  p.zero = !p.nan && (a.zero || b.zero);
  return p;
}

Class element_class(const Operand& operand, const Reader& reader, std::int64_t row,
                    std::int64_t k) {
  return class_of(read_number(*operand.format->element, reader.code(row, k))) *
         (class_of(read_number(*operand.format->scale, reader.scale_code(row, k))) *
          class_of(tensor_scale(operand)));
}

}  // namespace

WideRow wide_row(const Operand& operand, std::int64_t row) {
  const Reader reader(operand.source);
  WideRow result;
  for (std::int64_t k = 0; k < operand.k; ++k) {
    const Number x = read_number(*operand.format->element, reader.code(row, k));
    Number s{.significand = 1};
    if (!constant_scale(operand))
      s = read_number(*operand.format->scale, reader.scale_code(row, k));
    const std::int64_t significand = std::int64_t{x.significand} * s.significand;
    result.significands.push_back(x.negative != s.negative ? -significand : significand);
    result.exponents.push_back(x.exponent + s.exponent);
  }
  return result;
}

double wide_dot(const Operand& a, std::int64_t i, const WideRow& left, const Operand& b,
                std::int64_t j, const WideRow& right) {
  // A fixed-point number in 32-bit digits that count 2^(32 d - origin) and carry only in the end:
  // an exponent is that of an element (at least -17) plus that of a scale factor (-149), twice, so
  // at least -332; at most 2 (14 + 128) = 284. A product has at most 56 bits, with its shift 88:
  // digits 0 to (284 + origin) / 32 + 2. Each of fewer than 2^31 terms adds less than 2^32.
  constexpr int origin = 352;
  std::array<std::int64_t, 24> digits{};
  for (std::size_t k = 0; k < left.significands.size(); ++k) {
    const std::int64_t product = left.significands[k] * right.significands[k];
    if (product == 0) continue;
    const int at = left.exponents[k] + right.exponents[k] + origin;
    const bool negative = product < 0;
    Uint128 rest = Uint128{static_cast<std::uint64_t>(negative ? -product : product)} << (at % 32);
    for (auto d = static_cast<std::size_t>(at / 32); rest != 0; ++d, rest >>= 32) {
      const auto digit = static_cast<std::int64_t>(rest & 0xFFFFFFFFU);
      digits.at(d) += negative ? -digit : digit;
    }
  }
  Integer sum = 0;
  for (std::size_t d = digits.size(); d-- > 0;) sum = (sum << 32) + digits[d];
  const RowRange& x = a.ranges[static_cast<std::size_t>(i)];
  const RowRange& y = b.ranges[static_cast<std::size_t>(j)];
  if (x.zero_factor || y.zero_factor) return 0;
  sum *= x.factor;
  sum *= y.factor;
  if (x.negative_factor != y.negative_factor) sum = -sum;
  return round_to_odd(sum, x.factor_exponent + y.factor_exponent - origin);
}

SpecialSum special_dot(const Operand& a, std::int64_t i, const Operand& b, std::int64_t j) {
  const Reader left(a.source);
  const Reader right(b.source);
  bool positive = false;
  bool negative = false;
  for (std::int64_t k = 0; k < a.k; ++k) {
    const Class p = element_class(a, left, i, k) * element_class(b, right, j, k);
    if (p.nan) return SpecialSum::nan;
    if (p.infinite) (p.negative ? negative : positive) = true;
  }
  if (positive && negative) return SpecialSum::nan;
  if (positive) return SpecialSum::positive_infinity;
  return negative ? SpecialSum::negative_infinity : SpecialSum::finite;
}

}  // namespace assay::golden::exact_parts
