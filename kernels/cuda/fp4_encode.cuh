// SPDX-License-Identifier: Apache-2.0
#pragma once
// E2M1 by arithmetic, where the hardware has no such conversion: nine instructions an element. Host
// code too, so that a test can hold it against the definition without a GPU.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

ASSAY_HOST_DEVICE inline std::uint32_t bits_of(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}
ASSAY_HOST_DEVICE inline float float_of(std::uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

/// The code of x, not NaN, in the top four bits: nearest, ties to even, saturating. Garbage below.
///
/// a = min(|x|, 6) lies in the binade E = 2^e of E2M1, e = max(0, floor(log2 a)), whose steps are
/// E/2. r = FP32(E (2^22 + 3) + a) lies in [2^(22+e), 2^(23+e)), where floats step by E/2 too: it
/// is (2^23 + 6 + i) E/2 with i = a / (E/2), rounded once to nearest, ties to even i. The code is
/// i + 2e: 0..4 in the first binade (4 carries into the next), 2..4 in the second, 2..3 in the
/// third; so an even i is an even code. The bits of r are (149 + e) 2^23 + 6 + i, hence
/// bits + (bits >> 22) = 6 + i + 2 (149 + e) = i + 2e modulo 16.
ASSAY_HOST_DEVICE inline std::uint32_t encode_e2m1_high(float x) {
#ifdef __CUDA_ARCH__
  const float a = fminf(fabsf(x), 6.0F);
  const float binade = fmaxf(float_of(bits_of(a) & 0x7F800000U), 1.0F);
  const float r = __fmaf_rn(binade, 4194307.0F, a);
#else
  const float a = std::fmin(std::fabs(x), 6.0F);
  const float binade = std::fmax(float_of(bits_of(a) & 0x7F800000U), 1.0F);
  const float r = std::fma(binade, 4194307.0F, a);
#endif
  const std::uint32_t magnitude = bits_of(r) * ((1U << 28) + (1U << 6));
  return magnitude | (bits_of(x) & 0x80000000U);
}

/// Eight codes, the first in the lowest nibble.
ASSAY_HOST_DEVICE inline std::uint32_t encode_e2m1(const float (&x)[8]) {
  std::uint32_t codes = 0;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 7; i >= 0; --i) {
#ifdef __CUDA_ARCH__
    codes = __funnelshift_l(encode_e2m1_high(x[i]), codes, 4);
#else
    codes = codes << 4 | encode_e2m1_high(x[i]) >> 28;
#endif
  }
  return codes;
}

}  // namespace assay::kernels::cuda
