// SPDX-License-Identifier: Apache-2.0
#include "golden/qat_bounds.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "golden/estimator_bounds.h"
#include "golden/gemm_bounds.h"
#include "golden/layout.h"
#include "golden/quantize.h"

namespace assay::golden {
namespace {

using boost::multiprecision::abs;

Rational power(std::int64_t exponent) { return Exact::power_of_two(exponent).rational(); }

FactoredMatrix plain(std::span<const float> values, std::int64_t rows, std::int64_t cols) {
  FactoredMatrix result{rows, cols, decode_matrix(values, rows, cols).values,
                        {},   1.0F, &formats::fp32};
  result.scales.assign(result.elements.size(), Value::finite(1));
  return result;
}

struct Operands {
  FactoredMatrix x, w;
  formats::BlockScaledTensor w_codes;

  explicit Operands(const QatLayer& layer) {
    formats::QuantizeOptions options;
    options.rounding = layer.rounding;
    x = layer.input_format == nullptr
            ? plain(layer.x, layer.m, layer.k)
            : factor(quantize(layer.x, layer.m, layer.k, *layer.input_format, options));
    options.scales = layer.scales;
    w_codes = quantize(layer.w, layer.n, layer.k, *layer.weight_format, options);
    w = factor(w_codes);
  }
};

// Adds the factors of element (r, c) to a term; false where it is no finite number.
bool append(const FactoredMatrix& m, std::int64_t r, std::int64_t c, Term& term) {
  const Value& element = m.elements[r * m.cols + c];
  const Value& scale = m.scales[r * m.cols + c];
  if (!element.is_finite() || !scale.is_finite()) return false;
  term.factors.push_back(element.number);
  if (m.element_format->name != formats::fp32.name) {
    term.factors.push_back(scale.number);
    if (m.tensor_scale != 1.0F) term.factors.push_back(Exact::from_float(m.tensor_scale));
  }
  return true;
}

// Bound of sum over i < count of the products that `add(i, term)` describes, plus `addends`. Where
// an operand is no finite number neither is the exact result, and the bound has nothing to say.
template <class Add>
Bound sum_bound(std::int64_t count, const Add& add, std::span<const Term> addends = {}) {
  std::vector<Term> terms(count);
  for (std::int64_t i = 0; i < count; ++i) {
    if (!add(i, terms[i])) return {};
  }
  return fp32_any_order(terms, addends);
}

// Derivation. The non-finite part of the sum of G_i dv_i. A NaN G_i makes every permitted
// evaluation NaN, whatever meets it, and so does a NaN block. An infinite G_i times dv_i is
// an infinity of a sign, or NaN where dv_i is 0, so it matters whether the computed dv_i
// has the exact one's sign. Outside, dv_i is the exact +-Q. Inside, IEEE subtraction gives
// q_i - u~_i the sign of the exact difference of its operands (gradual underflow: 0 only if they
// are equal), and u~_i is within e_i of u_i: the sign is certain where |q_i - u_i|
// exceeds e_i or where e_i is 0, and otherwise a permitted evaluation may answer Inf,
// -Inf or NaN (w = 5.28742886, s = 3.52495265: u < 1.5 = q, but FP32 division gives 1.5). Such a
// term decides nothing, but NaN stays certain where the certain terms are NaN already.
struct NotFinite {
  RationalValue certain = RationalValue::zero(false);

  // False where the term is uncertain.
  [[nodiscard]] bool include(const Value& g, const Rational& dv, const std::optional<Rational>& e) {
    const bool known = e && (*e == 0 || abs(dv) > *e);
    if (!g.is_nan() && !known) return false;
    certain = certain + to_rational(g) * RationalValue::finite(dv);
    return true;
  }
};

// What the bound of one d scale sums up, see the derivation.
struct ScaleSum {
  Rational carried = 0;  // sum of E_i (|dv_i| + e_i) + |G_i| e_i
  Rational size = 0;     // S
  std::int64_t count = 0;
  bool finite = true;
  std::string reason;  // where some term has no bound
  NotFinite not_finite;

