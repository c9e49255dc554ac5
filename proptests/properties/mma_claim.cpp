// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/mma_claim.h"

#include <bit>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "golden/fp32_order.h"
#include "simulator/gemm.h"

namespace assay::proptests {
namespace {

using formats::FormatSpec;
using golden::FactoredMatrix;
using golden::Value;
using simulator::MmaModel;

/// The operand of one side as the unit takes it, k filled up.
struct UnitOperand {
  std::vector<std::uint32_t> codes, scales;
  std::vector<bool> held;  ///< by row: every number is one of the unit's input format
};

std::uint32_t code_of(const FormatSpec& format, const Value& x, bool& held) {
  const std::uint32_t code = golden::encode(format, x, formats::RoundingMode::nearest_even,
                                            golden::policy_of(formats::ieee, format));
  const Value back = golden::decode(format, code);
  const bool same_kind = back.is_nan() == x.is_nan() && back.is_finite() == x.is_finite();
  if (!same_kind || (x.is_finite() && back.number != x.number)) held = false;
  return code;
}

UnitOperand operand_of(const MmaModel& model, const FormatSpec& format, const FactoredMatrix& x,
                       std::int64_t padded_k) {
  UnitOperand out;
  const std::uint32_t one = model.scale == nullptr
                                ? 0
                                : static_cast<std::uint32_t>(model.scale->bias)
                                      << static_cast<unsigned>(model.scale->mantissa_bits);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    bool held = true;
    for (std::int64_t p = 0; p < padded_k; ++p) {
      const std::int64_t at = r * x.cols + p;
      const bool inside = p < x.cols;
      if (model.scale != nullptr && p % model.scale_block == 0)
        out.scales.push_back(inside ? code_of(*model.scale, x.scales[at], held) : one);
      if (!inside)
        out.codes.push_back(0);
      else
        out.codes.push_back(code_of(
            format, model.scale == nullptr ? x.elements[at] * x.scales[at] : x.elements[at], held));
    }
    out.held.push_back(held);
  }
  return out;
}

/// Whether the unit takes operands of this format (nullptr: BF16 numbers).
bool takes(const MmaModel& model, const FormatSpec& input, const formats::BlockFormat* format) {
  if (model.scale == nullptr) return true;  // dequantized; each operand is looked at
  return format != nullptr && format->element == &input && format->scale == model.scale &&
         format->block.rows == 1 && format->block.cols == model.scale_block;
}

simulator::GemmPlan plan_of(const kernels::Claim& claim) {
  simulator::GemmPlan plan;
  plan.name = "claim";
  plan.model = simulator::find_mma_model(claim.mma_model);
  plan.instruction_k = plan.tile_k = plan.model.step;
  plan.promote_every = claim.promotion;
  return plan;
}

}  // namespace

void require_mma_claim(const kernels::Claim& claim) {
  try {
    const simulator::GemmPlan plan = plan_of(claim);
    require_valid(plan);
    const MmaModel& model = plan.model;
    if (!takes(model, *model.a, claim.a) || !takes(model, *model.b, claim.b))
      throw std::invalid_argument(model.name + " multiplies " + std::string(model.a->name) +
                                  " with a scale factor of " + std::string(model.scale->name) +
                                  " per " + std::to_string(model.scale_block) +
                                  " elements, which the claim's formats are not");
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument("the claim of entry '" + name_of(claim) + "': " + e.what());
  }
}

golden::GemmOracle mma_oracle(const kernels::Claim& claim, const FactoredMatrix& a,
                              const FactoredMatrix& b, const golden::GemmEpilogue& epilogue) {
  const simulator::GemmPlan plan = plan_of(claim);
  const MmaModel& model = plan.model;
  const std::int64_t unit =
      model.scale == nullptr ? model.step : std::lcm(model.step, model.scale_block);
  const std::int64_t k = (a.cols + unit - 1) / unit * unit;
  const UnitOperand ua = operand_of(model, *model.a, a, k);
  const UnitOperand ub = operand_of(model, *model.b, b, k);
  simulator::GemmOperands operands{a.rows, b.rows, k, ua.codes, ub.codes};
  operands.scale_a = ua.scales;
  operands.scale_b = ub.scales;
  const std::vector<std::uint32_t> sums = simulator::gemm(plan, operands);
  golden::GemmOracle oracle;
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < b.rows; ++j) {
      const auto at = static_cast<std::size_t>(i * b.rows + j);
      golden::Fp32Epilogue e{epilogue.alpha, a.tensor_scale, b.tensor_scale, epilogue.beta, {}, {}};
      if (epilogue.beta != 0.0F) e.c = epilogue.c[at];
      if (!epilogue.bias.empty()) e.bias = epilogue.bias[static_cast<std::size_t>(j)];
      const Value sum = golden::value_of(std::bit_cast<float>(sums[at]));
      oracle.reference.push_back(golden::to_rational(golden::fp32_epilogue(sum, e)));
      golden::Bound bound;
      bound.judgeable =
          ua.held[static_cast<std::size_t>(i)] && ub.held[static_cast<std::size_t>(j)];
      if (!bound.judgeable) bound.reason = "the unit's input format does not hold an operand";
      oracle.bounds.push_back(std::move(bound));
    }
  return oracle;
}

}  // namespace assay::proptests
