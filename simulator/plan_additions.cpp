// SPDX-License-Identifier: Apache-2.0
#include "simulator/plan_additions.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace assay::simulator {
namespace {

auto parameters(const MmaModel& m) {
  return std::tuple(m.arithmetic, m.a, m.b, m.d, m.step, m.fraction_bits, m.conversion,
                    m.zero_exponent, m.zero_rule, m.signed_underflow, m.scale, m.scale_block);
}

/// Of K, not of the zeros behind it.
std::string ranges(const Segment& segment, std::int64_t k) {
  std::string text;
  for (const KRange& r : segment)
    if (r.first < k) text += fmt::format("{}+{},", r.first, std::min(r.count, k - r.first));
  return text;
}

/// Addition commutes, and zeros add nothing (but see signs_of_zero()).
std::string sum_of(std::string x, std::string y) {
  if (x.empty() || y.empty()) return x + y;
  if (y < x) std::swap(x, y);
  return "(" + x + " " + y + ")";
}

/// One accumulator of the unit. A lowered instruction starts from zero and is added in one ordinary
/// addition, in FP32 as a promotion is.
std::string chain(const GemmPlan& plan, const Segment& segment, std::int64_t k) {
  const int step = std::min(plan.model.step, plan.instruction_k);
  const std::string text = ranges(segment, k);
  if (text.empty()) return text;
  if (plan.model.arithmetic != Arithmetic::lowered) return fmt::format("[{}|{}]", text, step);
  const bool half = plan.model.d == &formats::fp16;
  std::string sum;
  for (const KRange& r : segment)
    for (std::int64_t i = 0; i < r.count; i += step) {
      const std::string one = ranges({{r.first + i, step}}, k);
      const bool adds = half && !sum.empty() && !one.empty();
      sum = sum_of(sum, one);
      // The sum of two FP16 numbers is exact in FP32.
      if (adds) sum = "fp16<" + sum + ">";
    }
  return sum;
}

/// Exponent of the smallest number.
int smallest(const formats::FormatSpec& s) {
  return s.subnormals ? 1 - s.bias - s.mantissa_bits : -s.bias;
}

/// Whether the result can be -0: where every part can, because a nonzero sum rounds to zero and
/// keeps its sign. An accumulator that starts as +0 (a promotion, a lowered instruction) or ends
/// with a step of zeros cannot.
bool signs_of_zero(const GemmPlan& plan, const Schedule& schedule, std::int64_t k) {
  const MmaModel& m = plan.model;
  const int scales = m.scale == nullptr ? 0 : 2 * smallest(*m.scale);
  if (!m.signed_underflow || plan.promote_every != 0 || m.arithmetic == Arithmetic::lowered ||
      smallest(*m.a) + smallest(*m.b) + scales >= smallest(*m.d))
    return false;
  const int step = std::min(m.step, plan.instruction_k);
  for (const auto& segments : schedule.slices) {
    const KRange& last = segments.back().back();
    if (last.first + last.count >= k + step) return false;
  }
  return true;
}

}  // namespace

std::string additions(const GemmPlan& plan, const Schedule& schedule, std::int64_t k) {
  std::vector<std::string> slices;
  for (const auto& segments : schedule.slices) {
    std::string sum;
    for (const Segment& segment : segments) sum = sum_of(sum, chain(plan, segment, k));
    // What the unit gives in the partials' own format is not rounded again.
    const bool rounds = plan.split.partials != &formats::fp32 &&
                        (plan.split.partials != plan.model.d || segments.size() > 1);
    if (schedule.slices.size() > 1 && rounds)
      sum = fmt::format("{}<{}>", plan.split.partials->name, sum);
    slices.push_back(std::move(sum));
  }
  if (plan.split.order == ReductionOrder::descending) std::reverse(slices.begin(), slices.end());
  while (slices.size() > 1) {
    std::vector<std::string> next;
    const bool pairwise = plan.split.order == ReductionOrder::pairwise;
    for (std::size_t s = 0; s < slices.size(); s += 2) {
      if (s + 1 == slices.size() || (!pairwise && s > 0)) {
        next.insert(next.end(), slices.begin() + static_cast<std::ptrdiff_t>(s), slices.end());
        break;
      }
      next.push_back(sum_of(slices[s], slices[s + 1]));
    }
    slices = std::move(next);
  }
  return slices.front() + (signs_of_zero(plan, schedule, k) ? " -0" : "");
}

bool same_unit(const MmaModel& x, const MmaModel& y) { return parameters(x) == parameters(y); }

bool same_additions(const GemmPlan& x, const GemmPlan& y, std::int64_t k) {
  return same_unit(x.model, y.model) &&
         additions(x, schedule_of(x, k), k) == additions(y, schedule_of(y, k), k);
}

}  // namespace assay::simulator
