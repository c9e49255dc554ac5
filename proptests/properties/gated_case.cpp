// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/gated_case.h"

#include <fmt/format.h>

#include <bit>

#include "golden/gated.h"
#include "golden/layout.h"
#include "proptests/judge.h"
#include "proptests/properties/product_shape.h"

namespace assay::proptests {
namespace {

std::optional<float> limit_of(const GatedCase& c) {
  return c.limit == 0.0F ? std::nullopt : std::optional(c.limit);
}

class GatedExperiment final : public Experiment {
 public:
  explicit GatedExperiment(GatedCase c) : case_(std::move(c)) { merge(); }

  [[nodiscard]] std::optional<Call> call() const override {
    const GatedCase& c = case_;
    Call call;
    call.claim = c.claim;
    call.m = c.m;
    call.n = c.n;
    call.k = c.k;
    call.limit = c.limit;
    add_input(call, c.a);
    add_input(call, ASSAY_DUT_B, b_);
    call.out.push_back(operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *c.claim.output, {c.m, c.n}));
    spread(call, c.spread);
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const GatedCase& c = case_;
    const formats::FormatSpec& output = *c.claim.output;
    const golden::FactoredMatrix a = factor(c.a);
    const golden::AccumulatorModel model = accumulator_of(c.claim);
    golden::GatedKernel kernel;
    kernel.limit = limit_of(c);
    const golden::GatedOracle oracle =
        golden::gated_oracle(golden::gemm_oracle(a, golden::factor(c.gate), {}, model),
                             golden::gemm_oracle(a, golden::factor(c.up), {}, model), kernel);
    const std::vector<float> d = to_floats(output, answer.outputs[0]);
    Ruling ruling;
    ruling.decided = false;
    for (std::size_t i = 0; i < d.size(); ++i) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(d[i]);
      const std::uint32_t code = &output == &formats::fp32 ? bits : bits >> 16U;
      const golden::Judgement judgement =
          golden::judge(output, code, oracle.reference[i], oracle.bounds[i]);
      ruling.decided = ruling.decided || judgement != golden::Judgement::not_judgeable;
      if (judgement != golden::Judgement::outside || ruling.mismatch) continue;
      ruling.mismatch = mismatch(i, code, oracle.reference[i], oracle.bounds[i]);
    }
    return ruling;
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const GatedCase& c = case_;
    const bool concatenated = c.claim.gate_layout == ASSAY_DUT_CONCATENATED;
    return {{"shape", fmt::format("m {} n {} k {}, {}, limit {}, output {}", c.m, c.n, c.k,
                                  concatenated ? "concatenated" : "interleaved", show(c.limit),
                                  c.claim.output->name)},
            {"a", show_operand(c.a)},
            {"gate rows of b", show_tensor(c.gate)},
            {"up rows of b", show_tensor(c.up)}};
  }

 private:
  /// B of both, in the order that the claim names.
  void merge() {
    const GatedCase& c = case_;
    b_ = c.gate;
    b_.rows = 2 * c.n;
    b_.codes.assign(golden::code_bytes(*b_.format->element, b_.rows, c.k, b_.layout), 0);
    b_.scales.assign(golden::scale_bytes(*b_.format, b_.rows, c.k, b_.scale_layout), 0);
    const std::int64_t across = golden::block_grid(*b_.format, b_.rows, c.k).across;
    const bool concatenated = c.claim.gate_layout == ASSAY_DUT_CONCATENATED;
    for (const bool up : {false, true})
      for (std::int64_t j = 0; j < c.n; ++j) {
        const formats::BlockScaledTensor& from = up ? c.up : c.gate;
        const std::int64_t row = concatenated ? j + (up ? c.n : 0) : 2 * j + (up ? 1 : 0);
        for (std::int64_t i = 0; i < c.k; ++i)
          golden::store_code(b_, row, i, golden::load_code(from, j, i));
        for (std::int64_t b = 0; b < across; ++b)
          golden::store_scale(b_, row, b, golden::load_scale(from, j, b));
      }
  }

  [[nodiscard]] Mismatch mismatch(std::size_t i, std::uint32_t code, const golden::Gated& exact,
                                  const golden::Bound& bound) const {
    const formats::FormatSpec& output = *case_.claim.output;
    const std::uint32_t nearest = golden::encode(output, exact, formats::RoundingMode::nearest_even,
                                                 golden::policy_of(formats::ieee, output));
    Mismatch m;
    m.where = fmt::format("d[{},{}]", static_cast<std::int64_t>(i) / case_.n,
                          static_cast<std::int64_t>(i) % case_.n);
    m.criterion = fmt::format("derived bound: |c - exact| <= T + half an ulp, T = {:.6g}",
                              bound.error.convert_to<double>());
    m.expected = show_code(output, nearest);
    m.observed = show_code(output, code);
    m.exact = exact.irrational
                  ? fmt::format("silu({}) * {}", show(golden::RationalValue::finite(exact.gate)),
                                show(golden::RationalValue::finite(exact.up)))
                  : show(exact.special);
    return m;
  }

  GatedCase case_;
  formats::BlockScaledTensor b_;
};

void reshape(GatedCase& c, const ProductShape& s) {
  c.a = crop(c.a, {s.m.first, s.m.count, s.k.first, s.k.count});
  for (formats::BlockScaledTensor* b : {&c.gate, &c.up})
    *b = crop(*b, {s.n.first, s.n.count, s.k.first, s.k.count});
  c.m = s.m.count;
  c.n = s.n.count;
  c.k = s.k.count;
}

/// The tensor scale is one for both halves.
std::vector<TensorEdit> half_edits(const formats::BlockScaledTensor& b) {
  std::vector<TensorEdit> edits = tensor_edits(b, false);
  std::erase_if(edits,
                [](const TensorEdit& e) { return e.kind == TensorEdit::Kind::tensor_scale; });
  return edits;
}

using Simplify = void (*)(GatedCase&);

}  // namespace

ExperimentPtr gated_experiment(GatedCase c) {
  return std::make_shared<GatedExperiment>(std::move(c));
}

rc::Seq<GatedCase> simpler_gated(const GatedCase& c) {
  std::vector<Simplify> edits;
  if (c.spread.gap != 0) edits.push_back([](GatedCase& to) { to.spread = {}; });
  if (c.limit != 0.0F) edits.push_back([](GatedCase& to) { to.limit = 0.0F; });
  if (c.gate.tensor_scale != 1.0F)
    edits.push_back([](GatedCase& to) { to.gate.tensor_scale = to.up.tensor_scale = 1.0F; });
  return rc::seq::concat(
      edited(c, smaller_shapes(c), reshape),
      edited(c, std::move(edits), [](GatedCase& to, Simplify e) { e(to); }),
      edited(c, left_edits(c.a), [](GatedCase& to, const LeftEdit& e) { perform(e, to.a); }),
      edited(c, half_edits(c.gate),
             [](GatedCase& to, const TensorEdit& e) { perform(e, to.gate); }),
      edited(c, half_edits(c.up), [](GatedCase& to, const TensorEdit& e) { perform(e, to.up); }));
}

}  // namespace assay::proptests
