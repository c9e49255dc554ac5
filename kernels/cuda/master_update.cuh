// SPDX-License-Identifier: Apache-2.0
#pragma once
// One BF16 master weight's step with a single rounding (golden/master.h). Host code too.

#include <cmath>
#include <cstdint>

#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

/// FP64 x to FP32 toward zero; the largest finite number for what is beyond it.
ASSAY_HOST_DEVICE inline float toward_zero(double x) {
#ifdef __CUDA_ARCH__
  return __double2float_rz(x);
#else
  const auto nearest = static_cast<float>(x);
  return std::fabs(double{nearest}) > std::fabs(x) ? std::nextafter(nearest, 0.0F) : nearest;
#endif
}

/// round(w - rate g / loss_scale) as a BF16 code. inverse_scale = 1 / loss_scale, a power of two.
/// `bits` 0: nearest, ties to even; else stochastic by `word`, of `bits` bits.
///
/// rate g has 48 bits, so that t = rate g inverse_scale is exact in FP64. Knuth's two-sum splits
/// w - t into its FP64 sum and the exact rest, which gives the FP32 magnitude toward zero and
/// whether anything was cut off. BF16 is FP32 without its last 16 bits, with the same exponents, so
/// that these 16 bits are floor(f 2^16) of the way f to the next BF16 number; what was cut off
/// matters to a tie only. Beyond the largest number the bits carry into infinity.
ASSAY_HOST_DEVICE inline std::uint16_t updated_master(std::uint16_t master, float g, float rate,
                                                      double inverse_scale, int bits,
                                                      std::uint32_t word) {
  const double w = double{float_of(std::uint32_t{master} << 16)};
  const double t = -(double{rate} * double{g} * inverse_scale);
  const double sum = w + t;
  const double part = sum - w;
  const double rest = (w - (sum - part)) + (t - part);
  const bool shorter = rest != 0.0 && (rest < 0.0) != (sum < 0.0);  // nearer to zero than `sum`
  std::uint32_t code = bits_of(toward_zero(sum));
  const bool inexact = double{float_of(code)} != sum;
  const bool cut = inexact || rest != 0.0;
  if (!inexact && shorter) --code;
  const std::uint32_t low = code & 0xFFFFU;
  const bool up = bits == 0 ? low > 0x8000U || (low == 0x8000U && (cut || (code >> 16 & 1U) != 0))
                            : (low >> (16 - bits)) + word >= 1U << bits;
  std::uint32_t result = (code >> 16) + (up ? 1U : 0U);
  // Last, as choices: a branch would keep a thread's elements from going side by side.
  const bool beyond = fabs(sum) > 0x1p128 || (fabs(sum) == 0x1p128 && !shorter);
  result = beyond ? (sum < 0 ? 0xFF80U : 0x7F80U) : result;
  result = sum != sum ? 0x7FC0U : result;
  return static_cast<std::uint16_t>(result);
}

}  // namespace assay::kernels::cuda
