// SPDX-License-Identifier: Apache-2.0
// Products with something around them: a quantizer before, a gate behind, groups beside.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/rows.h"

namespace assay::kernels::cpu {
namespace {

using formats::BlockFormat;
using formats::ScaleLayout;

/// A and B; a null A is bf16.
constexpr std::array<std::array<const BlockFormat*, 2>, 4> products{
    {{&formats::nvfp4, &formats::nvfp4},
     {&formats::mxfp4_rceil, &formats::mxfp4_rceil},
     {nullptr, &formats::nvfp4},
     {nullptr, &formats::mxfp4_rceil}}};

/// Products of groups: those, and FP8 activations by MXFP4 weights.
constexpr std::array<std::array<const BlockFormat*, 2>, 5> grouped{
    {products[0],
     products[1],
     products[2],
     products[3],
     {&formats::fp8_deepseek_v4, &formats::mxfp4_rceil}}};

/// The quantizers that a product follows.
constexpr std::array<std::array<const BlockFormat*, 2>, 4> fused{
    {{&formats::nvfp4, &formats::nvfp4},
     {&formats::nvfp4_divide, &formats::nvfp4},
     {&formats::mxfp4_floor, &formats::mxfp4_rceil},
     {&formats::mxfp4_rceil, &formats::mxfp4_rceil}}};

/// A claim for each product, scale layout and output format, and for both values of a choice.
template <class Choose>
std::vector<Claim> claims_of(const char* operation,
                             std::span<const std::array<const BlockFormat*, 2>> pairs,
                             const Choose& choose) {
  std::vector<Claim> claims;
  for (const auto& [a, b] : pairs)
    for (const auto layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4})
      for (const formats::FormatSpec* output : {&formats::fp32, &formats::bf16})
        for (const std::uint32_t choice : {0U, 1U}) {
          Claim claim{operation, a, b};
          claim.scale_layout = layout;
          claim.accumulator = Accumulator::fp32_fixed_order;
          claim.output = output;
          claim.name = name_of(claim);
          if (choose(claim, choice)) claims.push_back(claim);
        }
  return claims;
}

/// Matrix `index` of A, block-scaled or bf16.
Operand operand_a(const Claim& claim, const assay_dut_call& call, std::int64_t index = 0) {
  if (claim.a != nullptr) return operand(matrix(abi::inputs(call), ASSAY_DUT_A, claim.a, index));
  const assay_dut_tensor& t = *abi::find(abi::inputs(call), ASSAY_DUT_A);
  const std::int64_t rows = t.shape[t.ndim - 2];
  Operand a;
  for (const std::uint16_t code : gather<std::uint16_t>(&t, index * rows, rows))
    a.values.push_back(decode_bf16(code));
  return a;
}
Operand operand_b(const Claim& claim, const assay_dut_call& call, std::int64_t index = 0) {
  return operand(matrix(abi::inputs(call), ASSAY_DUT_B, claim.b, index));
}

/// D of `rows` rows of A against the B of a group, to the rows of D from `to_row` on.
void multiply_group(const Claim& claim, const assay_dut_call& call, const Operand& a,
                    std::int64_t first_row, std::int64_t rows, std::int64_t group,
                    std::int64_t to_row) {
  if (rows <= 0) return;
  const auto from = a.values.begin() + first_row * call.k;
  const Operand part{{from, from + rows * call.k}, a.tensor_scale};
  std::vector<float> d(rows * call.n);
  gemm(part, operand_b(claim, call, group), {rows, call.n, call.k, call.alpha}, *claim.output, d);
  store_numbers(*claim.output, d, *abi::find(abi::outputs(call), ASSAY_DUT_D), to_row);
}

}  // namespace

std::vector<Claim> quantize_gemm_claims() {
  return claims_of("quantize_gemm", fused,
                   [](Claim&, std::uint32_t choice) { return choice == 0; });
}

