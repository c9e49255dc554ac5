// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/qat_judge.h"

#include "golden/qat_bounds.h"
#include "proptests/judge.h"

namespace assay::proptests {
namespace {

using golden::Bound;
using golden::RationalValue;

std::vector<RationalValue> rational(const std::vector<golden::Value>& values) {
  std::vector<RationalValue> out;
  out.reserve(values.size());
  for (const golden::Value& v : values) out.push_back(golden::to_rational(v));
  return out;
}

/// The first mismatch of several arrays; decided if any of them was.
void merge(Ruling& into, Ruling from) {
  into.decided = into.decided || from.decided;
  if (!into.mismatch) into.mismatch = std::move(from.mismatch);
  if (from.worst && (!into.worst || from.worst->share() > into.worst->share()))
    into.worst = from.worst;
}

/// Roots are irrational: judged by the lower end of an enclosure, T growing by its width. Where
/// there is no bound, an exact NaN is not demanded either.
Ruling judge_radicals(const char* name, std::int64_t cols,
                      const std::vector<golden::Radical>& exact, std::vector<Bound> bounds,
                      const std::vector<float>& observed) {
  std::vector<RationalValue> reference;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const RationalValue& sum = exact[i].sum;
    if (!sum.is_finite() || !bounds[i].judgeable) {
      reference.push_back(bounds[i].judgeable ? sum : RationalValue{});
      continue;
    }
    const auto [low, high] = golden::magnitude_enclosure(exact[i], 64);
    bounds[i].error += high - low;
    reference.push_back(
        low == 0 ? sum : RationalValue::finite(sum.negative ? golden::Rational(-low) : low));
  }
  return judge_array(name, cols, formats::fp32, observed, reference, bounds);
}

}  // namespace

Ruling judge_forward(const QatCase& c, const std::vector<float>& y) {
  return judge_array("y", c.n, formats::fp32, y, rational(golden::qat_forward(c.layer()).y),
                     golden::qat_forward_bounds(c.layer()).y);
}

Ruling judge_backward(const QatCase& c, const QatGradientBits& observed) {
  const golden::QatGradients exact = golden::qat_backward(c.layer(), c.dy);
  const golden::QatBounds bounds = golden::qat_backward_bounds(c.layer(), c.dy);
  Ruling ruling{false, std::nullopt};
  merge(ruling, judge_array("dx", c.k, formats::fp32, observed.dx, rational(exact.dx), bounds.dx));
  merge(ruling, judge_radicals("dw", c.k, exact.dw, bounds.dw, observed.dw));
  merge(ruling, judge_array("dbias", c.n, formats::fp32, observed.dbias, rational(exact.dbias),
                            bounds.dbias));
  if (kernels::has_scale_gradient(c.estimator))
    merge(ruling,
          judge_radicals("dscale", c.blocks(), exact.dscale, bounds.dscale, observed.dscale));
  return ruling;
}

}  // namespace assay::proptests
