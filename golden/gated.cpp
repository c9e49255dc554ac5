// SPDX-License-Identifier: Apache-2.0
#include "golden/gated.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace assay::golden {
namespace {

using boost::multiprecision::abs;

// Of the enclosures in a bound, whose width is part of it: 160 * 2^-160 is below any rounding.
constexpr int bound_bits = 160;
constexpr int exp_range = 90;  // see GatedKernel::exp_ulps

Rational power(std::int64_t exponent) { return Exact::power_of_two(exponent).rational(); }

void require_limit(std::optional<float> limit) {
  if (limit && !(std::isfinite(*limit) && *limit > 0)) {
    throw std::invalid_argument("The gated epilogue's limit must be positive and finite.");
  }
}

RationalValue clamp(const RationalValue& x, std::optional<float> limit, bool below_too) {
  if (!limit) return x;
  RationalValue top = to_rational(value_of(*limit));
  if (less(top, x)) return top;
  if (below_too && less(x, -top)) return -top;
  return x;
}

RationalValue silu_of_special(const RationalValue& x) {
  return x.is_infinite() && x.negative ? RationalValue::zero(true) : x;
}

// A number that the kernel knows up to some error: it lies between low and high.
struct Around {
  Rational exact, low, high;

  [[nodiscard]] Rational error() const { return std::max(high - exact, exact - low); }
  [[nodiscard]] Rational largest() const { return std::max(abs(low), abs(high)); }
  [[nodiscard]] bool certain_sign() const { return low > 0 || high < 0; }
};

// x as the kernel's silu sees it: rounded to the intermediate format, flushed, clamped. nullopt
// where the intermediate format may overflow.
std::optional<Around> operand(const Rational& x, const Bound& bound, const GatedKernel& kernel,
                              bool below_too) {
  Rational error = bound.error;
  if (kernel.intermediate != nullptr) {
    const FormatSpec& format = *kernel.intermediate;
    const Rational reach = abs(x) + error;
    if (reach > max_finite(format).rational()) return std::nullopt;
    if (error == 0) {
      const std::uint32_t code =
          encode(format, RationalValue::finite(x), RoundingMode::nearest_even,
                 policy_of(formats::ieee, format));
      error = abs(decode(format, code).number.rational() - x);
    } else {
      const std::int64_t exponent =
          std::max<std::int64_t>(floor_log2(numerator(reach), denominator(reach)), 1 - format.bias);
      error += power(exponent - format.mantissa_bits - 1);
    }
  }
  if (kernel.flush_subnormals) error += power(-126);
  const auto clamped = [&](const Rational& y) {
    return clamp(RationalValue::finite(y), kernel.limit, below_too).number;
  };
  return Around{clamped(x), clamped(x - error), clamped(x + error)};
}

Bound not_judgeable(const char* reason) { return {false, 0, reason}; }

// Infinities are what IEEE 754 makes of them where every permitted evaluation has the same sign
// and no zero.
Bound infinite_bound(const RationalValue& gate, const std::optional<Around>& g,
                     const std::optional<Around>& u) {
  if (gate.is_infinite() && gate.negative) return not_judgeable("-Inf / (1 + exp(Inf)) may be NaN");
  if (u && !u->certain_sign() && u->error() != 0) {
    return not_judgeable("an infinite gate meets an up that may be 0 or of either sign");
  }
  if (g && g->error() == 0 && g->exact == 0) return {};
  if (g && !(g->low > power(-60) || (g->high < -power(-60) && g->low > -60))) {
    return not_judgeable("an infinite up meets a silu that may be 0 or of either sign");
  }
  return {};
}

}  // namespace

Gated gated(const RationalValue& g, const RationalValue& u, std::optional<float> limit) {
  require_limit(limit);
  const RationalValue gate = clamp(g, limit, false);
  const RationalValue up = clamp(u, limit, true);
  Gated result;
  result.irrational = gate.is_finite() && up.is_finite() && !gate.is_zero() && !up.is_zero();
  if (result.irrational) {
    result.gate = gate.number;
    result.up = up.number;
  } else {
    result.special = silu_of_special(gate) * up;
  }
  return result;
}

Enclosure enclosure(const Gated& x, int bits) {
  if (!x.irrational) {
    throw std::invalid_argument("Only an irrational result of the gated epilogue is enclosed.");
  }
  const Enclosure s = silu_enclosure(x.gate, bits);
  const Rational a = s.lower * x.up;
  const Rational b = s.upper * x.up;
  return {std::min(a, b), std::max(a, b)};
}

