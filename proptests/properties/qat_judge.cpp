// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/qat_judge.h"

#include <functional>

#include "golden/bounds.h"
#include "golden/gemm_bounds.h"
#include "golden/qat_bounds.h"
#include "golden/quantize.h"
#include "proptests/judge.h"

namespace assay::proptests {
namespace {

using golden::Bound;
using golden::Exact;
using golden::Rational;
using golden::RationalValue;
using golden::Term;
using golden::Value;

/// The weights as a kernel multiplies them: code value, scale factor, tensor scale.
golden::FactoredMatrix weights_of(const QatCase& c) {
  formats::QuantizeOptions options;
  options.rounding = c.claim.rounding;
  options.scales = c.scales;
  return golden::factor(golden::quantize(c.w, c.n, c.k, *c.claim.b, options));
}

/// Factors of w_hat; only asked for where the result is a number, so all of them are.
void append_weight(std::vector<Exact>& factors, const golden::FactoredMatrix& w, std::int64_t at) {
  factors.push_back(w.elements[at].number);
  factors.push_back(w.scales[at].number);
  if (w.tensor_scale != 1.0F) factors.push_back(Exact::from_float(w.tensor_scale));
}

/// fp32_any_order of sum over i < count of the terms, no bound being needed for NaN and infinities.
Bound bound_of(const Value& exact, std::int64_t count,
               const std::function<std::vector<Exact>(std::int64_t)>& factors,
               std::vector<Term> addends = {}) {
  if (!exact.is_finite()) return {};
  std::vector<Term> terms;
  for (std::int64_t i = 0; i < count; ++i) terms.push_back({factors(i), 0});
  return golden::fp32_any_order(terms, addends);
}

std::vector<RationalValue> rational(const std::vector<Value>& values) {
  std::vector<RationalValue> out;
  out.reserve(values.size());
  for (const Value& v : values) out.push_back(golden::to_rational(v));
  return out;
}

/// The first mismatch of several arrays; decided if any of them was.
void merge(Ruling& into, Ruling from) {
  into.decided = into.decided || from.decided;
  if (!into.mismatch) into.mismatch = std::move(from.mismatch);
}

Rational magnitude(const RationalValue& x) { return x.number < 0 ? Rational(-x.number) : x.number; }

/// One weight as d scale sees it.
struct ScaleTerm {
  Rational g, g_error;  ///< |G| and the bound on what a kernel computes for it
  Rational derivative;  ///< |dv/ds|
  Rational operands;    ///< |q| + |u| where dv/ds = q - u, 0 where it is +-Q
};

/// Bound on d scale = gain * sum_i G_i dv_i, gain = tensor scale / sqrt(N Q), in FP32 with one
/// rounding per operation (u = 2^-24, gamma(n) = n u / (1 - n u)):
///   s = scale * tensor scale and u_i = w_i / s round once each, q - u_i once more, so that
///   |dv~ - dv| <= D_i = gamma(3) (|q_i| + |u_i|) inside, and D_i = 0 outside, where dv = +-Q;
///   G~ is within E_i of G (fp32_any_order), hence |G~ dv~ - G dv| <= E_i (|dv| + D_i) + |G| D_i;
///   the products and their sum in any order: gamma(N + 1) of the sum of (|G| + E_i) (|dv| + D_i);
///   the gain is a square root, a quotient and a product with the tensor scale, and it multiplies:
///   gamma(4). Together gamma(N + 5), as gamma(a) + gamma(b) + gamma(a) gamma(b) <= gamma(a + b).
///   Underflow adds at most 2^-149 per operation to what is summed, and once more after the gain:
///   (2 N + 6) 2^-149 (1 + gain) (1 + largest |G|), a w / s that underflows being multiplied by G.
Bound scale_bound(const std::vector<ScaleTerm>& terms, const Rational& gain) {
  Rational carried = 0;
  Rational size = 0;
  Rational largest = 0;
  const Rational gamma3 = golden::gamma(3);
  for (const ScaleTerm& t : terms) {
    const Rational d = gamma3 * t.operands;
    carried += t.g_error * (t.derivative + d) + t.g * d;
    size += (t.g + t.g_error) * (t.derivative + d);
    largest = std::max(largest, Rational(t.g + t.g_error));
  }
  const auto n = static_cast<std::int64_t>(terms.size());
  const Rational tiny = Exact::power_of_two(-149).rational();
  const Rational half_range = Exact::power_of_two(127).rational();
  if (size * (1 + gain) >= half_range) return {false, 0, "a partial sum of d scale may overflow"};
  if (size == 0) return {};
  return {true,
          gain * (carried + golden::gamma(n + 5) * size) +
              (2 * n + 6) * tiny * (1 + gain) * (1 + largest),
          {}};
}

/// What stands in d scale's sum, from the exact weights, and its bound.
class ScaleJudge {
 public:
  ScaleJudge(const QatCase& c, const golden::FactoredMatrix& w, const std::vector<Value>& g,
             const std::vector<Bound>& g_bounds)
      : case_(c), w_(w), g_(g), g_bounds_(g_bounds), q_(golden::max_finite(*c.claim.b->element)) {}

