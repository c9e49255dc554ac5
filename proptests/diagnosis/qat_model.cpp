// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/qat_model.h"

#include <algorithm>
#include <cmath>

#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::Exact;
using golden::RationalValue;
using golden::Value;
using kernels::Estimator;

Value magnitude(const Value& v) { return v.negative ? -v : v; }

Value as_value(const RationalValue& x) {
  if (x.is_nan()) return Value::nan();
  if (x.is_infinite()) return Value::infinity(x.negative);
  if (x.is_zero()) return Value::zero(x.negative);
  return golden::value_of(x.number.convert_to<double>());
}

/// What the factor makes of a gradient; a root by the lower end of an enclosure.
void push_estimate(Expected& to, const QatWeight& weight, golden::GradientFactor factor,
                   float parameter, const Value& gradient, const golden::Bound& gradient_bound) {
  if (factor == golden::GradientFactor::dge && weight.clip_side() > 0) {
    // A gradient that should have been dropped: nothing says what the slope outside the range is.
    to.push(RationalValue::zero(false), {false, 0, "the slope outside the range is not defined"});
    return;
  }
  const golden::Radical exact = golden::estimate(weight.estimated(), factor, gradient, parameter);
  golden::Bound bound =
      golden::estimate_bound(weight.estimated(), factor, gradient, gradient_bound, parameter);
  if (!exact.sum.is_finite() || exact.sum.is_zero()) {
    to.push(exact.sum, bound);
    return;
  }
  const auto [low, high] = golden::magnitude_enclosure(exact, 64);
  bound.error += high - low;
  to.push(RationalValue::finite(exact.sum.negative ? golden::Rational(-low) : low), bound);
}

/// A wrong factor is as near as FP32 and a power function make it: 2^-18, or `error` where it is
/// worse conditioned.
void push_product(Expected& to, const RationalValue& factor, const Value& gradient,
                  golden::Bound bound, double error) {
  const RationalValue exact = golden::to_rational(gradient) * factor;
  if (exact.is_finite() && bound.judgeable) {
    const auto magnitude = [](const RationalValue& x) {
      return golden::Rational(boost::multiprecision::abs(x.number));
    };
    if (error >= 1) bound.judgeable = false;
    bound.error = bound.error * magnitude(factor) +
                  magnitude(exact) * golden::to_rational(golden::value_of(error)).number;
  }
  to.push(exact, bound);
}

}  // namespace

/// The bound of FP32 in any order, unless the model says how it adds; with the addend inside where
/// nothing happens to the sum before.
Value QatModel::push_sum(Sum which, Expected& to, const std::vector<std::vector<Value>>& products,
                         const Value* addend) const {
  Value sum = Value::zero(false);
  std::vector<golden::Term> terms;
  bool finite = true;
  for (const auto& factors : products) {
    Value product = Value::finite(1);
    golden::Term term;
    for (const Value& f : factors) {
      product = product * f;
      finite = finite && f.is_finite();
      term.factors.push_back(f.number);
    }
    sum = accumulate ? accumulate(which, sum, product) : sum + product;
    terms.push_back(std::move(term));
  }
  const bool apart = accumulate || finished;
  std::vector<golden::Term> addends;
  if (addend != nullptr && !apart) {
    sum = sum + *addend;
    finite = finite && addend->is_finite();
    addends.push_back({{addend->number}, 0});
  }
  golden::Bound bound =
      finite && !accumulate ? golden::fp32_any_order(terms, addends) : golden::Bound{};
  RationalValue exact = golden::to_rational(sum);
  if (finished) {
    const RationalValue now = finished(which, exact);
    if (exact.is_finite() && bound.error != 0) {
      golden::Rational error = 0;
      for (const golden::Rational& by : {bound.error, golden::Rational(-bound.error)}) {
        const RationalValue end = finished(which, RationalValue::finite(exact.number + by));
        if (!end.is_finite() || !now.is_finite()) {
          if (!(end == now)) bound.judgeable = false;
          continue;
        }
        error =
            std::max<golden::Rational>(error, boost::multiprecision::abs(end.number - now.number));
      }
      bound.error = error;
    }
    exact = now;
    sum = as_value(now);
  }
  if (addend != nullptr && apart) {
    const RationalValue more = golden::to_rational(*addend);
    if (exact.is_finite() && more.is_finite())
      bound.error +=
          (boost::multiprecision::abs(exact.number) + boost::multiprecision::abs(more.number)) /
          (1 << 22);
    exact = exact + more;
    sum = sum + *addend;
  }
  to.push(exact, bound);
  return sum;
}