// An end that is 0 stands for numbers of the other end's sign, which are all rounded alike once the
// other end is below every format's smallest number by far: half the other end is one of them.
// silu(x) y is irrational for rational x and y other than 0, as exp(x) is (Lindemann): never a tie
// or a code, so the refinement ends.
std::uint32_t encode(const FormatSpec& spec, const Gated& x, RoundingMode mode,
                     const Policy& policy) {
  if (mode == RoundingMode::stochastic) {
    throw std::invalid_argument("The gated epilogue rounds in a deterministic mode.");
  }
  if (!x.irrational) return encode(spec, x.special, mode, policy);
  for (int bits = 64;; bits *= 2) {
    Enclosure e = enclosure(x, bits);
    if (e.lower == 0 || e.upper == 0) {
      const Rational end = e.lower == 0 ? e.upper : e.lower;
      if (abs(end) >= power(-400)) continue;
      (e.lower == 0 ? e.lower : e.upper) = end / 2;
    }
    const std::uint32_t code = encode(spec, RationalValue::finite(e.lower), mode, policy);
    if (encode(spec, RationalValue::finite(e.upper), mode, policy) == code) return code;
  }
}

// Derivation. The kernel's operands after rounding to the intermediate format (half an ulp at |g| +
// T_g), flushing (2^-126) and clamping (exact, and it moves no two numbers apart) are some G~ in
// [a, b] around G and some U~ within e_u of U. Let v = 2^-24.
//
// 1. silu of a wrong operand. silu(G~) is within ds of silu(G), ds taken from the exact range of
// silu
//    over [a, b]. Hence |silu(G~) U~ - silu(G) U| <= ds (|U| + e_u) + |silu(G)| e_u.
// 2. exp. E~ = E (1 + d), E = exp(-G~), |d| <= eps = (exp_ulps + exp_ulps_per_unit min(90, |a|,
//    |b| at most)) 2^-23; where E is below the normal range E~ may be anything down to 0, an error
//    of 2^-126 at most. In 1 + E this is a relative error of w eps + 2^-126 at most, w = E / (1 +
//    E) <= exp(-a) / (1 + exp(-a)): an inaccurate exp matters little where g is large.
// 3. The sum 1 + E~, the quotient and at most two products round, v, division_ulps 2^-23 and v
// each:
//      computed = silu(G~) U~ (1 + r),
//      |r| <= rho = (1 + division_ulps 2^-23) (1 + v)^2 / ((1 - w eps - 2^-126) (1 - v)) - 1.
// 4. Overflow of E~: 1 / d may be 0 from d = 2^126 on (E~ = Inf, or __fdividef, or flushing). That
// can
//    be only where G~ <= -87 (exp(87) (1 + eps) + 1 < 2^126 for eps <= 1/4), and then the answer is
//    off by |silu(G~) U~| <= |c| exp(c) |U~|, c = min(b, -87), as |x| exp(x) rises up to -1.
// 5. Underflow. A quotient or a product adds h = 2^-150 at most (2^-126 where results are flushed),
//    later multiplied by at most max(1, |G~|) max(1, |U~|); there are at most 3.
// 6. Overflow. No intermediate result but E and d exceeds (1 + rho) max(1, |G~|) max(1, |U~|), and
//    underflow; not judgeable where that reaches 2^127.
//
//   T = ds (|U| + e_u) + |silu(G)| e_u + rho (|silu(G)| + ds) (|U| + e_u) + |c| exp(c) (|U| + e_u)
//       + 3 h (1 + rho) max(1, |G~|) max(1, |U~|),
//
// the fourth term only if a <= -87. Not judgeable where eps > 1/4. A zero G or U that is known
// exactly gives a zero: T = 0.
Bound gated_bound(const RationalValue& g, const Bound& g_bound, const RationalValue& u,
                  const Bound& u_bound, const GatedKernel& kernel) {
  require_limit(kernel.limit);
  if (kernel.exp_ulps < 0 || kernel.exp_ulps_per_unit < 0 || kernel.division_ulps < 0) {
    throw std::invalid_argument("The gated epilogue's errors in ulps must not be negative.");
  }
  if (g.is_nan() || u.is_nan()) return {};
  if (!g_bound.judgeable) return g_bound;
  if (!u_bound.judgeable) return u_bound;
  const RationalValue gate = clamp(g, kernel.limit, false);
  const RationalValue up = clamp(u, kernel.limit, true);
  // An operand that is clamped from infinity is the limit, exactly.
  const auto around = [&](const RationalValue& x, const RationalValue& clamped, const Bound& bound,
                          bool below_too) -> std::optional<Around> {
    if (x.is_infinite()) return Around{clamped.number, clamped.number, clamped.number};
    return operand(x.number, bound, kernel, below_too);
  };
  std::optional<Around> gate_around;
  std::optional<Around> up_around;
  if (gate.is_finite()) gate_around = around(g, gate, g_bound, false);
  if (up.is_finite()) up_around = around(u, up, u_bound, true);
  if ((gate.is_finite() && !gate_around) || (up.is_finite() && !up_around)) {
    return not_judgeable("the gate or up may overflow its intermediate format");
  }
  if (!gate_around || !up_around) return infinite_bound(gate, gate_around, up_around);
  const Around& G = *gate_around;
  const Around& U = *up_around;
  if ((G.exact == 0 && G.error() == 0) || (U.exact == 0 && U.error() == 0)) return {};

  const Rational ulp = power(-23);
  const Rational v = power(-24);
  const Rational eps =
      (kernel.exp_ulps + kernel.exp_ulps_per_unit * std::min(G.largest(), Rational(exp_range))) *
      ulp;
  if (4 * eps > 1) {
    return not_judgeable("the claimed exponential is too inaccurate for a bound");
  }
  const Enclosure silu = silu_enclosure(G.exact, bound_bits);
  const Enclosure range = silu_range(G.low, G.high, bound_bits);
  const Rational size = std::max(abs(silu.lower), abs(silu.upper));
  const Rational ds = std::max(range.upper - silu.lower, silu.upper - range.lower);
  Rational weight = 1;  // an upper end of exp(-a) / (1 + exp(-a))
  if (G.low > 0) weight = exp_enclosure(-std::min(G.low, Rational(200)), bound_bits).upper;
  Rational cut_off = 0;
  if (G.low <= -87) {
    const Rational c = std::max(std::min(G.high, Rational(-87)), Rational(-1000));
    cut_off = -c * exp_enclosure(c, bound_bits).upper;
  }
  const Rational exp_error = weight * eps + power(-126);
  const Rational rho =
      (1 + kernel.division_ulps * ulp) * (1 + v) * (1 + v) / ((1 - exp_error) * (1 - v)) - 1;
  const Rational up_reach = abs(U.exact) + U.error();
  const Rational raised = std::max(Rational(1), G.largest()) * std::max(Rational(1), up_reach);
  const Rational underflow = 3 * power(kernel.flush_subnormals ? -126 : -150) * (1 + rho) * raised;
  if ((1 + rho) * raised + underflow >= power(127)) {
    return not_judgeable("a product of the gated epilogue may overflow FP32");
  }
  return {true,
          ds * up_reach + size * U.error() + (rho * (size + ds) + cut_off) * up_reach + underflow,
          ""};
}

