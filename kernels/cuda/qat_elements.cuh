// SPDX-License-Identifier: Apache-2.0
#pragma once
// One weight of a QAT step's backward pass, under each estimator of golden/estimator.h. Host code
// too: the CPU kernel (kernels/cpu/qat.cpp) evaluates the same formulas in the same precisions, so
// that both give the same bits, and a test holds that without a GPU.

#include <cmath>

#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/device_under_test.h"

namespace assay::kernels::cuda {

/// z^(-4/5) for 1/32 <= z <= 1, within 12 2^-24, by IEEE operations alone: the library powers of
/// host and device differ in their last bits.
///
/// t = z^(-1/5) solves t^-5 = z; Newton's step is t + t (1 - z t^5) / 5. The first guess divides
/// the exponent by -5 in the bits of an FP32 number, as if logarithms were linear between powers of
/// two; its constant is 6/5 of the bits of 1, lowered by 0.06 * 2^23 where the largest error is
/// least, 3.2 % (by enumeration in kernels_cuda_qat_host_test). A step turns a relative error e
/// into 3 e^2: 3.1e-3, 2.9e-5, 2.5e-9. Roundings, u = 2^-24: z t^5 has 5 u, of which a fifth
/// reaches t; the step rounds once more, so t has 2 u and t^4 four times that and 3 u of its own
/// products. (golden/estimator_bounds.cpp allows 32 u.)
ASSAY_HOST_DEVICE inline float minus_four_fifths(float z) {
  const std::uint32_t guess = 0x4C2BA59BU - bits_of(z) / 5U;
  float t = float_of(guess);
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < 3; ++i) {
    const float t2 = t * t;
    const float rest = 1.0F - z * (t2 * t2 * t);
    t = t + t * (rest * 0.2F);
  }
  const float t2 = t * t;
  return t2 * t2;
}

/// min(3, (1/5) |2t/d - 1|^(-4/5)) in the bin of |u| <= 6: t from its lower edge, d its width, half
/// the binade. At the edges it is 1/5 from both sides. The cap begins at (1/15)^(5/4) = 0.0339.
ASSAY_HOST_DEVICE inline float dge_slope(float u) {
  const float a = fabsf(u);
  const float binade = e2m1_binade(a);
  const float inverse = float_of(0x7F800000U - bits_of(binade));  // 2 / binade: 1 / d
  const float low = 0.5F * binade * floorf(a * inverse);
  const float z = fabsf(2.0F * (a - low) * inverse - 1.0F);
  if (z == 1.0F) return 0.2F;
  return z < 0x1p-5F ? 3.0F : fminf(3.0F, 0.2F * minus_four_fifths(z));
}

/// What a block's weights meet, by its scale factor times the tensor scale, exact in FP64.
struct EstimatorBlock {
  double s;
  double inverse;      ///< u is w inverse, in FP64: two roundings where FP32 would have one
  float closed, open;  ///< |w| <= 6 |s| is |w| <= closed, |w| < 6 |s| is |w| < open, for FP32 w
  ASSAY_HOST_DEVICE explicit EstimatorBlock(double scale) : s(scale), inverse(1.0 / scale) {
    const double limit = 6.0 * fabs(scale);
#ifdef __CUDA_ARCH__
    closed = __double2float_rd(limit);
    open = __double2float_ru(limit);
#else
    closed = static_cast<float>(limit);
    open = closed;
    if (double{closed} > limit) closed = std::nextafter(closed, 0.0F);
    if (double{open} < limit) open = std::nextafter(open, HUGE_VALF);
#endif
  }
  /// False for a NaN scale factor.
  [[nodiscard]] ASSAY_HOST_DEVICE bool inside(float w) const { return fabsf(w) <= closed; }
  [[nodiscard]] ASSAY_HOST_DEVICE bool strictly_inside(float w) const { return fabsf(w) < open; }
  [[nodiscard]] ASSAY_HOST_DEVICE float clipped(float w) const {
    return float_of(0x40C00000U |
                    ((bits_of(w) ^ (signbit_of_scale() ? 0x80000000U : 0U)) & 0x80000000U));
  }
  [[nodiscard]] ASSAY_HOST_DEVICE bool signbit_of_scale() const {
    return (bits_of(static_cast<float>(s)) & 0x80000000U) != 0;
  }
};

/// dW of one weight; q its code's value, g the gradient with respect to q s.
template <Estimator estimator>
ASSAY_HOST_DEVICE float weight_gradient(const EstimatorBlock& block, float w, float q, float g,
                                        float parameter) {
  if constexpr (estimator == Estimator::identity) return g;
  if constexpr (estimator == Estimator::pact) return block.strictly_inside(w) ? g : 0.0F;
  if constexpr (estimator == Estimator::trust_mask)
    return fabs(double{w} - double{q} * block.s) <= double{parameter} * fabs(block.s) ? g : 0.0F;
  if (!block.inside(w)) return 0.0F;
  if constexpr (estimator == Estimator::ewgs || estimator == Estimator::dge) {
    const float u = w == 0.0F ? 0.0F : static_cast<float>(double{w} * block.inverse);
    if constexpr (estimator == Estimator::dge) return dge_slope(u) * g;
    const float difference = parameter * (u - q);
    const bool negative = ((bits_of(g) >> 31) != 0) != block.signbit_of_scale();
    return (negative ? 1.0F - difference : 1.0F + difference) * g;
  }
  return g;
}

/// G dv/ds of one weight, in FP64; of lsq and pact only.
template <Estimator estimator>
ASSAY_HOST_DEVICE double scale_term(const EstimatorBlock& block, float w, float q, float g) {
  const double clipped = double{g} * double{block.clipped(w)};
  if constexpr (estimator == Estimator::pact)
    return block.strictly_inside(w) || w == 0.0F ? 0.0 : clipped;
  if (!block.inside(w)) return clipped;
  return double{g} * (block.s == 0.0 ? 0.0 : double{q} - double{w} * block.inverse);
}

/// d scale from the sum of a block's terms. Its order: the terms of four neighbouring weights
/// ascending from +0, as a lane has them, then these sums in pairs, pairs of pairs and so on.
template <Estimator estimator>
ASSAY_HOST_DEVICE float scale_gradient(const EstimatorBlock& block, double sum, int count,
                                       float tensor_scale) {
  const double root = estimator == Estimator::lsq ? sqrt(6.0 * count) : 1.0;
  const double gain = double{tensor_scale} / root;
  return block.s != block.s ? float_of(0x7FC00000U) : static_cast<float>(gain * sum);
}

}  // namespace assay::kernels::cuda
