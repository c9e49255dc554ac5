// SPDX-License-Identifier: Apache-2.0
// Loops that several of the wrong kernels share. Nothing here is wrong.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/blind3/blind3.h"
#include "kernels/cpu/element.h"

namespace blind3 {

void quantize_blocks(const std::vector<float>& x, const BlockRule& rule,
                     formats::BlockScaledTensor& q) {
  const std::int64_t width = q.format->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, width);
  q.codes.assign(q.rows * cpu::row_bytes(q.cols), 0);
  q.scales.assign(cpu::scale_count(q.scale_layout, q.rows, blocks), 0);
  std::vector<std::uint8_t> codes(width);
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b * width;
      const std::int64_t count = std::min(width, q.cols - first);
      std::fill(codes.begin(), codes.end(), 0);
      q.scales[cpu::scale_index(q.scale_layout, r, b, blocks)] =
          rule(r, b, std::span(x).subspan(r * q.cols + first, count), codes);
      std::uint8_t* to = &q.codes[r * cpu::row_bytes(q.cols) + first / 2];
      for (std::int64_t i = 0; i < count; ++i)
        to[i / 2] = static_cast<std::uint8_t>(to[i / 2] | codes[i] << (i % 2 * 4));
    }
}

float largest(std::span<const float> x) {
  float amax = 0.0F;
  for (const float value : x)
    if (std::isfinite(value)) amax = std::max(amax, std::fabs(value));
  return amax;
}

bool all_finite(std::span<const float> x) {
  return std::all_of(x.begin(), x.end(), [](float value) { return std::isfinite(value); });
}

std::uint8_t divide_by(std::uint8_t scale, std::span<const float> x,
                       std::span<std::uint8_t> codes) {
  for (std::size_t i = 0; i < x.size(); ++i)
    codes[i] = cpu::encode_e2m1(x[i] / cpu::decode_e8m0(scale));
  return scale;
}

cpu::Operand operand_a(const Claim& claim, const assay_dut_call& call) {
  if (claim.a != nullptr) return cpu::operand(cpu::matrix(abi::inputs(call), ASSAY_DUT_A, claim.a));
  cpu::Operand a;
  for (const std::uint16_t code : read<std::uint16_t>(call, ASSAY_DUT_A))
    a.values.push_back(cpu::decode_bf16(code));
  return a;
}

cpu::Operand operand_b(const Claim& claim, const assay_dut_call& call) {
  return cpu::operand(cpu::matrix(abi::inputs(call), ASSAY_DUT_B, claim.b));
}

void store_d(const Claim& claim, const assay_dut_call& call, const std::vector<float>& d) {
  cpu::store_numbers(*claim.output, d, *abi::find(abi::outputs(call), ASSAY_DUT_D));
}

}  // namespace blind3
