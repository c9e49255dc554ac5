// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a code can mean: a finite number (zero has a sign), an infinity, or NaN, with the arithmetic
// of IEEE 754-2019 clause 6 on them and no rounding anywhere.

#include <cstdint>

#include "golden/exact.h"

namespace assay::golden {

/// A number of type `Number` (Exact or Rational), an infinity or NaN. `negative` is the sign of all
/// kinds; for a finite nonzero number it equals the sign of `number`. `number` is 0 unless finite.
template <class Number>
struct Extended {
  enum class Kind : std::uint8_t { finite, infinity, nan };

  Kind kind = Kind::finite;
  bool negative = false;
  Number number = 0;

  static Extended finite(Number x);  ///< zero is +0
  static Extended zero(bool negative);
  static Extended infinity(bool negative);
  static Extended nan(bool negative = false);

  [[nodiscard]] bool is_finite() const { return kind == Kind::finite; }
  [[nodiscard]] bool is_infinite() const { return kind == Kind::infinity; }
  [[nodiscard]] bool is_nan() const { return kind == Kind::nan; }
  [[nodiscard]] bool is_zero() const { return is_finite() && number.is_zero(); }
};

/// What a code means, and what sums and products of codes are.
using Value = Extended<Exact>;
/// The same with quotients: what the steps of a quantizer compute.
using RationalValue = Extended<Rational>;

/// Every bit pattern has a value: signed zeros, infinities and NaNs included.
[[nodiscard]] Value value_of(float x);
[[nodiscard]] Value value_of(double x);

[[nodiscard]] RationalValue to_rational(const Value& x);

/// IEEE 754-2019 sections 6.1 to 6.3: Inf - Inf and Inf * 0 are NaN; the sign of a product is the
/// exclusive or of the signs; a sum that is exactly zero is +0 unless both terms are -0. NaNs are
/// positive. Only a NaN is unequal to itself; zeros are equal.
template <class Number>
Extended<Number> operator+(const Extended<Number>& a, const Extended<Number>& b);
template <class Number>
Extended<Number> operator*(const Extended<Number>& a, const Extended<Number>& b);
template <class Number>
Extended<Number> operator-(const Extended<Number>& a);
template <class Number>
bool operator==(const Extended<Number>& a, const Extended<Number>& b);
/// a < b as numbers; false if either is NaN.
template <class Number>
bool less(const Extended<Number>& a, const Extended<Number>& b);

/// a / b with the convention of OpCode::divide: 0/0 and Inf/Inf are NaN, a nonzero a over a zero of
/// either sign is an infinity of a's sign.
[[nodiscard]] RationalValue operator/(const RationalValue& a, const RationalValue& b);

}  // namespace assay::golden
