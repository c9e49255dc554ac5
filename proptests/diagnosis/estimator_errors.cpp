// SPDX-License-Identifier: Apache-2.0
// The known errors of single straight-through estimators.
#include <algorithm>
#include <cmath>

#include "proptests/diagnosis/qat_model.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;
using golden::Value;
using kernels::Estimator;
using Model = QatModel;

/// The mask of one estimator; the others keep theirs.
void mask_of(Model& q, Estimator estimator, std::function<bool(const QatWeight&)> passes) {
  if (q.estimator == estimator) q.passes = std::move(passes);
}
Value distance(const QatWeight& v) {
  const Value d = v.w + -v.hat();
  return d.negative ? -d : d;
}
Value size_of(const Value& v) { return v.negative ? -v : v; }

/// 1 + delta sign d.
RationalValue ewgs_factor(float delta, bool negative, const RationalValue& d) {
  const RationalValue term = golden::to_rational(golden::value_of(delta)) * d;
  return RationalValue::finite(1) + (negative ? -term : term);
}
RationalValue near_number(double x) { return golden::to_rational(golden::value_of(x)); }
double magnitude_of_u(const QatWeight& v) {
  return v.w.is_zero() ? 0.0 : std::fabs(golden::scaled(v.estimated()).number.convert_to<double>());
}

}  // namespace

std::vector<QatError> estimator_errors() {
  return {
      {"pact_boundary_inside", "pact keeps the gradient at |w| = 6 s",
       [](Model& q) {
         mask_of(q, Estimator::pact, [](const QatWeight& v) { return v.clip_side() <= 0; });
       }},
      {"pact_dscale_of_lsq", "pact's d scale has lsq's term inside the range",
       [](Model& q) {
         if (q.estimator == Estimator::pact)
           q.scale_derivative = [](const QatWeight& v) {
             return golden::scale_term(v.estimated(), golden::ScaleDerivative::lsq).derivative;
           };
       }},
      {"pact_sign_lost", "pact's d scale counts weights that are clipped below as if above",
       [](Model& q) {
         if (q.estimator == Estimator::pact)
           q.scale_derivative = [](const QatWeight& v) {
             const golden::ScaleTerm t =
                 golden::scale_term(v.estimated(), golden::ScaleDerivative::pact);
             if (!t.counts) return RationalValue::zero(false);
             return t.derivative.negative && !t.derivative.is_nan() ? -t.derivative : t.derivative;
           };
       }},
      {"trust_strict", "the trust mask excludes |w - q s| = T s",
       [](Model& q) {
         mask_of(q, Estimator::trust_mask, [t = q.parameter](const QatWeight& v) {
           return golden::less(distance(v), golden::value_of(t) * size_of(v.s));
         });
       }},
      {"trust_not_in_units", "the trust mask compares with T and not with T s",
       [](Model& q) {
         mask_of(q, Estimator::trust_mask, [t = q.parameter](const QatWeight& v) {
           return !distance(v).is_nan() && !golden::less(golden::value_of(t), distance(v));
         });
       }},
      {"ewgs_sign_missing", "ewgs does not take the sign of the gradient",
       [](Model& q) {
         if (q.estimator != Estimator::ewgs) return;
         q.factor = [delta = q.parameter](const QatWeight& v, const Value&) {
           return ewgs_factor(delta, false,
                              golden::scaled(v.estimated()) + -golden::to_rational(v.q));
         };
       }},
      {"ewgs_difference_reversed", "ewgs multiplies with q - u",
       [](Model& q) {
         if (q.estimator != Estimator::ewgs) return;
         q.factor = [delta = q.parameter](const QatWeight& v, const Value& g) {
           return ewgs_factor(delta, g.negative == v.s.negative,
                              golden::scaled(v.estimated()) + -golden::to_rational(v.q));
         };
       }},
      {"ewgs_not_in_units", "ewgs takes w - q s and not u - q",
       [](Model& q) {
         if (q.estimator != Estimator::ewgs) return;
         q.factor = [delta = q.parameter](const QatWeight& v, const Value& g) {
           return ewgs_factor(delta, g.negative != v.s.negative,
                              golden::to_rational(v.w + -v.hat()));
         };
       }},
      {"dge_even_bins", "dge takes every bin as wide as the first",
       [](Model& q) {
         if (q.estimator != Estimator::dge) return;
         q.factor = [](const QatWeight& v, const Value&) {
           const double u = magnitude_of_u(v);
           const double z = std::fabs(4.0 * (u - std::floor(2.0 * u) / 2.0) - 1.0);
           return near_number(std::min(3.0, 0.2 * std::pow(z, -0.8)));
         };
       }},
  };
}

}  // namespace assay::proptests::diagnosis