  [[nodiscard]] Bound bound(std::int64_t row, std::int64_t block, std::int64_t radicand) const {
    const std::int64_t width = case_.claim.b->block.cols;
    const std::int64_t last = std::min(case_.k, (block + 1) * width);
    std::vector<ScaleTerm> terms;
    for (std::int64_t i = row * case_.k + block * width; i < row * case_.k + last; ++i) {
      if (!g_bounds_[i].judgeable) return g_bounds_[i];
      const Rational s =
          w_.scales[i].number.rational() * Exact::from_float(w_.tensor_scale).rational();
      const Rational smallest_normal = Exact::power_of_two(-126).rational();
      if (s != 0 && abs(s) < smallest_normal)
        return {false, 0, "the scale is subnormal: w / s has no relative bound"};
      terms.push_back(term(i, abs(s)));
    }
    const auto gain = golden::magnitude_enclosure(
        {RationalValue::finite(Exact::from_float(w_.tensor_scale).rational()), radicand}, 32);
    return scale_bound(terms, gain.second);
  }

 private:
  [[nodiscard]] ScaleTerm term(std::int64_t i, const Rational& s) const {
    ScaleTerm t;
    t.g = magnitude(golden::to_rational(g_[i]));
    t.g_error = g_bounds_[i].error;
    const Rational w = abs(Exact::from_float(case_.w[i]).rational());
    const Rational q = abs(w_.elements[i].number.rational());
    const bool inside = w <= q_.rational() * s;
    if (!inside) {
      t.derivative = q_.rational();
    } else if (s != 0 && w != 0) {
      const Rational u = w / s;
      t.operands = q + u;
      t.derivative = q > u ? Rational(q - u) : Rational(u - q);
    }
    return t;
  }

  static Rational abs(const Rational& x) { return x < 0 ? Rational(-x) : x; }

