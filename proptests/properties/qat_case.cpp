// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/qat_case.h"

#include <fmt/format.h>

#include <array>

#include "proptests/judge.h"
#include "proptests/properties/product_shape.h"
#include "proptests/properties/qat_judge.h"
#include "proptests/shrink.h"

namespace assay::proptests {
namespace {

/// What both directions are given.
Call call_of(const QatCase& c) {
  Call call;
  call.claim = c.claim;
  call.m = c.m;
  call.n = c.n;
  call.k = c.k;
  call.estimator = static_cast<std::uint32_t>(c.estimator);
  call.limit = c.parameter;
  spread(call, c.spread);
  const auto add = [&call](std::uint32_t role, std::vector<std::int64_t> shape,
                           const std::vector<float>& x) {
    if (!x.empty())
      call.in.push_back(
          operand(role, ASSAY_DUT_VALUES, formats::fp32, std::move(shape), bytes_of(std::span(x))));
  };
  add(ASSAY_DUT_X, {c.m, c.k}, c.x);
  add(ASSAY_DUT_W, {c.n, c.k}, c.w);
  add(ASSAY_DUT_BIAS, {c.n}, c.bias);
  add(ASSAY_DUT_GIVEN, {c.n, c.blocks()}, c.scales);
  add(ASSAY_DUT_DY, {c.m, c.n}, c.dy);
  return call;
}

void add_result(Call& call, std::uint32_t role, std::vector<std::int64_t> shape) {
  call.out.push_back(operand(role, ASSAY_DUT_VALUES, formats::fp32, std::move(shape)));
}

class QatExperiment : public Experiment {
 public:
  explicit QatExperiment(QatCase c) : case_(std::move(c)) {}

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const QatCase& c = case_;
    std::vector<NamedText> text{
        {"step",
         fmt::format("{} weights, m {} n {} k {}, estimator {} {}", c.claim.b->name, c.m, c.n, c.k,
                     kernels::estimator_names.at(static_cast<std::size_t>(c.estimator)),
                     c.parameter)},
        {"x", show_matrix(c.x, c.k)},
        {"w", show_matrix(c.w, c.k)}};
    if (!c.scales.empty()) text.push_back({"scales", show_matrix(c.scales, c.blocks())});
    if (!c.bias.empty()) text.push_back({"bias", show_matrix(c.bias, c.n)});
    if (!c.dy.empty()) text.push_back({"dy", show_matrix(c.dy, c.n)});
    return text;
  }

 protected:
  QatCase case_;  // NOLINT: shared with the two experiments below only
};

class ForwardExperiment final : public QatExperiment {
 public:
  using QatExperiment::QatExperiment;

  [[nodiscard]] std::optional<Call> call() const override {
    Call call = call_of(case_);
    add_result(call, ASSAY_DUT_Y, {case_.m, case_.n});
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    return judge_forward(case_, to_floats(answer.outputs[0]));
  }
};

class BackwardExperiment final : public QatExperiment {
 public:
  using QatExperiment::QatExperiment;

  [[nodiscard]] std::optional<Call> call() const override {
    const QatCase& c = case_;
    Call call = call_of(c);
    add_result(call, ASSAY_DUT_DX, {c.m, c.k});
    add_result(call, ASSAY_DUT_DW, {c.n, c.k});
    add_result(call, ASSAY_DUT_DBIAS, {c.n});
    if (kernels::has_scale_gradient(c.estimator))
      add_result(call, ASSAY_DUT_DSCALE, {c.n, c.blocks()});
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const bool scaled = kernels::has_scale_gradient(case_.estimator);
    return judge_backward(case_, {to_floats(answer.outputs[0]), to_floats(answer.outputs[1]),
                                  scaled ? to_floats(answer.outputs[3]) : std::vector<float>{},
                                  to_floats(answer.outputs[2])});
  }
};

void reshape(QatCase& c, const ProductShape& s) {
  const std::int64_t block = c.claim.b->block.cols;
  const std::int64_t blocks = (s.k.count + block - 1) / block;
  c.scales = crop(c.scales, c.blocks(), {s.n.first, s.n.count, s.k.first / block, blocks});
  c.x = crop(c.x, c.k, {s.m.first, s.m.count, s.k.first, s.k.count});
  c.w = crop(c.w, c.k, {s.n.first, s.n.count, s.k.first, s.k.count});
  c.dy = crop(c.dy, c.n, {s.m.first, s.m.count, s.n.first, s.n.count});
  c.bias = crop(c.bias, c.n, {0, 1, s.n.first, s.n.count});
  c.m = s.m.count;
  c.n = s.n.count;
  c.k = s.k.count;
}

rc::Seq<QatCase> simpler_operand(const QatCase& c, std::vector<float> QatCase::*operand) {
  return edited(c, simpler_values(c.*operand),
                [operand](QatCase& to, const Replacement& e) { perform(e, to.*operand); });
}

}  // namespace

golden::QatLayer QatCase::layer() const {
  golden::QatLayer l;
  l.m = m;
  l.n = n;
  l.k = k;
  l.x = x;
  l.w = w;
  l.bias = bias;
  l.scales = scales;
  l.weight_format = claim.b;
  l.rounding = claim.rounding;
  // golden may not include the kernels, hence two enums in the same order.
  l.estimator = static_cast<golden::Estimator>(estimator);
  l.parameter = parameter;
  return l;
}

ExperimentPtr qat_forward_experiment(QatCase c) {
  return std::make_shared<ForwardExperiment>(std::move(c));
}
ExperimentPtr qat_backward_experiment(QatCase c) {
  return std::make_shared<BackwardExperiment>(std::move(c));
}

rc::Seq<QatCase> simpler_steps(const QatCase& c) {
  std::vector<int> without_bias;
  if (!c.bias.empty()) without_bias.push_back(0);
  return rc::seq::concat(
      edited(c, smaller_shapes(c), reshape),
      edited(c, std::move(without_bias), [](QatCase& to, int) { to.bias.clear(); }),
      simpler_operand(c, &QatCase::x), simpler_operand(c, &QatCase::dy),
      simpler_operand(c, &QatCase::w), simpler_operand(c, &QatCase::bias),
      simpler_operand(c, &QatCase::scales));
}

}  // namespace assay::proptests
