// SPDX-License-Identifier: Apache-2.0
// The QAT step.
#include <algorithm>
#include <cmath>

#include "kernels/blind3/blind3.h"

namespace blind3 {
namespace {

using assay::kernels::Estimator;

/// An output of a call that has been answered.
std::vector<float> answer(const assay_dut_call& call, std::uint32_t role) {
  return cpu::gather<float>(abi::find(abi::outputs(call), role));
}
void replace(const assay_dut_call& call, std::uint32_t role, const std::vector<float>& numbers) {
  cpu::scatter(numbers, *abi::find(abi::outputs(call), role));
}

}  // namespace

/// Learned scales are clamped from below by 1e-5, "so that no division is by zero": negative ones
/// and zeros, and smaller ones, become that.
Status forward_of_clamped_scales(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> scales = read<float>(call, ASSAY_DUT_GIVEN);
  for (float& s : scales) s = std::max(s, 1e-5F);
  Patched patched(call);
  patched.set(ASSAY_DUT_GIVEN, ASSAY_DUT_VALUES, scales);
  return right(claim, patched.call());
}

/// Every clipped weight adds +6 G to the gradient of its scale, those that are clipped at -6 too.
Status backward_unsigned_clip(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const auto estimator = static_cast<Estimator>(call.estimator);
  if (status != Status::ok || !has_scale_gradient(estimator)) return status;
  const std::vector<float> w = read<float>(call, ASSAY_DUT_W);
  const std::vector<float> scales = read<float>(call, ASSAY_DUT_GIVEN);
  const std::vector<float> g = cpu::multiply(
      cpu::transposed(read<float>(call, ASSAY_DUT_DY), call.m, call.n),
      cpu::transposed(read<float>(call, ASSAY_DUT_X), call.m, call.k), call.n, call.k, call.m);
  std::vector<float> dscale = answer(call, ASSAY_DUT_DSCALE);
  const std::int64_t width = claim.b->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(call.k, width);
  for (std::int64_t i = 0; i < call.n * blocks; ++i) {
    const std::int64_t first = i / blocks * call.k + i % blocks * width;
    const std::int64_t count = std::min(width, call.k - i % blocks * width);
    double below = 0.0;  // the gradients of weights that are clipped at -6
    for (std::int64_t at = first; at < first + count; ++at) {
      const double edge = 6.0 * std::fabs(static_cast<double>(scales[i]));
      const double magnitude = std::fabs(static_cast<double>(w[at]));
      const bool clipped = estimator == Estimator::lsq ? magnitude > edge : magnitude >= edge;
      if (clipped && w[at] != 0.0F && std::signbit(w[at]) != std::signbit(scales[i]))
        below += g[at];
    }
    const double gain = estimator == Estimator::lsq ? 1.0 / std::sqrt(6.0 * count) : 1.0;
    if (below != 0.0) dscale[i] = static_cast<float>(dscale[i] + gain * 12.0 * below);
  }
  replace(call, ASSAY_DUT_DSCALE, dscale);
  return Status::ok;
}

/// The gradient of the input goes through the master weights, not through the quantized ones that
/// the forward pass multiplied by.
Status backward_through_master(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  if (status != Status::ok) return status;
  replace(call, ASSAY_DUT_DX,
          cpu::multiply(read<float>(call, ASSAY_DUT_DY),
                        cpu::transposed(read<float>(call, ASSAY_DUT_W), call.n, call.k), call.m,
                        call.k, call.n));
  return Status::ok;
}

/// The clip mask asks whether the code is below the largest one, and not whether the weight lies
/// within the range: weights that are rounded to +-6 without being clipped get no gradient.
Status backward_mask_of_codes(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const auto estimator = static_cast<Estimator>(call.estimator);
  if (status != Status::ok || estimator == Estimator::identity ||
      estimator == Estimator::trust_mask)
    return status;
  formats::BlockScaledTensor q;
  q.format = claim.b;
  q.rows = call.n;
  q.cols = call.k;
  if (!cpu::quantize(read<float>(call, ASSAY_DUT_W), q)) return Status::not_supported;
  const std::vector<float> elements = cpu::decode_elements(q);
  std::vector<float> dw = answer(call, ASSAY_DUT_DW);
  for (std::size_t i = 0; i < dw.size(); ++i)
    if (std::fabs(elements[i]) >= 6.0F) dw[i] = 0.0F;
  replace(call, ASSAY_DUT_DW, dw);
  return Status::ok;
}

}  // namespace blind3
