// SPDX-License-Identifier: Apache-2.0
#include "golden/silu.h"

#include <algorithm>
#include <stdexcept>

namespace assay::golden {
namespace {

using boost::multiprecision::abs;

Integer floor_div(const Integer& a, const Integer& b) { return a / b; }  // of nonnegative numbers
Integer ceil_div(const Integer& a, const Integer& b) { return (a + b - 1) / b; }

Rational power(std::int64_t exponent) { return Exact::power_of_two(exponent).rational(); }

}  // namespace

// Derivation. |x| = 2^k y with 0 <= y <= 1/2, in units of 2^-p. The series of exp(y) has terms t_n
// = t_(n-1) y / n >= 0; all of them rounded down, and cut off, give a lower end, all of them
// rounded up, and the remainder t_(n+1) + t_(n+2) + ... <= 2 t_(n+1), an upper end. k squarings,
// rounded down and up, give exp(|x|). Fewer than p terms are off by less than 3 units each, numbers
// are at least 1, and a squaring doubles the relative width and adds 2 units: width < 2^k (4 p + 4)
// 2^-p. With p = bits + k + 16 + (bits of p) that is below 2^-bits; the loop checks it. exp(-|x|)
// is the reciprocal.
Enclosure exp_enclosure(const Rational& x, int bits) {
  const Rational magnitude = abs(x);
  if (magnitude > power(20) || bits < 1) {
    throw std::invalid_argument("exp_enclosure needs |x| of at most 2^20 and at least one bit.");
  }
  if (x == 0) return {1, 1};
  int k = 0;
  while (magnitude > power(k - 1)) ++k;
  for (int p = bits + k + 24;; p += 16) {
    const Integer one = Integer(1) << static_cast<unsigned>(p);
    const Integer scaled = numerator(magnitude) << static_cast<unsigned>(p);
    const Integer divisor = denominator(magnitude) << static_cast<unsigned>(k);
    const Integer y_low = floor_div(scaled, divisor);
    const Integer y_high = ceil_div(scaled, divisor);
    Integer low = one;
    Integer high = one;
    Integer term_low = one;
    Integer term_high = one;
    for (int n = 1; term_high > 1; ++n) {
      term_low = floor_div(term_low * y_low, one * n);
      term_high = ceil_div(term_high * y_high, one * n);
      low += term_low;
      high += term_high;
    }
    high += 2 * term_high;
    for (int i = 0; i < k; ++i) {
      low = floor_div(low * low, one);
      high = ceil_div(high * high, one);
    }
    if ((high - low) << static_cast<unsigned>(bits) > low) continue;
    return x > 0 ? Enclosure{Rational(low, one), Rational(high, one)}
                 : Enclosure{Rational(one, high), Rational(one, low)};
  }
}

// Beyond bits: 0 < exp(-|x|) < 2^-bits as e > 2, so x > bits has x / (1 + 2^-bits) < silu(x) < x,
// and x < -bits has 0 > silu(x) > -|x| exp(-|x|) > -|x| 2^-|x| >= -bits 2^-bits, as t 2^-t falls
// for t > 1 / ln 2.
Enclosure silu_enclosure(const Rational& x, int bits) {
  if (bits < 2) throw std::invalid_argument("silu_enclosure needs at least two bits.");
  if (x == 0) return {0, 0};
  if (x > bits) return {Rational(x / (1 + power(-bits))), x};
  if (x < -bits) return {Rational(-bits * power(-bits)), 0};
  const Enclosure e = exp_enclosure(-x, bits);
  const Rational at_lower = x / (1 + e.lower);
  const Rational at_upper = x / (1 + e.upper);
  return {std::min(at_lower, at_upper), std::max(at_lower, at_upper)};
}

// silu' = s (1 + x (1 - s)), s = 1 / (1 + exp(-x)), is 0 where x (1 - s) = -1, that is where x s =
// x
// + 1; once only, as x + 1 + exp(x), of which it is a positive multiple, rises.
// -1.27847 < x* < -1.27846 by the signs of x + 1 + exp(x) there.
Enclosure silu_range(const Rational& a, const Rational& b, int bits) {
  Enclosure at_a = silu_enclosure(a, bits);
  if (a == b) return at_a;
  const Enclosure at_b = silu_enclosure(b, bits);
  Enclosure range{std::min(at_a.lower, at_b.lower), std::max(at_a.upper, at_b.upper)};
  const Rational below = Rational(-127847) / 100000;
  const Rational above = Rational(-127846) / 100000;
  if (a <= above && b >= below) range.lower = std::min(range.lower, Rational(below + 1));
  return range;
}

}  // namespace assay::golden
