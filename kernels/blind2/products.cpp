// SPDX-License-Identifier: Apache-2.0
// Products, plain ones and those with something around them.
#include <algorithm>
#include <cmath>

#include "kernels/blind2/blind2.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/operations.h"

namespace blind2 {
namespace {

/// FP32 D from sums.
void finish(const assay_dut_call& call, const std::vector<float>& sums, float tensor_scales) {
  const std::vector<float> c = read<float>(call, ASSAY_DUT_C);
  const std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  std::vector<float> d(sums.size());
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      float x = sums[i * call.n + j] * tensor_scales;
      if (call.beta != 0) x += call.beta * c[i * call.n + j];
      if (!bias.empty()) x += bias[j];
      d[i * call.n + j] = x;
    }
  cpu::scatter(d, *abi::find(abi::outputs(call), ASSAY_DUT_D));
}

cpu::Operand block_scaled(const assay_dut_call& call, std::uint32_t role,
                          const formats::BlockFormat* format) {
  return cpu::operand(cpu::matrix(abi::inputs(call), role, format));
}

}  // namespace

/// Four parts of k, added in the order in which they happen to end.
Status parts_of_k_in_any_order(const Claim& claim, const assay_dut_call& call) {
  constexpr std::int64_t parts = 4;
  static std::int64_t first_to_end = 0;
  ++first_to_end;
  const cpu::Operand a = block_scaled(call, ASSAY_DUT_A, claim.a);
  const cpu::Operand b = block_scaled(call, ASSAY_DUT_B, claim.b);
  std::vector<float> sums(call.m * call.n);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j)
      for (std::int64_t p = 0; p < parts; ++p) {
        const std::int64_t part = (p + first_to_end) % parts;
        float sum = 0;
        for (std::int64_t l = call.k * part / parts; l < call.k * (part + 1) / parts; ++l)
          sum += a.values[i * call.k + l] * b.values[j * call.k + l];
        sums[i * call.n + j] += sum;
      }
  finish(call, sums, call.alpha * a.tensor_scale * b.tensor_scale);
  return Status::ok;
}

/// Two bf16 at a time: for odd n the last store of a row reaches one element beyond it. Where rows
/// are dense the next row is stored later, and nothing behind the tensor's end is touched.
Status store_of_pairs(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const assay_dut_tensor& d = *abi::find(abi::outputs(call), ASSAY_DUT_D);
  if (call.n % 2 == 0 || d.strides[0] <= call.n) return status;
  for (std::int64_t i = 0; i + 1 < call.m; ++i) {
    auto* row = static_cast<std::uint16_t*>(d.data) + i * d.strides[0];
    row[call.n] = 0;
  }
  return status;
}

/// A weight of zero adds nothing, whatever it meets: NaN and infinities of A disappear.
Status zero_weights_skipped(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> a;
  for (const std::uint16_t code : read<std::uint16_t>(call, ASSAY_DUT_A))
    a.push_back(cpu::decode_bf16(code));
  const cpu::Operand b = block_scaled(call, ASSAY_DUT_B, claim.b);
  std::vector<float> sums(call.m * call.n);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j)
      for (std::int64_t l = 0; l < call.k; ++l) {
        const float weight = b.values[j * call.k + l];
        if (weight != 0) sums[i * call.n + j] += a[i * call.k + l] * weight;
      }
  finish(call, sums, call.alpha * b.tensor_scale);
  return Status::ok;
}

/// A is loaded as bf16 before it is quantized.
Status input_through_bf16(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> a = read<float>(call, ASSAY_DUT_A);
  std::transform(a.begin(), a.end(), a.begin(), cpu::round_to_bf16);
  Patched patched(call);
  patched.set(ASSAY_DUT_A, ASSAY_DUT_VALUES, a);
  return right(claim, patched.call());
}

/// The kernel for a single row multiplies A itself; the codes that it shows are right.
Status one_row_unquantized(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  if (call.m != 1) return status;
  const cpu::Operand b = block_scaled(call, ASSAY_DUT_B, claim.b);
  finish(call, cpu::multiply(read<float>(call, ASSAY_DUT_A), b.values, call.m, call.n, call.k),
         call.alpha * b.tensor_scale);
  return status;
}

Status up_not_clamped_below(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    if (limit != 0 && gate > limit) gate = limit;
    if (limit != 0 && up > limit) up = limit;
    return gate / (1 + std::exp(-gate)) * up;
  });
}

/// The two forms of the sigmoid are on the wrong sides of zero: exp(gate) overflows above 88.7.
Status sigmoid_overflows(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    if (limit != 0) {
      if (gate > limit) gate = limit;
      if (up > limit) up = limit;
      if (up < -limit) up = -limit;
    }
    if (gate < 0) return gate / (1 + std::exp(-gate)) * up;
    const float e = std::exp(gate);
    return gate * (e / (1 + e)) * up;
  });
}

/// The tensor scale of B is that of the n-th group with rows, counted without the empty ones.
Status factor_of_nth_busy_group(const Claim& claim, const assay_dut_call& call) {
  const auto offsets = read<std::int64_t>(call, ASSAY_DUT_OFFSETS);
  const auto factors = read<float>(call, ASSAY_DUT_B, ASSAY_DUT_TENSOR_SCALE);
  std::vector<float> seen = factors;
  std::size_t busy = 0;
  for (std::size_t g = 0; g < factors.size(); ++g)
    if (offsets[g + 1] > offsets[g]) seen[g] = factors[busy++];
  Patched patched(call);
  patched.set(ASSAY_DUT_B, ASSAY_DUT_TENSOR_SCALE, seen);
  return right(claim, patched.call());
}

/// Rows are computed and written in tiles of 4, beyond a group's count as well.
Status whole_tiles_of_masked_rows(const Claim& claim, const assay_dut_call& call) {
  auto counts = read<std::int64_t>(call, ASSAY_DUT_COUNTS);
  for (std::int64_t& count : counts) count = std::min(call.m, (count + 3) / 4 * 4);
  Patched patched(call);
  patched.set(ASSAY_DUT_COUNTS, ASSAY_DUT_VALUES, counts);
  return right(claim, patched.call());
}

/// Groups start where the sizes of those before them add up to, from row 0 on.
Status first_offset_taken_as_zero(const Claim& claim, const assay_dut_call& call) {
  auto offsets = read<std::int64_t>(call, ASSAY_DUT_OFFSETS);
  const std::int64_t first = offsets[0];
  for (std::int64_t& offset : offsets) offset -= first;
  Patched patched(call);
  patched.set(ASSAY_DUT_OFFSETS, ASSAY_DUT_VALUES, offsets);
  return right(claim, patched.call());
}

}  // namespace blind2
