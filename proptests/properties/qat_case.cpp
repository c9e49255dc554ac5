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

Fingerprint fingerprint(const QatCase& c) {
  Fingerprint f;
  for (const auto* operand : {&c.x, &c.w, &c.bias, &c.scales, &c.dy})
    f.add(std::span<const float>(*operand));
  return f;
}

kernels::QatCall call_of(const QatCase& c) {
  kernels::QatCall call;
  call.m = c.m;
  call.n = c.n;
  call.k = c.k;
  call.x = c.x;
  call.w = c.w;
  call.bias = c.bias;
  call.scales = c.scales;
  call.estimator = c.estimator;
  call.dy = c.dy;
  return call;
}

std::vector<float> poisoned(std::int64_t count, std::uint8_t poison) {
  return to_floats(std::vector<std::uint8_t>(count * sizeof(float), poison));
}

class QatExperiment : public Experiment {
 public:
  explicit QatExperiment(QatCase c) : case_(std::move(c)) {}

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const QatCase& c = case_;
    constexpr std::array names{"identity", "clip_mask", "lsq"};
    std::vector<NamedText> text{
        {"step", fmt::format("{} weights, m {} n {} k {}, estimator {}", c.claim.b->name, c.m, c.n,
                             c.k, names.at(static_cast<std::size_t>(c.estimator)))},
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

  [[nodiscard]] Answer ask(const kernels::DeviceUnderTest& dut,
                           std::uint8_t poison) const override {
    std::vector<float> y = poisoned(case_.m * case_.n, poison);
    kernels::QatCall call = call_of(case_);
    call.y = y;
    const Fingerprint before = fingerprint(case_);
    const kernels::Status status = dut.qat_forward(case_.claim, call);
    return {status, {to_bytes(y)}, !(before == fingerprint(case_))};
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    return judge_forward(case_, to_floats(answer.outputs[0]));
  }
};

class BackwardExperiment final : public QatExperiment {
 public:
  using QatExperiment::QatExperiment;

  [[nodiscard]] Answer ask(const kernels::DeviceUnderTest& dut,
                           std::uint8_t poison) const override {
    const QatCase& c = case_;
    const bool lsq = c.estimator == kernels::Estimator::lsq;
    std::vector<float> dx = poisoned(c.m * c.k, poison);
    std::vector<float> dw = poisoned(c.n * c.k, poison);
    std::vector<float> dscale = poisoned(lsq ? c.n * c.blocks() : 0, poison);
    std::vector<float> dbias = poisoned(c.n, poison);
    kernels::QatCall call = call_of(c);
    call.dx = dx;
    call.dw = dw;
    call.dscale = dscale;
    call.dbias = dbias;
    const Fingerprint before = fingerprint(c);
    const kernels::Status status = dut.qat_backward(c.claim, call);
    return {status,
            {to_bytes(dx), to_bytes(dw), to_bytes(dscale), to_bytes(dbias)},
            !(before == fingerprint(c))};
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    return judge_backward(case_, {to_floats(answer.outputs[0]), to_floats(answer.outputs[1]),
                                  to_floats(answer.outputs[2]), to_floats(answer.outputs[3])});
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
