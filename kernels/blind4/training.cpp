// SPDX-License-Identifier: Apache-2.0
// The QAT step.
#include <algorithm>
#include <cmath>

#include "kernels/blind4/blind4.h"

namespace blind4 {

using assay::kernels::Estimator;

/// The activations are quantized as the weights are, which is another recipe.
Status forward_of_quantized_x(const Claim& claim, const assay_dut_call& call) {
  const std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  Patched patched(call);
  patched.set(ASSAY_DUT_X, ASSAY_DUT_VALUES, dequantized(quantized(x, call.m, call.k, claim.b)));
  return right(claim, patched.call());
}

/// A row of learned scales is taken to be floor(k / block) long: where k is no multiple of the
/// block, every row but the first begins too early.
Status forward_scales_without_tail(const Claim& claim, const assay_dut_call& call) {
  const std::vector<float> given = read<float>(call, ASSAY_DUT_GIVEN);
  const std::int64_t width = claim.b->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(call.k, width);
  std::vector<float> met(given.size());
  for (std::int64_t r = 0; r < call.n && !given.empty(); ++r)
    for (std::int64_t b = 0; b < blocks; ++b) met[r * blocks + b] = given[r * (call.k / width) + b];
  Patched patched(call);
  patched.set(ASSAY_DUT_GIVEN, ASSAY_DUT_VALUES, met);
  return right(claim, patched.call());
}

/// The gain of LSQ is 1 / sqrt(6 block) for the partial block at the end of a row too, which has
/// fewer weights than that.
Status backward_gain_of_whole_blocks(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  if (status != Status::ok || call.estimator != ASSAY_DUT_LSQ) return status;
  const std::int64_t width = claim.b->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(call.k, width);
  const std::int64_t rest = call.k % width;
  std::vector<float> dscale = answer(call, ASSAY_DUT_DSCALE);
  for (std::int64_t r = 0; r < call.n && rest != 0; ++r) {
    float& last = dscale[r * blocks + blocks - 1];
    last = static_cast<float>(last *
                              std::sqrt(static_cast<double>(rest) / static_cast<double>(width)));
  }
  replace(call, ASSAY_DUT_DSCALE, dscale);
  return status;
}

/// The difference in the factor of EWGS is q - u: what should be scaled up is scaled down.
Status backward_ewgs_reversed(const Claim& claim, const assay_dut_call& call) {
  assay_dut_call wrong = call;
  if (call.estimator == ASSAY_DUT_EWGS) wrong.limit = -wrong.limit;
  return right(claim, wrong);
}

/// The trust mask compares the quantization error with T itself, not with T scale factors.
Status backward_trust_unscaled(const Claim& claim, const assay_dut_call& call) {
  if (call.estimator != ASSAY_DUT_TRUST_MASK) return right(claim, call);
  assay_dut_call unmasked = call;
  unmasked.estimator = ASSAY_DUT_IDENTITY;
  const Status status = right(claim, unmasked);
  if (status != Status::ok) return status;
  const std::vector<float> w = read<float>(call, ASSAY_DUT_W);
  const std::vector<float> rounded = dequantized(quantized(w, call.n, call.k, claim.b));
  std::vector<float> dw = answer(call, ASSAY_DUT_DW);
  for (std::size_t i = 0; i < w.size(); ++i)
    if (!(std::fabs(static_cast<double>(w[i]) - rounded[i]) <= call.limit)) dw[i] = 0.0F;
  replace(call, ASSAY_DUT_DW, dw);
  return status;
}

}  // namespace blind4
