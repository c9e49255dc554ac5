// SPDX-License-Identifier: Apache-2.0
// Products, and what is around them.
#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/blind4/blind4.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/operations.h"

namespace blind4 {

/// alpha multiplies the sum of A B' and beta C, in the last step before the bias.
Status gemm_alpha_times_c(const Claim& claim, const assay_dut_call& call) {
  assay_dut_call wrong = call;
  wrong.beta *= wrong.alpha;
  return right(claim, wrong);
}

/// Accumulators go to shared memory and back between tiles of 64 along k, in BF16.
Status gemm_accumulating_in_bf16(const Claim& claim, const assay_dut_call& call) {
  constexpr std::int64_t tile = 64;
  const cpu::Operand a = cpu::operand(cpu::matrix(abi::inputs(call), ASSAY_DUT_A, claim.a));
  const cpu::Operand b = operand_b(claim, call);
  const std::vector<float> c = read<float>(call, ASSAY_DUT_C);
  const std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  std::vector<float> d(call.m * call.n);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      float sum = 0.0F;
      for (std::int64_t l = 0; l < call.k; ++l) {
        if (l > 0 && l % tile == 0) sum = cpu::round_to_bf16(sum);
        sum += a.values[i * call.k + l] * b.values[j * call.k + l];
      }
      float& x = d[i * call.n + j];
      x = sum * call.alpha;
      if (call.beta != 0.0F) x += call.beta * c[i * call.n + j];
      if (!bias.empty()) x += bias[j];
    }
  cpu::store_numbers(*claim.output, d, *abi::find(abi::outputs(call), ASSAY_DUT_D));
  return Status::ok;
}

/// The rows of C are taken to follow each other without a gap, whatever its row stride is.
Status gemm_of_dense_c(const Claim& claim, const assay_dut_call& call) {
  const auto memory = abi::data_of<const float>(abi::find(abi::inputs(call), ASSAY_DUT_C));
  if (call.beta == 0.0F || memory.empty()) return right(claim, call);
  std::vector<float> c(memory.begin(), memory.begin() + call.m * call.n);
  Patched patched(call);
  patched.set(ASSAY_DUT_C, ASSAY_DUT_VALUES, c);
  return right(claim, patched.call());
}

/// The bias is loaded as vectors of four numbers, and there is no loop for the rest of them: the
/// last n mod 4 columns have none.
Status gemm_bias_in_fours(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  for (std::size_t j = bias.size() / 4 * 4; j < bias.size(); ++j) bias[j] = 0.0F;
  Patched patched(call);
  patched.set(ASSAY_DUT_BIAS, ASSAY_DUT_VALUES, bias);
  return right(claim, patched.call());
}

/// A is quantized for Q alone; what is multiplied is the FP32 tile that is still at hand.
Status quantize_gemm_of_unquantized(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  if (status != Status::ok) return status;
  return multiply_to_d(claim, call, {read<float>(call, ASSAY_DUT_A)});
}

/// amax is rounded to the two significant bits of an element, half up, before its exponent is taken
/// (the rule EVEN, not FLOOR): from 1.75 2^k on the scale factor is twice as large.
Status quantize_gemm_by_even_rule(const Claim& claim, const assay_dut_call& call) {
  formats::BlockScaledTensor a;
  a.format = claim.a;
  a.rows = call.m;
  a.cols = call.k;
  a.scale_layout = claim.scale_layout;
  quantize_blocks(read<float>(call, ASSAY_DUT_A), power_of_two([](float amax) {
                    const std::uint32_t bits = std::bit_cast<std::uint32_t>(amax) + 0x200000U;
                    return cpu::scale_floor(std::bit_cast<float>(bits));
                  }),
                  a);
  if (abi::find(abi::outputs(call), ASSAY_DUT_Q) != nullptr)
    cpu::store_matrix(a, call, ASSAY_DUT_Q);
  return multiply_to_d(claim, call, cpu::operand(a));
}

/// silu(g) is clamped at the limit, and not g.
Status gated_limit_behind_silu(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    float silu = gate / (1.0F + std::exp(-gate));
    if (limit != 0.0F) {
      if (silu > limit) silu = limit;
      if (up > limit) up = limit;
      if (up < -limit) up = -limit;
    }
    return silu * up;
  });
}

/// The activation is a kernel behind the product, which has stored gates and ups as BF16.
Status gated_of_rounded_sums(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    gate = cpu::round_to_bf16(gate);
    up = cpu::round_to_bf16(up);
    if (limit != 0.0F) {
      if (gate > limit) gate = limit;
      if (up > limit) up = limit;
      if (up < -limit) up = -limit;
    }
    return gate / (1.0F + std::exp(-gate)) * up;
  });
}

/// The group is looked up once for every 16 rows of A, by the first of them: where a group begins
/// inside such a tile, its rows there are multiplied by the B of an earlier group.
Status grouped_by_tile(const Claim& claim, const assay_dut_call& call) {
  constexpr std::int64_t tile = 16;
  const std::vector<std::int64_t> offsets = read<std::int64_t>(call, ASSAY_DUT_OFFSETS);
  // The last group that begins at or before the row; empty ones are never the last.
  const auto group_of = [&](std::int64_t row) {
    return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1;
  };
  const cpu::Operand a = cpu::operand(cpu::matrix(abi::inputs(call), ASSAY_DUT_A, claim.a));
  std::vector<cpu::Operand> b;
  for (std::int64_t g = 0; g < call.groups; ++g) b.push_back(operand_b(claim, call, g));
  for (std::int64_t row = offsets.front(); row < offsets.back(); ++row) {
    const std::int64_t first = std::max(row / tile * tile, offsets.front());
    const auto from = a.values.begin() + row * call.k;
    std::vector<float> d(call.n);
    cpu::gemm({{from, from + call.k}, a.tensor_scale}, b[group_of(first)],
              {1, call.n, call.k, call.alpha}, *claim.output, d);
    cpu::store_numbers(*claim.output, d, *abi::find(abi::outputs(call), ASSAY_DUT_D), row);
  }
  return Status::ok;
}

/// The tensor scale of B is one argument of the launch: the first group's, for all.
Status grouped_by_first_scale(const Claim& claim, const assay_dut_call& call) {
  const auto scales =
      abi::data_of<const float>(abi::find(abi::inputs(call), ASSAY_DUT_B, ASSAY_DUT_TENSOR_SCALE));
  if (scales.empty()) return right(claim, call);
  Patched patched(call);
  patched.set(ASSAY_DUT_B, ASSAY_DUT_TENSOR_SCALE, std::vector<float>(scales.size(), scales[0]));
  return right(claim, patched.call());
}

}  // namespace blind4
