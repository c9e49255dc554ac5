// SPDX-License-Identifier: Apache-2.0
#include "golden/estimator.h"

#include <stdexcept>

namespace assay::golden {
namespace {

Value magnitude(const Value& x) { return x.negative ? -x : x; }

Value clip_level(const EstimatedWeight& weight) {
  return Value::finite(max_finite(*weight.element)) * magnitude(weight.s);
}

Integer power(const Integer& x, unsigned exponent) {
  return boost::multiprecision::pow(x, exponent);
}

// +-Q, the sign of u.
RationalValue clipped(const EstimatedWeight& weight) {
  const Value largest = Value::finite(max_finite(*weight.element));
  return to_rational(weight.w.negative != weight.s.negative ? -largest : largest);
}

RationalValue ewgs_factor(const EstimatedWeight& weight, const Value& g, float delta) {
  const RationalValue one = RationalValue::finite(1);
  if (g.is_zero() || g.is_nan()) return one;
  RationalValue difference = scaled(weight) + -to_rational(weight.q);
  if (g.negative != weight.s.negative) difference = -difference;
  return one + to_rational(value_of(delta)) * difference;
}

}  // namespace

bool passes(const EstimatedWeight& weight, GradientMask mask, float parameter) {
  if (mask == GradientMask::none) return true;
  const auto at_most = [](const Value& a, const Value& b) {
    return !a.is_nan() && !b.is_nan() && !less(b, a);
  };
  switch (mask) {
    case GradientMask::closed:
      return at_most(magnitude(weight.w), clip_level(weight));
    case GradientMask::open:
      return less(magnitude(weight.w), clip_level(weight));
    case GradientMask::trust:
      return at_most(magnitude(weight.w + -(weight.q * weight.s)),
                     value_of(parameter) * magnitude(weight.s));
    default:
      throw std::invalid_argument("This mask is unknown.");
  }
}

RationalValue scaled(const EstimatedWeight& weight) {
  return weight.w.is_zero() ? to_rational(weight.w) : to_rational(weight.w) / to_rational(weight.s);
}

Rational Bin::position(const Rational& magnitude) const {
  return boost::multiprecision::abs(Rational(2 * (magnitude - low) / width - 1));
}

Bin bin_of(const FormatSpec& element, const Rational& magnitude) {
  const std::uint32_t last = max_finite_code(element);
  for (std::uint32_t code = 0; code < last; ++code) {
    const Rational low = decode(element, code).number.rational();
    const Rational high = decode(element, code + 1).number.rational();
    if (magnitude <= high && magnitude >= low) return {low, high - low};
  }
  throw std::invalid_argument("DGE has a bin only for magnitudes inside the element's range.");
}

// (1/k) z^(1/k - 1) = (1/k) / (z^(k-1))^(1/k).
Radical dge_slope(const Rational& z) {
  return {RationalValue::finite(Rational(1, dge_k)),
          Rational(power(numerator(z), dge_k - 1), power(denominator(z), dge_k - 1)), dge_k};
}

// (1/k) z^((1-k)/k) >= cap iff z^(k-1) (k cap)^k <= 1.
bool dge_capped(const Rational& z) {
  return power(numerator(z), dge_k - 1) * power(dge_k * dge_cap, dge_k) <=
         power(denominator(z), dge_k - 1);
}

Radical estimate(const EstimatedWeight& weight, GradientFactor factor, const Value& g,
                 float parameter) {
  const RationalValue gradient = to_rational(g);
  switch (factor) {
    case GradientFactor::one:
      return {gradient};
    case GradientFactor::ewgs:
      return {gradient * ewgs_factor(weight, g, parameter)};
    case GradientFactor::dge: {
      const Rational u = boost::multiprecision::abs(scaled(weight).number);
      const Rational z = bin_of(*weight.element, u).position(u);
      if (dge_capped(z)) return {gradient * RationalValue::finite(dge_cap)};
      Radical result = dge_slope(z);
      result.sum = gradient * result.sum;
      return result;
    }
  }
  throw std::invalid_argument("This gradient factor is unknown.");
}

ScaleTerm scale_term(const EstimatedWeight& weight, ScaleDerivative derivative) {
  if (weight.q.is_nan() || weight.s.is_nan()) return {true, RationalValue::nan()};
  if (derivative == ScaleDerivative::pact) {
    const bool clips = !passes(weight, GradientMask::open, 0) && !weight.w.is_zero();
    return {clips, clipped(weight)};
  }
  if (!passes(weight, GradientMask::closed, 0)) return {true, clipped(weight)};
  return {true, to_rational(weight.q) + -scaled(weight)};
}

}  // namespace assay::golden