golden::EstimatedWeight QatWeight::estimated() const { return {w, q, s, &formats::e2m1}; }

void Expected::push(RationalValue exact, golden::Bound bound) {
  reference.push_back(std::move(exact));
  bounds.push_back(std::move(bound));
}

int QatWeight::clip_side() const {
  if (w.is_nan() || s.is_nan()) return 1;
  const Value clip = Value::finite(6) * magnitude(s);
  const Value size = magnitude(w);
  return golden::less(clip, size) ? 1 : golden::less(size, clip) ? -1 : 0;
}

std::vector<QatWeight> QatModel::views(float& tensor_scale) const {
  ReaderModel reader;
  reader.t = weights.run();
  if (spoil_reader) spoil_reader(reader);
  const golden::FactoredMatrix f = reader.run();
  tensor_scale = f.tensor_scale;
  std::vector<QatWeight> out(f.elements.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].w = golden::value_of(weights.x[i]);
    out[i].scale = f.scales[i];
    out[i].s = f.scales[i] * golden::value_of(tensor_scale);
    out[i].q = out[i].s.is_nan() ? Value::nan() : f.elements[i];
  }
  return out;
}

Expected QatModel::y() const {
  float g = 1.0F;
  const std::vector<QatWeight> v = views(g);
  Expected out;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      std::vector<std::vector<Value>> products;
      for (std::int64_t p = 0; p < k; ++p)
        for (int time = count(Sum::y, p, k); time > 0; --time) {
          const QatWeight& weight = v[j * k + p];
          const Value input = golden::value_of(x[i * k + p]);
          if (multiplies_y)
            products.push_back({input, multiplies_y(weight)});
          else
            products.push_back({input, weight.q, weight.scale, golden::value_of(g)});
        }
      const Value b =
          bias.empty() ? Value::zero(false) : golden::value_of(bias_at ? bias_at(i, j) : bias[j]);
      push_sum(Sum::y, out, products, bias.empty() ? nullptr : &b);
    }
  return out;
}