Status quantize_gemm(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor* d = abi::find(abi::outputs(call), ASSAY_DUT_D);
  formats::BlockScaledTensor a;
  a.format = claim.a;
  a.rows = call.m;
  a.cols = call.k;
  a.scale_layout = claim.scale_layout;
  if (!quantize(gather<float>(abi::find(abi::inputs(call), ASSAY_DUT_A)), a))
    return Status::not_supported;
  const std::vector<float> c = gather<float>(abi::find(abi::inputs(call), ASSAY_DUT_C));
  const std::vector<float> bias = gather<float>(abi::find(abi::inputs(call), ASSAY_DUT_BIAS));
  std::vector<float> out(call.m * call.n);
  gemm(operand(a), operand_b(claim, call), {call.m, call.n, call.k, call.alpha, call.beta, c, bias},
       *claim.output, out);
  store_numbers(*claim.output, out, *d);
  if (abi::find(abi::outputs(call), ASSAY_DUT_Q) != nullptr) store_matrix(a, call, ASSAY_DUT_Q);
  return Status::ok;
}

std::vector<Claim> gated_gemm_claims() {
  return claims_of("gated_gemm", products, [](Claim& claim, std::uint32_t choice) {
    claim.gate_layout = choice;
    claim.name += choice == ASSAY_DUT_CONCATENATED ? ".concatenated" : ".interleaved";
    return true;
  });
}

Status gated_gemm_with(const Claim& claim, const assay_dut_call& call,
                       float (*epilogue)(float gate, float up, float limit)) {
  std::vector<float> sums(call.m * 2 * call.n);
  gemm(operand_a(claim, call), operand_b(claim, call), {call.m, 2 * call.n, call.k}, formats::fp32,
       sums);
  const bool concatenated = claim.gate_layout == ASSAY_DUT_CONCATENATED;
  std::vector<float> out(call.m * call.n);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      const float gate = sums[i * 2 * call.n + (concatenated ? j : 2 * j)];
      const float up = sums[i * 2 * call.n + (concatenated ? call.n + j : 2 * j + 1)];
      const float h = epilogue(gate, up, call.limit);
      out[i * call.n + j] = claim.output == &formats::bf16 ? round_to_bf16(h) : h;
    }
  store_numbers(*claim.output, out, *abi::find(abi::outputs(call), ASSAY_DUT_D));
  return Status::ok;
}

Status gated_gemm(const Claim& claim, const assay_dut_call& call) {
  return gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    if (limit != 0.0F) {  // comparisons, which a NaN passes through
      if (gate > limit) gate = limit;
      if (up > limit) up = limit;
      if (up < -limit) up = -limit;
    }
    return gate / (1.0F + std::exp(-gate)) * up;
  });
}

std::vector<Claim> grouped_gemm_claims() {
  return claims_of("grouped_gemm", grouped, [](Claim& claim, std::uint32_t choice) {
    // The 128x4 layout is one of blocks of 16 and 32; FP8's of 128 come row by row.
    if (claim.a == &formats::fp8_deepseek_v4 && claim.scale_layout != ScaleLayout::row_major)
      return false;
    claim.group_layout = choice;
    claim.name += choice == ASSAY_DUT_CONTIGUOUS ? ".contiguous" : ".masked";
    return true;
  });
}

Status grouped_gemm(const Claim& claim, const assay_dut_call& call) {
  if (claim.group_layout == ASSAY_DUT_MASKED) {
    const auto counts =
        abi::data_of<const std::int64_t>(abi::find(abi::inputs(call), ASSAY_DUT_COUNTS));
    for (std::int64_t g = 0; g < call.groups; ++g)
      multiply_group(claim, call, operand_a(claim, call, g), 0, counts[g], g, g * call.m);
    return Status::ok;
  }
  const auto offsets =
      abi::data_of<const std::int64_t>(abi::find(abi::inputs(call), ASSAY_DUT_OFFSETS));
  const Operand a = operand_a(claim, call);
  for (std::int64_t g = 0; g < call.groups; ++g)
    multiply_group(claim, call, a, offsets[g], offsets[g + 1] - offsets[g], g, offsets[g]);
  return Status::ok;
}

}  // namespace assay::kernels::cpu
