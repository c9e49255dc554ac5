// SPDX-License-Identifier: Apache-2.0
#include "golden/qat_bounds.h"

#include <algorithm>
#include <cmath>

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

  explicit Operands(const QatLayer& layer) {
    const QatForward forward = qat_forward(layer);
    w = factor(forward.w_codes);
    if (layer.input_format == nullptr) {
      x = plain(layer.x, layer.m, layer.k);
    } else {
      formats::QuantizeOptions options;
      options.rounding = layer.rounding;
      x = factor(quantize(layer.x, layer.m, layer.k, *layer.input_format, options));
    }
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

// Derivation. How far a computed u = w/(s g) may be from the exact one, s standing for s g: its
// factors are rounded at most three times (s g, its reciprocal, the product with w), the last
// operation may underflow, and s g and its reciprocal are normal numbers in scale_in_range:
// gamma(3) |u| + 2^-150. Where s is a power of two so is its reciprocal, and if w/s is a multiple
// of 2^-149 too, every permitted evaluation is exact; so is 0/s.
Rational quotient_error(const Rational& u, const Rational& s) {
  const Rational magnitude = abs(s);
  const bool power_of_two = (numerator(magnitude) & (numerator(magnitude) - 1)) == 0 &&
                            (denominator(magnitude) & (denominator(magnitude) - 1)) == 0;
  if (u == 0 || (power_of_two && denominator(Rational(u * power(149))) == 1)) return 0;
  return gamma(3) * abs(u) + power(-150);
}

bool scale_in_range(const Rational& s) {
  return s == 0 || (abs(s) >= power(-125) && abs(s) <= power(125));
}

// Derivation. The non-finite part of the sum of G_i (q_i - u_i). A NaN G_i makes every permitted
// evaluation NaN, whatever meets it, and so does a NaN block. An infinite G_i times the factor is
// an infinity of a sign, or NaN where the factor is 0, so it matters whether the computed factor
// has the exact one's sign. Outside, the factor is the exact +-Q. Inside, IEEE subtraction gives
// q_i - u~_i the sign of the exact difference of its operands (gradual underflow: 0 only if they
// are equal), and u~_i is within quotient_error of u_i: the sign is certain where |q_i - u_i|
// exceeds that error or where the error is 0, and otherwise a permitted evaluation may answer Inf,
// -Inf or NaN (w = 5.28742886, s = 3.52495265: u < 1.5 = q, but FP32 division gives 1.5). Such a
// term decides nothing, but NaN stays certain where the certain terms are NaN already.
struct NotFinite {
  RationalValue certain = RationalValue::zero(false);
  bool uncertain = false;

  void include(const Value& g, const RationalValue& factor, const Rational& factor_error,
               bool in_range) {
    const bool known = factor_error == 0 || (in_range && abs(factor.number) > factor_error);
    if (g.is_nan() || known) {
      certain = certain + to_rational(g) * factor;
    } else {
      uncertain = true;
    }
  }
  [[nodiscard]] Bound bound() const {
    if (!uncertain || certain.is_nan()) return {};
    return {false, 0, "an infinite gradient meets a q - u that FP32 may round to 0"};
  }
};

// What the bound of one d scale sums up, see the derivation.
struct ScaleSum {
  Rational magnitude = 0;  // sum of A_i (|q_i| + |u_i|), |q_i| = Q and no u_i outside
  Rational carrier = 0;    // sum of A_i, A_i = sum over rows of |dy x|
  std::int64_t count = 0;
  bool finite = true;
  bool in_range = true;
  NotFinite not_finite;

  void include(const Value& g, const Rational& a, const Value& q, const Value& s, float w,
               const Rational& largest) {
    ++count;
    if (!q.is_finite() || !s.is_finite()) {
      finite = false;
      not_finite.certain = RationalValue::nan();
      return;
    }
    const Rational signed_scale = s.number.rational();
    const Rational scale = abs(signed_scale);
    const Rational weight = abs(Rational(w));
    const bool inside = weight <= largest * scale;
    in_range = in_range && scale_in_range(scale);
    if (!g.is_finite()) {
      finite = false;
      const bool negative = std::signbit(w) != s.negative;
      const Rational u = inside && weight != 0 ? Rational(w) / signed_scale : Rational(0);
      const Rational factor =
          inside ? Rational(q.number.rational() - u) : Rational(negative ? -largest : largest);
      not_finite.include(g, RationalValue::finite(factor),
                         inside ? quotient_error(u, signed_scale) : Rational(0),
                         scale_in_range(scale));
      return;
    }
    Rational factor = largest;
    if (inside) factor = abs(q.number.rational()) + (weight == 0 ? Rational(0) : weight / scale);
    magnitude += a * factor;
    carrier += a;
  }
};

// Derivation. d scale = g R^-1/2 sum over i of (sum over rows r of dy_ri x_ri) (q_i - u_i), u_i =
// w_i/(s g), N elements i in the block, M rows r. As a sum of leaves (r, i, q) and (r, i, u), each
// leaf passes through
//   M - 1 additions and 1 multiplication in G_i (x fake-quantized: 2 more),
//   at most 3 roundings in u_i (s g, its reciprocal, the product with w), 1 in q_i - u_i,
//   1 in the product with G_i, N - 1 additions over the block, 1 for the tensor scale, and 3 for
//   the gradient scale (root, reciprocal, product; 6 N is exact).
// That is n = M + N + 10 factors (1 + d)^+-1 at most, whose product is within gamma(n) of 1
// (Higham, Lemma 3.1, holds for quotients too). Outside, the only leaf is the exact +-Q. With A_i =
// sum over r of |dy x|:
//   relative part: gamma(n) g R^-1/2 sum A_i (|q_i| + |u_i|).
// Underflow: every multiplication or division may add |h| <= 2^-150, additions none. Up to three in
// a product dy x, the later factors of which are at most `amplify` = max(1, |dy|) max(1, element of
// x) max(1, its scale) max(1, its tensor scale), maxima over all elements, and then |q_i - u_i| <=
// 2 Q; one in u_i, later times A_i (s g and its reciprocal are normal numbers by the range check);
// one in each product with G_i, in that with the tensor scale and in that with the gradient scale.
// All of them times max(1, g), and R^-1/2 < 1: (1 + gamma(n)) 2^-150 max(1, g) (3 N M 2Q amplify +
// sum A_i + N + 2). Overflow: every intermediate result is at most (1 + gamma(n)) N M 2Q amplify
// max(1, g). Not judgeable where that reaches 2^127, or where a nonzero s g lies outside [2^-125,
// 2^125].
Bound scale_bound(const ScaleSum& sum, std::int64_t rows, const Rational& amplify,
                  float tensor_scale, const Rational& largest) {
  if (!sum.finite) return sum.not_finite.bound();
  const Rational g = abs(Rational(tensor_scale));
  const Rational raised_g = g > 1 ? g : Rational(1);
  const Rational growth = gamma(rows + sum.count + 10);
  const Rational top = sum.count * rows * 2 * largest * amplify * raised_g;
  if (!sum.in_range || (1 + growth) * top >= power(127)) {
    return {false, 0, "a step of the scale gradient may leave FP32's normal range"};
  }
  ScaleGradient one;
  one.sum = RationalValue::finite(1);
  one.radicand = static_cast<std::int64_t>(numerator(Rational(sum.count * largest)));
  const Rational inverse_root = magnitude_enclosure(one, 64).second;
  const Rational underflow =
      power(-150) * raised_g *
      (3 * sum.count * rows * 2 * largest * amplify + sum.carrier + sum.count + 2);
  return {true, growth * g * inverse_root * sum.magnitude + (1 + growth) * underflow, ""};
}

Rational largest_magnitude(const std::vector<Value>& values) {
  Exact result = 1;
  for (const Value& v : values) result = std::max(result, golden::abs(v.number));
  return result.rational();
}

std::vector<Bound> scale_bounds(const QatLayer& layer, const FactoredMatrix& x,
                                const FactoredMatrix& w, const Matrix& dy) {
  const BlockGrid grid = block_grid(*layer.weight_format, layer.n, layer.k);
  const Rational largest = max_finite(*layer.weight_format->element).rational();
  const std::vector<Value> x_hat = qat_forward(layer).x_hat;
  const Rational amplify = largest_magnitude(dy.values) * largest_magnitude(x.elements) *
                           largest_magnitude(x.scales) *
                           largest_magnitude({value_of(x.tensor_scale)});
  std::vector<Bound> bounds;
  for (std::int64_t row = 0; row < layer.n; row += grid.block_rows) {
    for (std::int64_t col = 0; col < layer.k; col += grid.block_cols) {
      ScaleSum sum;
      for (std::int64_t r = row; r < std::min(row + grid.block_rows, layer.n); ++r) {
        for (std::int64_t c = col; c < std::min(col + grid.block_cols, layer.k); ++c) {
          Value g = Value::zero(false);
          Exact a = 0;
          for (std::int64_t i = 0; i < layer.m; ++i) {
            const Value product = dy.values[i * layer.n + r] * x_hat[i * layer.k + c];
            g = g + product;
            a = a + golden::abs(product.number);
          }
          const std::int64_t at = r * layer.k + c;
          const Value s = w.scales[at] * value_of(w.tensor_scale);
          sum.include(g, a.rational(), w.elements[at], s, layer.w[at], largest);
        }
      }
      bounds.push_back(scale_bound(sum, layer.m, amplify, w.tensor_scale, largest));
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
  for (std::int64_t j = 0; j < layer.n; ++j) {
    for (std::int64_t p = 0; p < layer.k; ++p) {
      bounds.dw.push_back(sum_bound(layer.m, [&](std::int64_t i, Term& t) {
        return append(dy, i, j, t) && append(o.x, i, p, t);
      }));
      if (!gradients.dw_passes[j * layer.k + p]) bounds.dw.back() = {};
    }
    bounds.dbias.push_back(
        sum_bound(layer.m, [&](std::int64_t i, Term& t) { return append(dy, i, j, t); }));
  }
  if (layer.estimator == Estimator::lsq) {
    bounds.dscale = scale_bounds(layer, o.x, o.w, {layer.m, layer.n, dy.elements});
  }
  return bounds;
}

Judgement judge(const FormatSpec& output, std::uint32_t code, const ScaleGradient& exact,
                const Bound& bound) {
  if (!bound.judgeable) return Judgement::not_judgeable;
  if (!exact.sum.is_finite() || exact.sum.is_zero()) {
    return judge(output, code, exact.sum, bound);
  }
  for (int bits = 64;; bits *= 2) {
    auto [lower, upper] = magnitude_enclosure(exact, bits);
    if (exact.sum.negative) {
      lower = -lower;
      upper = -upper;
    }
    const Judgement at_lower = judge(output, code, RationalValue::finite(lower), bound);
    const Judgement at_upper = judge(output, code, RationalValue::finite(upper), bound);
    if (at_lower == at_upper) return at_lower;
  }
}

}  // namespace assay::golden
