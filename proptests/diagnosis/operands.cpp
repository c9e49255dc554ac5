// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "proptests/diagnosis/hypothesis.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

std::vector<std::uint8_t> copied(std::span<const std::uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::span<const std::uint8_t> input_bytes(const Call& call, std::uint32_t role,
                                          std::uint32_t part) {
  for (const Operand& o : call.in)
    if (o.shape.role == role && o.shape.part == part) return o.bytes;
  return {};
}

std::vector<float> input_floats(const Call& call, std::uint32_t role) {
  return to_floats(input_bytes(call, role));
}

formats::BlockScaledTensor input_tensor(const Call& call, std::uint32_t role,
                                        const formats::BlockFormat& format, std::int64_t rows,
                                        std::int64_t cols) {
  formats::BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.scale_layout = call.claim.scale_layout;
  t.codes = copied(input_bytes(call, role, ASSAY_DUT_VALUES));
  t.scales = copied(input_bytes(call, role, ASSAY_DUT_SCALES));
  if (const auto g = input_bytes(call, role, ASSAY_DUT_TENSOR_SCALE); !g.empty())
    t.tensor_scale = to_floats(g)[0];
  return t;
}

std::span<const std::uint8_t> output_bytes(const Case& c, std::uint32_t role, std::uint32_t part) {
  for (std::size_t i = 0; i < c.call.out.size() && i < c.answer->outputs.size(); ++i)
    if (c.call.out[i].shape.role == role && c.call.out[i].shape.part == part)
      return c.answer->outputs[i];
  return {};
}

const std::vector<Hypothesis>& hypotheses() {
  static const std::vector<Hypothesis> all = [] {
    std::vector<Hypothesis> rows;
    for (auto* part : {quantize_hypotheses, dequantize_hypotheses, gemm_hypotheses, qat_hypotheses,
                       number_hypotheses, stochastic_hypotheses, fused_hypotheses, gated_hypotheses,
                       grouped_hypotheses})
      for (Hypothesis& row : part()) rows.push_back(std::move(row));
    return rows;
  }();
  return all;
}

}  // namespace assay::proptests::diagnosis