  const QatCase& case_;
  const golden::FactoredMatrix& w_;
  const std::vector<Value>& g_;
  const std::vector<Bound>& g_bounds_;
  Exact q_;
};

Ruling judge_dscale(const QatCase& c, const golden::FactoredMatrix& w,
                    const golden::QatGradients& exact, const std::vector<Value>& g,
                    const std::vector<Bound>& g_bounds, const std::vector<float>& observed) {
  const golden::QatBounds golden_bounds = golden::qat_backward_bounds(c.layer(), c.dy);
  const ScaleJudge scales(c, w, g, g_bounds);
  std::vector<RationalValue> reference;
  std::vector<Bound> bounds;
  for (std::size_t i = 0; i < exact.dscale.size(); ++i) {
    const golden::ScaleGradient& d = exact.dscale[i];
    if (!d.sum.is_finite()) {
      bounds.push_back(golden_bounds.dscale[i]);
      reference.push_back(bounds.back().judgeable ? d.sum : RationalValue{});
      continue;
    }
    const auto at = static_cast<std::int64_t>(i);
    Bound bound = scales.bound(at / c.blocks(), at % c.blocks(), d.radicand);
    const auto [low, high] = golden::magnitude_enclosure(d, 64);
    if (high != low) bound.error += high - low;
    reference.push_back(RationalValue::finite(d.sum.negative ? Rational(-low) : low));
    bounds.push_back(bound);
  }
  return judge_array("dscale", c.blocks(), formats::fp32, observed, reference, bounds);
}

}  // namespace

Ruling judge_forward(const QatCase& c, const std::vector<float>& y) {
  const golden::QatForward exact = golden::qat_forward(c.layer());
  const golden::FactoredMatrix w = weights_of(c);
  std::vector<Bound> bounds;
  for (std::int64_t i = 0; i < c.m; ++i)
    for (std::int64_t j = 0; j < c.n; ++j) {
      std::vector<Term> bias;
      const Value& value = exact.y[i * c.n + j];
      if (!c.bias.empty() && value.is_finite()) bias.push_back({{Exact::from_float(c.bias[j])}, 0});
      bounds.push_back(bound_of(
          value, c.k,
          [&](std::int64_t p) {
            std::vector<Exact> factors{Exact::from_float(c.x[i * c.k + p])};
            append_weight(factors, w, j * c.k + p);
            return factors;
          },
          bias));
    }
  return judge_array("y", c.n, formats::fp32, y, rational(exact.y), bounds);
}

Ruling judge_backward(const QatCase& c, const QatGradientBits& observed) {
  const golden::QatGradients exact = golden::qat_backward(c.layer(), c.dy);
  const golden::FactoredMatrix w = weights_of(c);
  const auto dy = [&](std::int64_t i, std::int64_t j) {
    return Exact::from_float(c.dy[i * c.n + j]);
  };
  Ruling ruling{false, std::nullopt};

  std::vector<Bound> bounds;
  for (std::int64_t i = 0; i < c.m; ++i)
    for (std::int64_t p = 0; p < c.k; ++p)
      bounds.push_back(bound_of(exact.dx[i * c.k + p], c.n, [&](std::int64_t j) {
        std::vector<Exact> factors{dy(i, j)};
        append_weight(factors, w, j * c.k + p);
        return factors;
      }));
  merge(ruling, judge_array("dx", c.k, formats::fp32, observed.dx, rational(exact.dx), bounds));

  // G, the gradient of w_hat, is dW before the mask: the identity estimator's dW.
  golden::QatLayer unmasked = c.layer();
  unmasked.estimator = golden::Estimator::identity;
  const std::vector<Value> g = c.estimator == kernels::Estimator::identity
                                   ? exact.dw
                                   : golden::qat_backward(unmasked, c.dy).dw;
  std::vector<Bound> g_bounds;
  std::vector<Bound> dw_bounds;
  for (std::int64_t j = 0; j < c.n; ++j)
    for (std::int64_t p = 0; p < c.k; ++p) {
      const std::int64_t at = j * c.k + p;
      g_bounds.push_back(bound_of(g[at], c.m, [&](std::int64_t i) {
        return std::vector<Exact>{dy(i, j), Exact::from_float(c.x[i * c.k + p])};
      }));
      // A masked element is 0 whatever G is, and exactly so.
      const bool masked = exact.dw[at].is_zero() && !g[at].is_zero();
      dw_bounds.push_back(masked ? Bound{} : g_bounds.back());
    }
  merge(ruling, judge_array("dw", c.k, formats::fp32, observed.dw, rational(exact.dw), dw_bounds));

  bounds.clear();
  for (std::int64_t j = 0; j < c.n; ++j)
    bounds.push_back(bound_of(exact.dbias[j], c.m,
                              [&](std::int64_t i) { return std::vector<Exact>{dy(i, j)}; }));
  merge(ruling,
        judge_array("dbias", c.n, formats::fp32, observed.dbias, rational(exact.dbias), bounds));

  if (c.estimator == kernels::Estimator::lsq)
    merge(ruling, judge_dscale(c, w, exact, g, g_bounds, observed.dscale));
  return ruling;
}

}  // namespace assay::proptests
