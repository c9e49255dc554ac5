// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/gemm_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "golden/gemm_bounds.h"
#include "golden/layout.h"
#include "proptests/judge.h"
#include "proptests/properties/left_operand.h"
#include "proptests/properties/mma_claim.h"
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

class GemmExperiment final : public Experiment {
 public:
  explicit GemmExperiment(GemmCase c);

  [[nodiscard]] std::optional<Call> call() const override {
    const GemmCase& c = case_;
    Call call;
    call.claim = c.claim;
    call.m = c.m;
    call.n = c.n;
    call.k = c.k;
    call.alpha = c.alpha;
    call.beta = c.beta;
    spread(call, c.spread);
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

  [[nodiscard]] const Experiment* companion() const override { return alone_.get(); }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    if (case_.m == 0 || case_.n == 0) return {};  // nothing to write; that nothing was, is checked
    const GemmCase& c = case_.k == 0 ? with_a_zero_ : case_;
    const golden::FactoredMatrix a = c.claim.a == nullptr
                                         ? golden::factor(formats::bf16, c.a_bf16, c.m, c.k)
                                         : golden::factor(c.a);
    const golden::FactoredMatrix b = golden::factor(c.b);
    const golden::GemmEpilogue epilogue{c.alpha, c.beta, c.c, c.bias};
    const golden::GemmOracle oracle =
        c.claim.mma_model.empty() ? golden::gemm_oracle(a, b, epilogue, accumulator_of(c.claim))
                                  : mma_oracle(c.claim, a, b, epilogue);
    Ruling ruling =
        judge_array("d", c.n, *c.claim.output, to_floats(*c.claim.output, answer.outputs[0]),
                    oracle.reference, oracle.bounds);
    if (alone_ && !ruling.mismatch) ruling.mismatch = difference_alone(answer);
    return ruling;
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const GemmCase& c = case_;
    std::vector<NamedText> text{
        {"shape", fmt::format("m {} n {} k {}, alpha {}, beta {}, output {}", c.m, c.n, c.k,
                              show(c.alpha), show(c.beta), c.claim.output->name)},
        {"a",
         c.claim.a == nullptr ? "bf16 " + show_matrix(widened(c.a_bf16), c.k) : show_tensor(c.a)},
        {"b", show_tensor(c.b)}};
    if (c.spread.gap > 0 || c.scale_padding)
      text.push_back(
          {"padding", fmt::format("{} elements of 0x{:02X} between rows, 0x{:02X} "
                                  "between scale factors",
                                  c.spread.gap, c.spread.pad, c.scale_padding.value_or(0))});
    if (!c.c.empty()) text.push_back({"c", show_matrix(c.c, c.n)});
    if (!c.bias.empty()) text.push_back({"bias", show_matrix(c.bias, c.n)});
    return text;
  }

 private:
  /// Where the row has other bits in the large product than by itself.
  [[nodiscard]] std::optional<Mismatch> difference_alone(const Answer& answer) const {
    const std::size_t width = case_.claim.output->storage_bits / 8;
    for (std::int64_t j = 0; j < case_.n; ++j) {
      const auto* together = &answer.outputs[0][(*case_.alone * case_.n + j) * width];
      const auto* alone = &answer.outputs[1][j * width];
      if (std::equal(alone, alone + width, together)) continue;
      const auto value = [&](const std::uint8_t* bytes) {
        return show(to_floats(*case_.claim.output, {bytes, width})[0]);
      };
      return Mismatch{fmt::format("d[{},{}]", *case_.alone, j),
                      "a row has the same bits whatever other rows are in the call",
                      value(alone) + " in a call of its own",
                      value(together),
                      "",
                      ""};
    }
    return std::nullopt;
  }

  GemmCase case_;
  GemmCase with_a_zero_;  ///< where k is 0: the same sums, with one term that is zero
  ExperimentPtr alone_;
};

/// Element codes 0 and scale factors 1.
formats::BlockScaledTensor zeros_like(formats::BlockScaledTensor t, std::int64_t rows) {
  t.rows = rows;
  t.cols = 1;
  t.codes.assign(golden::code_bytes(*t.format->element, t.rows, t.cols, t.layout), 0);
  t.scales.assign(golden::scale_bytes(*t.format, t.rows, t.cols, t.scale_layout), 0);
  const auto unit = static_cast<std::uint32_t>(t.format->scale->bias)
                    << static_cast<unsigned>(t.format->scale->mantissa_bits);
  for (std::int64_t r = 0; r < rows; ++r) golden::store_scale(t, r, 0, unit);
  return t;
}

void reshape(GemmCase& c, const ProductShape& s) {
  if (c.claim.a == nullptr)
    c.a_bf16 = crop(c.a_bf16, c.k, {s.m.first, s.m.count, s.k.first, s.k.count});
  else
    c.a = crop(c.a, {s.m.first, s.m.count, s.k.first, s.k.count});
  c.b = crop(c.b, {s.n.first, s.n.count, s.k.first, s.k.count});
  c.c = crop(c.c, c.n, {s.m.first, s.m.count, s.n.first, s.n.count});
  c.bias = crop(c.bias, c.n, {0, 1, s.n.first, s.n.count});
  if (c.alone)
    c.alone =
        std::clamp<std::int64_t>(*c.alone - s.m.first, 0, std::max<std::int64_t>(s.m.count, 1) - 1);
  c.m = s.m.count;
  c.n = s.n.count;
  c.k = s.k.count;
}

GemmExperiment::GemmExperiment(GemmCase c) : case_(std::move(c)) {
  if (case_.scale_padding) {
    if (case_.claim.a != nullptr) fill_padding(case_.a, *case_.scale_padding);
    fill_padding(case_.b, *case_.scale_padding);
  }
  if (case_.alone) {
    GemmCase row = case_;
    row.alone.reset();
    reshape(row, {{*case_.alone, 1}, {0, case_.n}, {0, case_.k}});
    alone_ = gemm_experiment(std::move(row));
  }
  if (case_.k != 0 || case_.m == 0 || case_.n == 0) return;
  with_a_zero_ = case_;
  with_a_zero_.k = 1;
  with_a_zero_.a_bf16.assign(case_.m, 0);
  if (case_.claim.a != nullptr) with_a_zero_.a = zeros_like(case_.a, case_.m);
  with_a_zero_.b = zeros_like(case_.b, case_.n);
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