GatedOracle gated_oracle(const GemmOracle& gate, const GemmOracle& up, const GatedKernel& kernel) {
  if (gate.reference.size() != up.reference.size()) {
    throw std::invalid_argument("The gate and up products must have the same shape.");
  }
  GatedOracle oracle;
  for (std::size_t i = 0; i < gate.reference.size(); ++i) {
    oracle.reference.push_back(gated(gate.reference[i], up.reference[i], kernel.limit));
    oracle.bounds.push_back(
        gated_bound(gate.reference[i], gate.bounds[i], up.reference[i], up.bounds[i], kernel));
  }
  return oracle;
}

// A result below 2^-30000 that the refinement does not reach is too near to a decision to rule on.
// An enclosure that ends at 0 may hold what is allowed between two ends that are not, unless it is
// far narrower than every format's smallest number.
Judgement judge(const FormatSpec& output, std::uint32_t code, const Gated& exact,
                const Bound& bound, RoundingMode mode) {
  if (!exact.irrational) return judge(output, code, exact.special, bound, mode);
  if (!bound.judgeable) return Judgement::not_judgeable;
  for (int bits = 64; bits <= 32768; bits *= 2) {
    const Enclosure e = enclosure(exact, bits);
    if ((e.lower == 0 || e.upper == 0) && std::max(abs(e.lower), abs(e.upper)) >= power(-400))
      continue;
    const Judgement at_lower = judge(output, code, RationalValue::finite(e.lower), bound, mode);
    const Judgement at_upper = judge(output, code, RationalValue::finite(e.upper), bound, mode);
    if (at_lower == at_upper) return at_lower;
  }
  return Judgement::not_judgeable;
}

}  // namespace assay::golden
