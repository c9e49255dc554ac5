// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/left_operand.h"

#include <array>
#include <bit>

#include "golden/codec.h"
#include "golden/layout.h"
#include "proptests/judge.h"
#include "simulator/mma/model.h"

namespace assay::proptests {
namespace {

std::vector<float> widened(const std::vector<std::uint16_t>& codes) {
  std::vector<float> out;
  out.reserve(codes.size());
  for (const std::uint16_t code : codes)
    out.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U));
  return out;
}

std::uint16_t bf16_element(Draw& draw, Codes codes, Scales scales, bool hot) {
  // Small integers and halves keep every sum exact; otherwise a few binades.
  constexpr std::array<std::uint16_t, 10> simple{0x0000, 0x3F00, 0x3F80, 0x4000, 0x4040,
                                                 0x8000, 0xBF00, 0xBF80, 0xC000, 0x40E0};
  if (codes == Codes::one_hot) return hot ? 0x3F80 : 0x0000;
  const std::uint16_t code = scales == Scales::one ? draw.of(simple) : draw.bf16(-6, 6);
  return codes == Codes::positive ? code & 0x7FFFU : code;
}

/// golden has no tensors without rows; a group may have none.
formats::BlockScaledTensor no_rows(const formats::BlockFormat& format, std::int64_t cols,
                                   formats::ScaleLayout layout) {
  formats::BlockScaledTensor t;
  t.format = &format;
  t.cols = cols;
  t.scale_layout = layout;
  return t;
}

}  // namespace

LeftOperand draw_left(Draw& draw, const kernels::Claim& claim, std::int64_t rows, std::int64_t cols,
                      Codes codes, Scales scales) {
  LeftOperand a{rows, cols, {}, {}};
  if (claim.a != nullptr && rows == 0) {
    a.scaled = no_rows(*claim.a, cols, claim.scale_layout);
    return a;
  }
  if (claim.a != nullptr) {
    a.scaled = draw_tensor(draw, *claim.a, rows, cols, claim.scale_layout, codes, scales);
    return a;
  }
  a.bf16.resize(rows * cols);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t hot = draw.between(0, cols - 1);
    for (std::int64_t c = 0; c < cols; ++c)
      a.bf16[r * cols + c] = bf16_element(draw, codes, scales, c == hot);
  }
  return a;
}

LeftOperand crop(const LeftOperand& a, const Crop& c) {
  LeftOperand out{c.rows, c.cols, {}, {}};
  if (a.is_scaled() && c.rows == 0)
    out.scaled = no_rows(*a.scaled.format, c.cols, a.scaled.scale_layout);
  else if (a.is_scaled())
    out.scaled = crop(a.scaled, c);
  else
    out.bf16 = crop(a.bf16, a.cols, c);
  return out;
}

void spoil(Draw& draw, LeftOperand& a, std::int64_t row) {
  if (a.is_scaled()) {
    const golden::BlockGrid grid = golden::block_grid(*a.scaled.format, a.rows, a.cols);
    golden::store_scale(a.scaled, row / grid.block_rows, draw.between(0, grid.across - 1),
                        golden::canonical_nan(*a.scaled.format->scale));
  } else {
    a.bf16[row * a.cols + draw.between(0, a.cols - 1)] =
        draw.of<std::uint16_t>({0x7F80, 0xFF80, 0x7FC0, 0xFFC1});
  }
}

void add_input(Call& call, const LeftOperand& a) {
  if (a.is_scaled())
    add_input(call, ASSAY_DUT_A, a.scaled);
  else
    call.in.push_back(operand(ASSAY_DUT_A, ASSAY_DUT_VALUES, formats::bf16, {a.rows, a.cols},
                              bytes_of(std::span(a.bf16))));
}

golden::FactoredMatrix factor(const LeftOperand& a) {
  return a.is_scaled() ? golden::factor(a.scaled)
                       : golden::factor(formats::bf16, a.bf16, a.rows, a.cols);
}

std::string show_operand(const LeftOperand& a) {
  return a.is_scaled() ? show_tensor(a.scaled) : "bf16 " + show_matrix(widened(a.bf16), a.cols);
}

std::vector<LeftEdit> left_edits(const LeftOperand& a) {
  std::vector<LeftEdit> edits;
  if (a.is_scaled())
    for (const TensorEdit& e : tensor_edits(a.scaled, false)) edits.push_back({{e}, {}});
  else
    for (const Replacement& e : simpler_values(widened(a.bf16))) edits.push_back({{}, {e}});
  return edits;
}

void perform(const LeftEdit& edit, LeftOperand& a) {
  for (const TensorEdit& e : edit.scaled) perform(e, a.scaled);
  for (const Replacement& e : edit.replacement) {
    std::vector<float> values = widened(a.bf16);
    perform(e, values);
    for (std::size_t i = 0; i < values.size(); ++i)
      a.bf16[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16U);
  }
}

golden::AccumulatorModel accumulator_of(const kernels::Claim& claim) {
  golden::AccumulatorModel model;
  model.kind = static_cast<golden::AccumulatorClass>(claim.accumulator);
  model.unit.fraction_bits = claim.fraction_bits;
  model.unit.promotion = claim.promotion;
  // FP8 units have no FP4: such a kernel re-encodes its weights (golden/fp8_weights.h).
  const bool fp8_by_mxfp4 = claim.a != nullptr && claim.b != nullptr &&
                            claim.a->element == &formats::e4m3 &&
                            claim.b->element == &formats::e2m1 && claim.b->scale == &formats::e8m0;
  if (fp8_by_mxfp4 && claim.promotion > 0 && claim.a->block.cols % claim.promotion == 0 &&
      128 % claim.promotion == 0)
    model.stage = golden::ScaleStage::reencoded_weights;
  if (claim.mma_model.empty()) return model;
  const simulator::MmaModel& unit = simulator::find_mma_model(claim.mma_model);
  const bool truncates = unit.arithmetic == simulator::Arithmetic::fused;
  model.kind =
      truncates ? golden::AccumulatorClass::truncating : golden::AccumulatorClass::fp32_any_order;
  model.unit.fraction_bits = unit.fraction_bits;
  return model;
}

}  // namespace assay::proptests