QatModel::Gradients QatModel::gradients() const {
  float g = 1.0F;
  const std::vector<QatWeight> v = views(g);
  Gradients out;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t p = 0; p < k; ++p) {
      std::vector<std::vector<Value>> products;
      for (std::int64_t j = 0; j < n; ++j)
        for (int time = count(Sum::dx, j, n); time > 0; --time) {
          const QatWeight& weight = v[j * k + p];
          const Value d = golden::value_of(dy[i * n + j]);
          if (multiplies_dx)
            products.push_back({d, multiplies_dx(weight)});
          else
            products.push_back({d, weight.q, weight.scale, golden::value_of(g)});
        }
      push_sum(Sum::dx, out.dx, products);
    }
  const golden::EstimatorRule& rule = golden::rule_of(static_cast<golden::Estimator>(estimator));
  Expected whole;
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t p = 0; p < k; ++p) {
      std::vector<std::vector<Value>> products;
      for (std::int64_t i = 0; i < (dw_tokens < 0 ? m : dw_tokens); ++i)
        for (int time = count(Sum::dw, i, m); time > 0; --time)
          products.push_back({golden::value_of(dy[i * n + j]), golden::value_of(x[i * k + p]),
                              golden::value_of(dw_factor)});
      if (enters_g)
        for (auto& factors : products) factors.push_back(enters_g(v[j * k + p]));
      const Value gradient = push_sum(Sum::dw, whole, products);
      const QatWeight& weight = v[j * k + p];
      const bool kept =
          passes ? passes(weight) : golden::passes(weight.estimated(), rule.mask, parameter);
      if (!kept)
        out.dw.push(mask_multiplies && !gradient.is_finite() ? RationalValue::nan()
                                                             : RationalValue::zero(false),
                    {});
      else if (factor)
        push_product(out.dw, factor(weight, gradient), gradient, whole.bounds.back(),
                     factor_error ? factor_error(weight) : 0x1p-18);
      else
        push_estimate(out.dw, weight, rule.factor, parameter, gradient, whole.bounds.back());
    }
  for (std::int64_t j = 0; j < n; ++j) {
    if (dbias) {
      const Value value = golden::value_of(dbias(j));
      golden::Bound bound;
      if (value.is_finite())
        bound.error = boost::multiprecision::abs(value.number.rational()) / (1 << 20);
      out.dbias.push(golden::to_rational(value), bound);
      continue;
    }
    std::vector<std::vector<Value>> products;
    for (std::int64_t i = 0; i < m; ++i)
      for (int time = count(Sum::dbias, i, m); time > 0; --time)
        products.push_back({golden::value_of(dy[i * n + j])});
    push_sum(Sum::dbias, out.dbias, products);
  }
  if (rule.scale == golden::ScaleDerivative::none) return out;
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t first = 0; first < k; first += block) {
      RationalValue sum = RationalValue::zero(false);
      golden::Rational sizes = 0;
      const std::int64_t last = std::min(k, first + block);
      bool judgeable = true;
      for (std::int64_t p = first; p < last; ++p)
        for (int time = count(Sum::dscale, p - first, last - first); time > 0; --time) {
          const QatWeight& weight = v[j * k + p];
          RationalValue d;
          const golden::ScaleTerm term = golden::scale_term(weight.estimated(), rule.scale);
          d = scale_derivative ? scale_derivative(weight) : term.derivative;
          // What does not count is not multiplied: 0 * Inf would be NaN.
          if (!term.counts && (!scale_derivative || d.is_zero())) continue;
          const std::size_t at = j * k + p;
          sum = sum + whole.reference[at] * d;
          judgeable = judgeable && whole.reference[at].is_finite() && d.is_finite();
          if (!judgeable) continue;
          // The subtraction q - u loses what its terms have, up to 12 in magnitude.
          sizes += boost::multiprecision::abs(whole.reference[at].number) * 12 +
                   whole.bounds[at].error * (1 << 18);
        }
      golden::Bound bound;
      const double factor = (gain ? gain(last - first)
                             : rule.scale == golden::ScaleDerivative::pact
                                 ? 1.0
                                 : 1.0 / std::sqrt(6.0 * static_cast<double>(last - first))) *
                            (dscale_times_tensor_scale ? static_cast<double>(g) : 1.0);
      if (finished && sum.is_finite()) sum = finished(Sum::dscale, sum);
      const RationalValue scaled = sum * golden::to_rational(golden::value_of(factor));
      if (scaled.is_finite())
        bound.error = sizes / (1 << 18) *
                      boost::multiprecision::abs(golden::value_of(factor).number.rational());
      else
        bound.judgeable = scaled.is_nan();
      out.dscale.push(scaled, bound);
    }
  return out;
}

QatModel qat_of(const Call& call) {
  QuantizerModel weights(*call.claim.b);
  weights.x = input_floats(call, ASSAY_DUT_W);
  weights.given = input_floats(call, ASSAY_DUT_GIVEN);
  weights.rows = call.n;
  weights.cols = call.k;
  weights.rounding = call.claim.rounding;
  QatModel model(std::move(weights));
  model.estimator = static_cast<Estimator>(call.estimator);
  model.parameter = call.limit;
  model.forward = call.claim.operation == "qat_forward";
  model.m = call.m;
  model.n = call.n;
  model.k = call.k;
  model.block = call.claim.b->block.cols;
  model.x = input_floats(call, ASSAY_DUT_X);
  model.bias = input_floats(call, ASSAY_DUT_BIAS);
  model.dy = input_floats(call, ASSAY_DUT_DY);
  return model;
}

}  // namespace assay::proptests::diagnosis
