// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/gemm_case.h"

#include <fmt/format.h>

#include <bit>

#include "golden/gemm_bounds.h"
#include "proptests/judge.h"
#include "proptests/properties/product_shape.h"
#include "proptests/tensor_edits.h"

namespace assay::proptests {
namespace {

std::vector<float> widened(const std::vector<std::uint16_t>& codes) {
  std::vector<float> out;
  out.reserve(codes.size());
  for (const std::uint16_t code : codes)
    out.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U));
  return out;
}

/// The accumulator that the claim names, as golden knows it. The enums list the same classes in the
/// same order because golden may not include the kernels.
golden::AccumulatorModel model_of(const kernels::Claim& claim) {
  golden::AccumulatorModel model;
  model.kind = static_cast<golden::AccumulatorClass>(claim.accumulator);
  model.unit.fraction_bits = claim.fraction_bits;
  model.unit.promotion = claim.promotion;
  return model;
}

class GemmExperiment final : public Experiment {
 public:
  explicit GemmExperiment(GemmCase c) : case_(std::move(c)) {}

  [[nodiscard]] std::optional<Call> call() const override {
    const GemmCase& c = case_;
    Call call;
    call.claim = c.claim;
    call.m = c.m;
    call.n = c.n;
    call.k = c.k;
    call.alpha = c.alpha;
    call.beta = c.beta;
    if (c.claim.a != nullptr)
      add_input(call, ASSAY_DUT_A, c.a);
    else
      call.in.push_back(operand(ASSAY_DUT_A, ASSAY_DUT_VALUES, formats::bf16, {c.m, c.k},
                                bytes_of(std::span(c.a_bf16))));
    add_input(call, ASSAY_DUT_B, c.b);
    if (!c.c.empty())
      call.in.push_back(operand(ASSAY_DUT_C, ASSAY_DUT_VALUES, formats::fp32, {c.m, c.n},
                                bytes_of(std::span(c.c))));
    if (!c.bias.empty())
      call.in.push_back(operand(ASSAY_DUT_BIAS, ASSAY_DUT_VALUES, formats::fp32, {c.n},
                                bytes_of(std::span(c.bias))));
    call.out.push_back(operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *c.claim.output, {c.m, c.n}));
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const GemmCase& c = case_;
    const golden::FactoredMatrix a = c.claim.a == nullptr
                                         ? golden::factor(formats::bf16, c.a_bf16, c.m, c.k)
                                         : golden::factor(c.a);
    const golden::GemmOracle oracle = golden::gemm_oracle(
        a, golden::factor(c.b), {c.alpha, c.beta, c.c, c.bias}, model_of(c.claim));
    return judge_array("d", c.n, *c.claim.output, to_floats(*c.claim.output, answer.outputs[0]),
                       oracle.reference, oracle.bounds);
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const GemmCase& c = case_;
    std::vector<NamedText> text{
        {"shape", fmt::format("m {} n {} k {}, alpha {}, beta {}, output {}", c.m, c.n, c.k,
                              show(c.alpha), show(c.beta), c.claim.output->name)},
        {"a",
         c.claim.a == nullptr ? "bf16 " + show_matrix(widened(c.a_bf16), c.k) : show_tensor(c.a)},
        {"b", show_tensor(c.b)}};
    if (!c.c.empty()) text.push_back({"c", show_matrix(c.c, c.n)});
    if (!c.bias.empty()) text.push_back({"bias", show_matrix(c.bias, c.n)});
    return text;
  }

 private:
  GemmCase case_;
};

void reshape(GemmCase& c, const ProductShape& s) {
  if (c.claim.a == nullptr)
    c.a_bf16 = crop(c.a_bf16, c.k, {s.m.first, s.m.count, s.k.first, s.k.count});
  else
    c.a = crop(c.a, {s.m.first, s.m.count, s.k.first, s.k.count});
  c.b = crop(c.b, {s.n.first, s.n.count, s.k.first, s.k.count});
  c.c = crop(c.c, c.n, {s.m.first, s.m.count, s.n.first, s.n.count});
  c.bias = crop(c.bias, c.n, {0, 1, s.n.first, s.n.count});
  c.m = s.m.count;
  c.n = s.n.count;
  c.k = s.k.count;
}

using Simplify = void (*)(GemmCase&);
std::vector<Simplify> simpler_epilogues(const GemmCase& c) {
  std::vector<Simplify> edits;
  if (!c.bias.empty()) edits.push_back([](GemmCase& to) { to.bias.clear(); });
  if (c.beta != 0.0F || !c.c.empty())
    edits.push_back([](GemmCase& to) {
      to.beta = 0.0F;
      to.c.clear();
    });
  if (c.alpha != 1.0F) edits.push_back([](GemmCase& to) { to.alpha = 1.0F; });
  return edits;
}

}  // namespace

ExperimentPtr gemm_experiment(GemmCase c) { return std::make_shared<GemmExperiment>(std::move(c)); }

rc::Seq<GemmCase> simpler_gemms(const GemmCase& c) {
  const auto on_bf16 = [](GemmCase& to, const Replacement& e) {
    std::vector<float> values = widened(to.a_bf16);
    perform(e, values);
    for (std::size_t i = 0; i < values.size(); ++i)
      to.a_bf16[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16U);
  };
  return rc::seq::concat(
      edited(c, smaller_shapes(c), reshape),
      edited(c, simpler_epilogues(c), [](GemmCase& to, Simplify e) { e(to); }),
      c.claim.a == nullptr ? edited(c, simpler_values(widened(c.a_bf16)), on_bf16)
                           : edited(c, tensor_edits(c.a, false),
                                    [](GemmCase& to, const TensorEdit& e) { perform(e, to.a); }),
      edited(c, tensor_edits(c.b, false),
             [](GemmCase& to, const TensorEdit& e) { perform(e, to.b); }),
      edited(c, simpler_values(c.c), [](GemmCase& to, const Replacement& e) { perform(e, to.c); }),
      edited(c, simpler_values(c.bias),
             [](GemmCase& to, const Replacement& e) { perform(e, to.bias); }));
}

}  // namespace assay::proptests