  void include(const Value& g, const Bound& g_bound, const Value& q, const Value& s, float w,
               const Rational& largest) {
    ++count;
    if (!q.is_finite() || !s.is_finite()) {
      finite = false;
      not_finite.certain = RationalValue::nan();
      return;
    }
    const Rational scale = s.number.rational();
    const bool inside = abs(Rational(w)) <= largest * abs(scale);
    Rational dv = std::signbit(w) != s.negative ? Rational(-largest) : largest;
    std::optional<Rational> e = Rational(0);
    if (inside) {
      const Rational u = w == 0 ? Rational(0) : Rational(Rational(w) / scale);
      dv = q.number.rational() - u;
      e = quotient_error(u, s.number);
    }
    if (!g.is_finite()) {
      finite = false;
      if (!not_finite.include(g, dv, e)) {
        reason = "an infinite gradient meets a q - u that FP32 may round to 0";
      }
    } else if (!g_bound.judgeable) {
      reason = g_bound.reason;
    } else if (!e) {
      reason = "the scale factor or its reciprocal leaves FP32's normal range";
    } else {
      const Rational magnitude = abs(g.number.rational());
      const Rational derivative = abs(dv) + *e;
      carried += g_bound.error * derivative + magnitude * *e;
      size += (magnitude + g_bound.error) * derivative;
    }
  }
};

// Derivation. d scale = g R^-1/2 sum over the block of G_i dv_i, dv_i = q_i - u_i inside and +-Q
// outside, N elements in the block, R = N Q, g the tensor scale, S = sum of (|G_i| + E_i) (|dv_i| +
// e_i). The kernel has a G~_i within E_i of G_i (fp32_any_order) and a u~_i within e_i of u_i
// (quotient_error; e_i = 0 outside), so without any further rounding it would be off by
//   |(G_i + E) (dv_i + e) - G_i dv_i| <= E_i (|dv_i| + e_i) + |G_i| e_i
// per term, times g R^-1/2. The further roundings of a term: 1 in q_i - u~_i, 1 in the product with
// G~_i, N - 1 additions in any order (an FMA saves roundings), 1 for g, 3 for the gradient scale
// (root, reciprocal, product; a division saves one), and 1 for R where FP32 does not hold it (a
// root halves it). Hence n = N + 5 factors (1 + d)^+-1, N + 6 in the last case, on terms that sum
// to S at most in magnitude:
//   gamma(n) g R^-1/2 S.
// Underflow: a multiplication adds |h| <= 2^-150, additions nothing, divisions and roots here
// nothing (their results are normal). N products with G~_i, later times g R^-1/2 < max(1, g); the
// products with g and with the gradient scale, one of which may meet the other, hence times max(1,
// g) each; or g R^-1/2 formed first, later times S. All of them with the roundings that follow:
//   (1 + gamma(n)) 2^-150 ((N + 2) max(1, g) + S).
// Overflow: every intermediate result is at most S max(1, g) (1 + gamma(n)) and these underflow
// terms. Not judgeable where that reaches 2^127, and where n >= 2^23. S = 0: every product is an
// exact 0, and so is the sum. An infinite sum needs the finite terms not to overflow either; its T
// is 0.
Bound scale_bound(const ScaleSum& sum, float tensor_scale, const Rational& largest) {
  if (sum.not_finite.certain.is_nan()) return {};
  if (!sum.reason.empty()) return {false, 0, sum.reason};
  if (sum.size == 0) return {};
  const Rational radicand = sum.count * largest;
  const bool held_exactly = msb(numerator(radicand)) - lsb(numerator(radicand)) < 24;
  const std::int64_t n = sum.count + (held_exactly ? 5 : 6);
  if (n >= std::int64_t{1} << 23) return {false, 0, "the block is too large for a bound"};
  const Rational g = abs(Rational(tensor_scale));
  const Rational raised_g = g > 1 ? g : Rational(1);
  const Rational growth = gamma(n);
  const Rational underflow = (1 + growth) * power(-150) * ((sum.count + 2) * raised_g + sum.size);
  if ((1 + growth) * sum.size * raised_g + underflow >= power(127)) {
    return {false, 0, "a partial sum of d scale may overflow FP32"};
  }
  const Rational inverse_root =
      magnitude_enclosure({RationalValue::finite(1), radicand}, 64).second;
  if (!sum.finite) return {};
  return {true, g * inverse_root * (sum.carried + growth * sum.size) + underflow, ""};
}

std::vector<Bound> scale_bounds(const QatLayer& layer, const FactoredMatrix& w,
                                const std::vector<Value>& g, const std::vector<Bound>& g_bounds) {
  const BlockGrid grid = block_grid(*layer.weight_format, layer.n, layer.k);
  const Rational largest = max_finite(*layer.weight_format->element).rational();
  std::vector<Bound> bounds;
  for (std::int64_t row = 0; row < layer.n; row += grid.block_rows) {
    for (std::int64_t col = 0; col < layer.k; col += grid.block_cols) {
      ScaleSum sum;
      for (std::int64_t r = row; r < std::min(row + grid.block_rows, layer.n); ++r) {
        for (std::int64_t c = col; c < std::min(col + grid.block_cols, layer.k); ++c) {
          const std::int64_t at = r * layer.k + c;
          const Value s = w.scales[at] * value_of(w.tensor_scale);
          sum.include(g[at], g_bounds[at], w.elements[at], s, layer.w[at], largest);
        }
      }
      bounds.push_back(scale_bound(sum, w.tensor_scale, largest));
    }
  }
  return bounds;
}

// pact's d scale: the products dy x (+-Q) g of the weights that it clips.
std::vector<Bound> clip_bounds(const QatLayer& layer, const Operands& o, const FactoredMatrix& dy,
                               const std::vector<EstimatedWeight>& weights) {
  const BlockGrid grid = block_grid(*layer.weight_format, layer.n, layer.k);
  std::vector<Bound> bounds;
  for (std::int64_t row = 0; row < layer.n; row += grid.block_rows) {
    for (std::int64_t col = 0; col < layer.k; col += grid.block_cols) {
      std::vector<Term> terms;
      bool finite = true;
      for (std::int64_t r = row; r < std::min(row + grid.block_rows, layer.n); ++r) {
        for (std::int64_t c = col; c < std::min(col + grid.block_cols, layer.k); ++c) {
          const ScaleTerm clipped = scale_term(weights[r * layer.k + c], ScaleDerivative::pact);
          if (!clipped.counts) continue;
          finite = finite && clipped.derivative.is_finite();
          for (std::int64_t i = 0; finite && i < layer.m; ++i) {
            Term term;
            finite = append(dy, i, r, term) && append(o.x, i, c, term);
            const Exact largest = max_finite(*layer.weight_format->element);
            term.factors.push_back(clipped.derivative.negative ? -largest : largest);
            if (o.w.tensor_scale != 1) term.factors.push_back(Exact::from_float(o.w.tensor_scale));
            terms.push_back(std::move(term));
          }
        }
      }
      bounds.push_back(finite ? fp32_any_order(terms) : Bound{});
    }
  }
  return bounds;
}

}  // namespace

QatBounds qat_forward_bounds(const QatLayer& layer) {
  const Operands o(layer);
  QatBounds bounds;
  for (std::int64_t i = 0; i < layer.m; ++i) {
    for (std::int64_t j = 0; j < layer.n; ++j) {
      std::vector<Term> addends;
      if (!layer.bias.empty()) {
        if (!std::isfinite(layer.bias[j])) {
          bounds.y.emplace_back();
          continue;
        }
        addends.push_back({{Exact::from_float(layer.bias[j])}, 0});
      }
      bounds.y.push_back(sum_bound(
          layer.k,
          [&](std::int64_t p, Term& t) { return append(o.x, i, p, t) && append(o.w, j, p, t); },
          addends));
    }
  }
  return bounds;
}

QatBounds qat_backward_bounds(const QatLayer& layer, std::span<const float> dy_values) {
  const QatGradients gradients = qat_backward(layer, dy_values);
  const Operands o(layer);
  const FactoredMatrix dy = plain(dy_values, layer.m, layer.n);
  QatBounds bounds;
  for (std::int64_t i = 0; i < layer.m; ++i) {
    for (std::int64_t p = 0; p < layer.k; ++p) {
      bounds.dx.push_back(sum_bound(layer.n, [&](std::int64_t j, Term& t) {
        return append(dy, i, j, t) && append(o.w, j, p, t);
      }));
    }
  }
  std::vector<Bound> g;
  for (std::int64_t j = 0; j < layer.n; ++j) {
    for (std::int64_t p = 0; p < layer.k; ++p) {
      g.push_back(sum_bound(layer.m, [&](std::int64_t i, Term& t) {
        return append(dy, i, j, t) && append(o.x, i, p, t);
      }));
    }
    bounds.dbias.push_back(
        sum_bound(layer.m, [&](std::int64_t i, Term& t) { return append(dy, i, j, t); }));
  }
  const EstimatorRule& rule = rule_of(layer.estimator);
  if (rule.scale == ScaleDerivative::lsq) bounds.dscale = scale_bounds(layer, o.w, gradients.g, g);
  const std::vector<EstimatedWeight> weights = estimated_weights(layer, o.w_codes);
  if (rule.scale == ScaleDerivative::pact) bounds.dscale = clip_bounds(layer, o, dy, weights);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    bounds.dw.push_back(
        gradients.dw_passes[i]
            ? estimate_bound(weights[i], rule.factor, gradients.g[i], g[i], layer.parameter)
            : Bound{});
  }
  return bounds;
}

}  // namespace assay::golden
