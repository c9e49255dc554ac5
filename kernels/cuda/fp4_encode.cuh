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
/// One rounding.
ASSAY_HOST_DEVICE inline float fused(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

/// 2^e of the binade that E2M1 has for a magnitude of at most 6: e = max(0, floor(log2 a)).
ASSAY_HOST_DEVICE inline float e2m1_binade(float a) {
  return fmaxf(float_of(bits_of(a) & 0x7F800000U), 1.0F);
}

/// The code of a magnitude with the sign bit of `sign`, in the top four bits: nearest, ties to
/// even, saturating. The sign of x does not count, and it is not NaN. Garbage below.
///
/// a = min(|x|, 6) lies in the binade E = 2^e of E2M1, e = max(0, floor(log2 a)), whose steps are
/// E/2. r = FP32(E (2^22 + 3) + a) lies in [2^(22+e), 2^(23+e)), where floats step by E/2 too: it
/// is (2^23 + 6 + i) E/2 with i = a / (E/2), rounded once to nearest, ties to even i. The code is
/// i + 2e: 0..4 in the first binade (4 carries into the next), 2..4 in the second, 2..3 in the
/// third; so an even i is an even code. The bits of r are (149 + e) 2^23 + 6 + i, hence
/// bits + (bits >> 22) = 6 + i + 2 (149 + e) = i + 2e modulo 16.
ASSAY_HOST_DEVICE inline std::uint32_t encode_e2m1_high(float x, float sign) {
  const float a = fminf(fabsf(x), 6.0F);
  const float r = fused(e2m1_binade(a), 4194307.0F, a);
  const std::uint32_t magnitude = bits_of(r) * ((1U << 28) + (1U << 6));
  return magnitude | (bits_of(sign) & 0x80000000U);
}
ASSAY_HOST_DEVICE inline std::uint32_t encode_e2m1_high(float x) { return encode_e2m1_high(x, x); }

/// The value of that code: r - E (2^22 + 3) is i E/2 exactly.
ASSAY_HOST_DEVICE inline float round_e2m1(float x, float sign) {
  const float a = fminf(fabsf(x), 6.0F);
  const float binade = e2m1_binade(a);
  const float r = fused(binade, 4194307.0F, a);
  const float magnitude = fused(binade, -4194307.0F, r);
  return float_of(bits_of(magnitude) | (bits_of(sign) & 0x80000000U));
}

/// The code by stochastic rounding with an n-bit word, 1 <= n <= 16, saturating: up iff
/// floor(f 2^n) + word >= 2^n, f the fraction of the way to the next code.
///
/// With a and e as above, t = a / (E/2) = i + f exactly, so T = floor(t 2^n) holds i above n bits
/// and floor(f 2^n) below (t < 8: T has at most 19 bits, and scaling by a power of two is exact);
/// adding the word carries iff the element goes up. The code is i + 2e as above. 6 has f = 0.
///
/// The top four bits alone count, garbage is below. 2^23 + T as a float has bits
/// (150 << 23) + T, of which the n-bit shift leaves a multiple of 8 above T; the binade's bits,
/// shifted by 22, are 2 (127 + e) = 2e - 2 modulo 8.
ASSAY_HOST_DEVICE inline std::uint32_t encode_e2m1_stochastic_high(float x, std::uint32_t word,
                                                                   int n) {
  const float a = fminf(fabsf(x), 6.0F);
  const std::uint32_t binade = bits_of(e2m1_binade(a));
  // 2^(n + 1 - e), from the exponent field 127 + e of the binade.
  const float to_steps = float_of(static_cast<std::uint32_t>(255 + n) * (1U << 23) - binade);
#ifdef __CUDA_ARCH__
  // Rounded toward zero to the units that floats have there.
  const std::uint32_t steps = __float_as_uint(__fmaf_rz(a, to_steps, 0x1p23F));
#else
  const auto steps = (150U << 23) + static_cast<std::uint32_t>(a * to_steps);
#endif
  const std::uint32_t magnitude = ((steps + word) >> n) + (binade >> 22) + 2;
  return (magnitude << 28 & 0x7FFFFFFFU) | (bits_of(x) & 0x80000000U);
}

/// Eight codes whose top bits are `high`, the first in the lowest nibble.
ASSAY_HOST_DEVICE inline std::uint32_t pack_codes(const std::uint32_t (&high)[8]) {
  std::uint32_t codes = 0;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 7; i >= 0; --i) {
#ifdef __CUDA_ARCH__
    codes = __funnelshift_l(high[i], codes, 4);
#else
    codes = codes << 4 | high[i] >> 28;
#endif
  }
  return codes;
}
ASSAY_HOST_DEVICE inline std::uint32_t encode_e2m1(const float (&x)[8]) {
  std::uint32_t high[8];
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < 8; ++i) high[i] = encode_e2m1_high(x[i]);
  return pack_codes(high);
}

}  // namespace assay::kernels::cuda
