// SPDX-License-Identifier: Apache-2.0
#pragma once
// Exact arithmetic for tests that compute a bound of docs/bounds.md a second time, from its text.

#include <cstdlib>

#include "golden/bounds.h"

namespace assay::golden::statement {

inline Rational two_to(int exponent) {
  const Rational power(Integer(1) << static_cast<unsigned>(std::abs(exponent)));
  return exponent < 0 ? Rational(1 / power) : power;
}
inline Rational roundings(std::int64_t n) { return Rational(n) / (two_to(24) - n); }
inline Rational magnitude(const Exact& x) { return boost::multiprecision::abs(x.rational()); }
inline bool is_power_of_two(const Exact& x) {
  Rational m = magnitude(x);
  while (m > 1) m /= 2;
  while (m < 1) m *= 2;
  return m == 1;
}
inline bool is_multiple(const Rational& x, int exponent) {
  return denominator(Rational(x / two_to(exponent))) == 1;
}
// The exponent of a number's last bit, which is not 0.
inline int last_bit(const Exact& x) {
  int exponent = 200;
  while (!is_multiple(x.rational(), exponent)) --exponent;
  return exponent;
}

}  // namespace assay::golden::statement
