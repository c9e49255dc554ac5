// SPDX-License-Identifier: Apache-2.0
#include "golden/value.h"

#include <cmath>
#include <compare>
#include <utility>

namespace assay::golden {
namespace {

int sign_of(const Exact& x) { return x.sign(); }
int sign_of(const Rational& x) { return x.sign(); }

int compare(const Exact& a, const Exact& b) {
  const auto order = a <=> b;
  return std::is_lt(order) ? -1 : (std::is_gt(order) ? 1 : 0);
}
int compare(const Rational& a, const Rational& b) { return a.compare(b); }

// -1 for -Inf, 1 for Inf, 0 for a finite number: where numbers of different kinds lie.
template <class Number>
int end_of_line(const Extended<Number>& a) {
  if (!a.is_infinite()) return 0;
  return a.negative ? -1 : 1;
}

}  // namespace

template <class Number>
Extended<Number> Extended<Number>::finite(Number x) {
  const bool is_negative = sign_of(x) < 0;
  return {Kind::finite, is_negative, std::move(x)};
}
template <class Number>
Extended<Number> Extended<Number>::zero(bool negative) {
  return {Kind::finite, negative, Number(0)};
}
template <class Number>
Extended<Number> Extended<Number>::infinity(bool negative) {
  return {Kind::infinity, negative, Number(0)};
}
template <class Number>
Extended<Number> Extended<Number>::nan(bool negative) {
  return {Kind::nan, negative, Number(0)};
}

template <class Number>
Extended<Number> operator+(const Extended<Number>& a, const Extended<Number>& b) {
  using E = Extended<Number>;
  if (a.is_nan() || b.is_nan()) return E::nan();
  if (a.is_infinite() && b.is_infinite()) return a.negative == b.negative ? a : E::nan();
  if (a.is_infinite()) return a;
  if (b.is_infinite()) return b;
  Number sum = a.number + b.number;
  if (sum.is_zero()) return E::zero(a.is_zero() && b.is_zero() && a.negative && b.negative);
  return E::finite(std::move(sum));
}

template <class Number>
Extended<Number> operator*(const Extended<Number>& a, const Extended<Number>& b) {
  using E = Extended<Number>;
  if (a.is_nan() || b.is_nan()) return E::nan();
  const bool negative = a.negative != b.negative;
  if (a.is_infinite() || b.is_infinite())
    return a.is_zero() || b.is_zero() ? E::nan() : E::infinity(negative);
  return {E::Kind::finite, negative, Number(a.number * b.number)};
}

template <class Number>
Extended<Number> operator-(const Extended<Number>& a) {
  return {a.kind, !a.negative, Number(-a.number)};
}

template <class Number>
bool operator==(const Extended<Number>& a, const Extended<Number>& b) {
  if (a.is_nan() || b.is_nan()) return false;
  return end_of_line(a) == end_of_line(b) && compare(a.number, b.number) == 0;
}

template <class Number>
bool less(const Extended<Number>& a, const Extended<Number>& b) {
  if (a.is_nan() || b.is_nan()) return false;
  if (end_of_line(a) != end_of_line(b)) return end_of_line(a) < end_of_line(b);
  return compare(a.number, b.number) < 0;
}

RationalValue operator/(const RationalValue& a, const RationalValue& b) {
  if (a.is_nan() || b.is_nan()) return RationalValue::nan();
  if (a.is_infinite() && b.is_infinite()) return RationalValue::nan();
  if (a.is_infinite()) return RationalValue::infinity(a.negative != b.negative);
  if (b.is_infinite()) return RationalValue::zero(a.negative != b.negative);
  if (b.is_zero()) return a.is_zero() ? RationalValue::nan() : RationalValue::infinity(a.negative);
  return {RationalValue::Kind::finite, a.negative != b.negative, Rational(a.number / b.number)};
}

Value value_of(double x) {
  if (std::isnan(x)) return Value::nan(std::signbit(x));
  if (std::isinf(x)) return Value::infinity(std::signbit(x));
  if (x == 0) return Value::zero(std::signbit(x));
  return Value::finite(Exact::from_double(x));
}

Value value_of(float x) { return value_of(static_cast<double>(x)); }

RationalValue to_rational(const Value& x) {
  const auto kind = static_cast<RationalValue::Kind>(x.kind);
  return {kind, x.negative, x.number.rational()};
}

template struct Extended<Exact>;
template struct Extended<Rational>;
template Value operator+(const Value&, const Value&);
template Value operator*(const Value&, const Value&);
template Value operator-(const Value&);
template bool operator==(const Value&, const Value&);
template bool less(const Value&, const Value&);
template RationalValue operator+(const RationalValue&, const RationalValue&);
template RationalValue operator*(const RationalValue&, const RationalValue&);
template RationalValue operator-(const RationalValue&);
template bool operator==(const RationalValue&, const RationalValue&);
template bool less(const RationalValue&, const RationalValue&);

}  // namespace assay::golden
