// SPDX-License-Identifier: Apache-2.0
#include "golden/estimator_bounds.h"

#include <algorithm>

namespace assay::golden {
namespace {

using boost::multiprecision::abs;

Rational power(std::int64_t exponent) { return Exact::power_of_two(exponent).rational(); }

Bound not_judgeable(const char* reason) { return {false, 0, reason}; }

// Whether FP32 holds x.
bool held(const Rational& x) {
  const std::uint32_t code =
      encode(formats::fp32, RationalValue::finite(x), RoundingMode::toward_zero,
             policy_of(formats::ieee, formats::fp32));
  return decode(formats::fp32, code).number.rational() == x;
}

// G and how far G~ may be from it.
struct Gradient {
  Value value;
  Rational magnitude, error;

  [[nodiscard]] Rational reach() const { return magnitude + error; }
};

// Derivation. dW = G (1 + sigma delta h), h = u - q, sigma the sign of s G. The kernel has a G~
// within E of G and a u~ within e of u, so without further rounding, as G (1 + sigma delta h) is
// +-delta |G| h + G, it would be off by E + delta (E (|h| + e) + |G| e), whatever the sign of a G~
// near 0. The further roundings: 1 in u~ - q (gradual underflow is exact), 1 in the product with
// delta, 1 in the sum with 1, 1 in the product with G~ (FMA saves one): 4 factors (1 + d) on a
// number of at most
// (|G| + E)(1 + delta (|h| + e)). Underflow: 2^-150 in the product with delta, later times G~, and
// 2^-150 in the product with G~.
//   T = E (1 + delta (|h| + e)) + delta |G| e + gamma(4) (|G| + E)(1 + delta (|h| + e))
//       + (1 + gamma(4)) 2^-150 (1 + |G| + E)
// G = 0 = E: exact. E = 0 = e and every intermediate result held by FP32: exact. An infinite G
// times the factor has the factor's sign, which is certain where the factor exceeds its own error,
// delta e + gamma(3)(1 + delta (|h| + e)) + 2^-149.
Bound ewgs_bound(const EstimatedWeight& weight, const Gradient& g, const Rational& e,
                 const Rational& delta) {
  const Rational h = scaled(weight).number - weight.q.number.rational();
  const Rational largest = 1 + delta * (abs(h) + e);
  if (!g.value.is_finite()) {
    const Rational sigma = g.value.negative != weight.s.negative ? -1 : 1;
    const Rational error = delta * e + gamma(3) * largest + power(-149);
    if (abs(Rational(1 + sigma * delta * h)) > error && largest < power(126)) return {};
    return not_judgeable("an infinite gradient meets a factor that may be 0 or of either sign");
  }
  if (g.reach() == 0) return {};
  const Rational underflow = (1 + gamma(4)) * power(-150) * (1 + g.reach());
  if (largest >= power(126) || (1 + gamma(4)) * g.reach() * largest + underflow >= power(127)) {
    return not_judgeable("the scaled gradient may overflow FP32");
  }
  if (g.error == 0 && e == 0 && held(h) && held(delta * h) && held(1 + delta * h) &&
      held(1 - delta * h) && held(g.magnitude * (1 + delta * h)) &&
      held(g.magnitude * (1 - delta * h))) {
    return {};
  }
  return {true,
          g.error * largest + delta * g.magnitude * e + gamma(4) * g.reach() * largest + underflow,
          ""};
}

// Lower and upper ends of min(cap, (1/k) z^(1/k - 1)), to 2^-64.
std::pair<Rational, Rational> slope(const Rational& z) {
  if (dge_capped(z)) return {dge_cap, dge_cap};
  const auto [low, high] = magnitude_enclosure(dge_slope(z), 64);
  return {low, std::min(Rational(dge_cap), high)};
}

// Derivation. dW = G f(z), f(z) = min(cap, (1/k) z^(1/k - 1)) falls in z. z as a function of |u| is
// continuous, 1 at every edge of a bin, and has slope 2/d inside one, so a u~ within e of u has a
// z~ within 2 e / d of z, d the width of the narrowest bin that |u| +- e touches. Its evaluation:
// one rounding in t (at most 2^-24 (d + e), times 2/d), powers of two, one in the difference from 1
// (at most 2^-24 (1 + 2 e / d)): together below 2^-22 (1 + 2 e / d). So z~ is within
//   e_z = 2 e / d + 2^-22 (1 + 2 e / d),
// and the computed slope within [f(z + e_z) (1 - rho), min(cap, f(z - e_z) (1 + rho))], rho = (1 +
// 16 2^-23)(1 + gamma(2)) - 1 for the power and the product with 1/k (its own rounding and one
// more); f is the cap where z - e_z <= 0. With S the largest difference of these ends from f(z) and
// M the upper one, the product with G~ gives
//   T = E M + |G| S + gamma(1) (|G| + E) M + 2^-150.
// Both ends the cap, E = 0 and cap G held by FP32: exact.
Bound dge_bound(const EstimatedWeight& weight, const Gradient& g, const Rational& e) {
  if (!g.value.is_finite() || g.reach() == 0) return {};  // f is never 0
  const Rational u = abs(scaled(weight).number);
  const Rational largest = max_finite(*weight.element).rational();
  Rational width = bin_of(*weight.element, u).width;
  for (const Rational& near :
       {Rational(abs(Rational(u - e))), std::min(largest, Rational(u + e))}) {
    width = std::min(width, bin_of(*weight.element, near).width);
  }
  const Rational shift = 2 * e / width;
  const Rational z = bin_of(*weight.element, u).position(u);
  const Rational z_error = shift + power(-22) * (1 + shift);
  const Rational rho = (1 + 16 * power(-23)) * (1 + gamma(2)) - 1;
  const auto at_z = slope(z);
  const Rational low = slope(z + z_error).first;
  const Rational high = z <= z_error ? Rational(dge_cap) : slope(z - z_error).second;
  const bool capped = low == dge_cap && dge_capped((z + z_error) * (1 + 2 * rho));
  const Rational least = capped ? low : Rational(low * (1 - rho));
  const Rational most = std::min(Rational(dge_cap), Rational(high * (1 + rho)));
  if (g.reach() * most >= power(126)) return not_judgeable("the scaled gradient may overflow FP32");
  if (capped && g.error == 0 && held(dge_cap * g.magnitude)) return {};
  const Rational difference = std::max(most - at_z.first, at_z.second - least);
  return {true,
          g.error * most + g.magnitude * difference + gamma(1) * g.reach() * most + power(-150),
          ""};
}

}  // namespace

// Derivation. How far a computed u = w/s may be from the exact one, s = scale factor * tensor
// scale, by a division or by a product with the reciprocal. At most three roundings: of s unless
// FP32 holds it exactly, of the reciprocal, and of the product (a division is one in place of the
// last two). Of factors (1 + d)^+-1 with |d| <= 2^-24, r of them are within gamma(r) of 1 (Higham,
// Lemma 3.1, holds for quotients too), provided that s and its reciprocal are normal numbers; the
// last operation may underflow, which adds 2^-150 at most:
//   e = gamma(r) |u| + 2^-150, r = 2 or 3, for 2^-125 <= |s| <= 2^125.
// Where s is a power of two from 2^-127 to 2^127, FP32 holds it and its reciprocal exactly, and
// only the underflow remains; not even that if u is a multiple of 2^-149. A zero u is exact while
// the reciprocal is finite (0 * Inf is NaN), and s = 0 has w = 0 inside, with dv = 0 by definition.
// Anything else has no bound.
std::optional<Rational> quotient_error(const Rational& u, const Exact& s) {
  const Rational magnitude = abs(s.rational());
  if (magnitude == 0) return Rational(0);
  if (u == 0) return magnitude >= power(-127) ? std::optional(Rational(0)) : std::nullopt;
  const Integer significand = abs(s.significand);
  if (significand == 1 && magnitude >= power(-127) && magnitude <= power(127)) {
    return denominator(Rational(u * power(149))) == 1 ? Rational(0) : power(-150);
  }
  if (magnitude < power(-125) || magnitude > power(125)) return std::nullopt;
  const bool held_exactly = msb(significand) < 24;
  return gamma(held_exactly ? 2 : 3) * abs(u) + power(-150);
}

Bound estimate_bound(const EstimatedWeight& weight, GradientFactor factor, const Value& g,
                     const Bound& g_bound, float parameter) {
  if (factor == GradientFactor::one || g.is_nan()) return g_bound;
  if (!g_bound.judgeable) return g_bound;
  const std::optional<Rational> e = quotient_error(scaled(weight).number, weight.s.number);
  if (!e) return not_judgeable("the scale factor or its reciprocal leaves FP32's normal range");
  Gradient gradient{g, 0, g_bound.error};
  if (g.is_finite()) gradient.magnitude = abs(g.number.rational());
  return factor == GradientFactor::ewgs ? ewgs_bound(weight, gradient, *e, Rational(parameter))
                                        : dge_bound(weight, gradient, *e);
}

}  // namespace assay::golden
