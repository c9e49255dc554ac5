// SPDX-License-Identifier: Apache-2.0
// What several of the wrong kernels share. Nothing here is wrong.
#include <algorithm>
#include <cmath>

#include "kernels/blind4/blind4.h"
#include "kernels/cpu/element.h"

namespace blind4 {

void quantize_blocks(std::span<const float> x, const BlockRule& rule,
                     formats::BlockScaledTensor& q) {
  const std::int64_t width = q.format->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, width);
  q.codes.assign(q.rows * cpu::row_bytes(q.cols), 0);
  q.scales.assign(cpu::scale_count(q.scale_layout, q.rows, blocks), 0);
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b * width;
      const std::int64_t count = std::min(width, q.cols - first);
      std::vector<std::uint8_t> codes(count);
      q.scales[cpu::scale_index(q.scale_layout, r, b, blocks)] =
          rule({r, b, x.subspan(r * q.cols + first, count)}, codes);
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

BlockRule power_of_two(std::uint8_t (*scale)(float amax)) {
  return [scale](const Block& block, std::span<std::uint8_t> codes) {
    if (!all_finite(block.x)) return std::uint8_t{0xFF};
    const std::uint8_t code = scale(largest(block.x));
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = cpu::encode_e2m1(block.x[i] / cpu::decode_e8m0(code));
    return code;
  };
}

Status quantize_by(const Claim& claim, const assay_dut_call& call, const BlockRule& rule) {
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  quantize_blocks(read<float>(call, ASSAY_DUT_X), rule, q);
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

formats::BlockScaledTensor quantized(const std::vector<float>& x, std::int64_t rows,
                                     std::int64_t cols, const formats::BlockFormat* format) {
  formats::BlockScaledTensor q;
  q.format = format;
  q.rows = rows;
  q.cols = cols;
  cpu::quantize(x, q);
  return q;
}

std::vector<float> dequantized(const formats::BlockScaledTensor& q) {
  std::vector<float> x(q.rows * q.cols);
  cpu::dequantize(q, x);
  return x;
}

cpu::Operand operand_b(const Claim& claim, const assay_dut_call& call, std::int64_t group) {
  return cpu::operand(cpu::matrix(abi::inputs(call), ASSAY_DUT_B, claim.b, group));
}

cpu::Product product_of(const assay_dut_call& call, const std::vector<float>& c,
                        const std::vector<float>& bias) {
  return {call.m, call.n, call.k, call.alpha, call.beta, c, bias};
}

Status multiply_to_d(const Claim& claim, const assay_dut_call& call, const cpu::Operand& a) {
  const std::vector<float> c = read<float>(call, ASSAY_DUT_C);
  const std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  std::vector<float> d(call.m * call.n);
  cpu::gemm(a, operand_b(claim, call), product_of(call, c, bias), *claim.output, d);
  cpu::store_numbers(*claim.output, d, *abi::find(abi::outputs(call), ASSAY_DUT_D));
  return Status::ok;
}

std::vector<float> answer(const assay_dut_call& call, std::uint32_t role) {
  return cpu::gather<float>(abi::find(abi::outputs(call), role));
}
void replace(const assay_dut_call& call, std::uint32_t role, const std::vector<float>& numbers) {
  cpu::scatter(numbers, *abi::find(abi::outputs(call), role));
}

}  // namespace blind4
