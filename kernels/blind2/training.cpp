// SPDX-License-Identifier: Apache-2.0
// The QAT step.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/blind2/blind2.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"

namespace blind2 {

Status bias_through_bf16(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  std::transform(bias.begin(), bias.end(), bias.begin(), cpu::round_to_bf16);
  Patched patched(call);
  patched.set(ASSAY_DUT_BIAS, ASSAY_DUT_VALUES, bias);
  return right(claim, patched.call());
}

/// LSQ's gain 1 / sqrt(6 N) takes a partial block for a full one.
Status lsq_gain_of_full_block(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const std::int64_t block = claim.b->block.cols;
  const std::int64_t rest = call.k % block;
  if (call.estimator != ASSAY_DUT_LSQ || rest == 0) return status;
  const assay_dut_tensor& to = *abi::find(abi::outputs(call), ASSAY_DUT_DSCALE);
  std::vector<float> dscale = cpu::gather<float>(&to);
  const std::int64_t blocks = cpu::blocks_per_row(call.k, block);
  for (std::int64_t r = 0; r < call.n; ++r)
    dscale[(r + 1) * blocks - 1] *=
        static_cast<float>(std::sqrt(static_cast<double>(rest) / static_cast<double>(block)));
  cpu::scatter(dscale, to);
  return status;
}

/// PACT's gradient of the scale has +6 for weights beyond either end of the range.
Status pact_sign_lost(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  if (call.estimator != ASSAY_DUT_PACT) return status;
  const std::vector<float> w = read<float>(call, ASSAY_DUT_W);
  const std::vector<float> scales = read<float>(call, ASSAY_DUT_GIVEN);
  const std::vector<float> g = cpu::multiply(
      cpu::transposed(read<float>(call, ASSAY_DUT_DY), call.m, call.n),
      cpu::transposed(read<float>(call, ASSAY_DUT_X), call.m, call.k), call.n, call.k, call.m);
  const assay_dut_tensor& to = *abi::find(abi::outputs(call), ASSAY_DUT_DSCALE);
  std::vector<float> dscale = cpu::gather<float>(&to);
  const std::int64_t block = claim.b->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(call.k, block);
  for (std::int64_t r = 0; r < call.n; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      float& out = dscale[r * blocks + b];
      if (std::isnan(out)) continue;
      double sum = 0;
      for (std::int64_t l = b * block; l < std::min(call.k, (b + 1) * block); ++l) {
        const double weight = w[r * call.k + l];
        const double limit = 6.0 * std::fabs(static_cast<double>(scales[r * blocks + b]));
        if (weight != 0 && std::fabs(weight) >= limit) sum += 6.0 * g[r * call.k + l];
      }
      out = static_cast<float>(sum);
    }
  cpu::scatter(dscale, to);
  return status;
}

/// DGE's slope is not limited to 3: it is infinite in the middle of a bin.
Status dge_without_cap(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  if (call.estimator != ASSAY_DUT_DGE) return status;
  constexpr std::array edges{0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const std::vector<float> w = read<float>(call, ASSAY_DUT_W);
  const std::vector<float> scales = read<float>(call, ASSAY_DUT_GIVEN);
  const assay_dut_tensor& to = *abi::find(abi::outputs(call), ASSAY_DUT_DW);
  std::vector<float> dw = cpu::gather<float>(&to);
  const std::int64_t block = claim.b->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(call.k, block);
  for (std::int64_t i = 0; i < call.n * call.k; ++i) {
    if (w[i] == 0 || dw[i] == 0) continue;  // at the lower end of a bin; masked
    const float u = std::fabs(w[i] / scales[i / call.k * blocks + i % call.k / block]);
    std::size_t bin = 0;
    while (bin + 2 < edges.size() && u > edges[bin + 1]) ++bin;
    const float z = std::fabs(2 * (u - edges[bin]) / (edges[bin + 1] - edges[bin]) - 1);
    const float slope = 0.2F * std::pow(z, -0.8F);
    if (slope > 3) dw[i] *= slope / 3;  // 3 is what the right kernel made of it
  }
  cpu::scatter(dw, to);
  return status;
}

}  // namespace blind2
