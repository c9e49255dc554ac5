// SPDX-License-Identifier: Apache-2.0
#include "golden/radical.h"

#include <algorithm>
#include <stdexcept>

namespace assay::golden {
namespace {

Integer power(const Integer& x, int exponent) {
  return boost::multiprecision::pow(x, static_cast<unsigned>(exponent));
}

// floor(n^(1/index)). Newton's iteration from above falls until it is the answer.
Integer root(const Integer& n, int index) {
  if (n == 0 || index == 1) return n;
  Integer x = Integer(1) << (msb(n) / static_cast<unsigned>(index) + 1);
  for (;;) {
    const Integer next = ((index - 1) * x + n / power(x, index - 1)) / index;
    if (next >= x) return x;
    x = next;
  }
}

std::pair<RationalValue, RationalValue> signed_enclosure(const Radical& x, int bits) {
  auto [lower, upper] = magnitude_enclosure(x, bits);
  if (x.sum.negative) {
    lower = -lower;
    upper = -upper;
  }
  return {RationalValue::finite(lower), RationalValue::finite(upper)};
}

}  // namespace

// |x|^index = p/q is rational. With t large enough, r = floor((p/q 2^(index t))^(1/index)) has r
// 2^-t <= |x| < (r + 1) 2^-t, and the relative width is at most 1/r <= 2^-bits once r >= 2^bits.
std::pair<Rational, Rational> magnitude_enclosure(const Radical& x, int bits) {
  if (!x.sum.is_finite() || x.radicand <= 0 || x.index < 1) {
    throw std::invalid_argument("Only a finite sum over a positive radicand has an enclosure.");
  }
  if (x.sum.is_zero()) return {0, 0};
  const Integer p = power(abs(numerator(x.sum.number)), x.index) * denominator(x.radicand);
  const Integer q = power(denominator(x.sum.number), x.index) * numerator(x.radicand);
  const Rational whole(p, q);
  const Integer a = root(numerator(whole), x.index);
  const Integer b = root(denominator(whole), x.index);
  if (power(a, x.index) == numerator(whole) && power(b, x.index) == denominator(whole)) {
    return {Rational(a, b), Rational(a, b)};
  }
  const std::int64_t log2_of_whole = floor_log2(numerator(whole), denominator(whole));
  const std::int64_t t = bits + 1 + std::max<std::int64_t>(0, -log2_of_whole);
  const Integer scaled = (numerator(whole) << (x.index * t)) / denominator(whole);
  const Integer r = root(scaled, x.index);
  const Rational grid = Exact::power_of_two(-t).rational();
  return {Rational(r) * grid, Rational(r + 1) * grid};
}

std::uint32_t encode(const FormatSpec& spec, const Radical& x, RoundingMode mode,
                     const Policy& policy, Random random) {
  if (!x.sum.is_finite() || x.sum.is_zero()) return encode(spec, x.sum, mode, policy, random);
  for (int bits = 64;; bits *= 2) {
    const auto [lower, upper] = signed_enclosure(x, bits);
    const std::uint32_t code = encode(spec, lower, mode, policy, random);
    if (encode(spec, upper, mode, policy, random) == code) return code;
  }
}

Judgement judge(const FormatSpec& output, std::uint32_t code, const Radical& exact,
                const Bound& bound) {
  if (!bound.judgeable) return Judgement::not_judgeable;
  if (!exact.sum.is_finite() || exact.sum.is_zero()) {
    return judge(output, code, exact.sum, bound);
  }
  for (int bits = 64;; bits *= 2) {
    const auto [lower, upper] = signed_enclosure(exact, bits);
    const Judgement at_lower = judge(output, code, lower, bound);
    const Judgement at_upper = judge(output, code, upper, bound);
    if (at_lower == at_upper) return at_lower;
  }
}

}  // namespace assay::golden
