// SPDX-License-Identifier: Apache-2.0
#pragma once
// Single conversions that the CPU kernels inline. FP32 arithmetic and bit manipulation only; the
// kernels share no code with the golden model that judges them.

#include <bit>
#include <cmath>
#include <cstdint>

namespace assay::kernels::cpu {

/// Magnitude of an E2M1 code, indexed by its low three bits; bit 3 is the sign.
inline constexpr float e2m1_values[16] = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                          -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

/// Nearest E2M1 code, ties to the even code, saturating (OCP MX v1.0, section 5.3.3). x is not NaN.
/// A sum of comparisons instead of a search: it has no branches, so a loop over it vectorises.
/// At a midpoint `>` keeps the lower code and `>=` takes the upper one, whichever is even.
inline std::uint8_t encode_e2m1(float x) {
  const float a = std::fabs(x);
  const int magnitude = int{a > 0.25F} + int{a >= 0.75F} + int{a > 1.25F} + int{a >= 1.75F} +
                        int{a > 2.5F} + int{a >= 3.5F} + int{a > 5.0F};
  const int sign = static_cast<int>(std::bit_cast<std::uint32_t>(x) >> 31U) << 3;
  return static_cast<std::uint8_t>(sign | magnitude);
}

/// E2M1 by stochastic rounding with an n-bit word, saturating: up iff floor(f 2^n) + word >= 2^n, f
/// the fraction of the way to the next code. x is not NaN. Everything is exact: a - low is a
/// multiple of a's last bit, the gap a power of two.
inline std::uint8_t encode_e2m1_stochastic(float x, std::uint32_t word, int n) {
  const float a = std::fabs(x);
  int low = 7;
  while (low > 0 && e2m1_values[low] > a) --low;
  int magnitude = low;
  if (low < 7) {
    const float fraction = (a - e2m1_values[low]) / (e2m1_values[low + 1] - e2m1_values[low]);
    const auto steps = static_cast<std::uint32_t>(std::ldexp(fraction, n));
    if (steps + word >= 1U << static_cast<unsigned>(n)) ++magnitude;
  }
  const int sign = static_cast<int>(std::bit_cast<std::uint32_t>(x) >> 31U) << 3;
  return static_cast<std::uint8_t>(sign | magnitude);
}

/// Nearest UE4M3 code, ties to even, saturating at 448 (0x7E). x is not negative and not NaN.
inline std::uint8_t encode_ue4m3(float x) {
  if (x >= 448.0F) return 0x7E;
  // Below the smallest normal 2^-6 the codes are multiples of 2^-9; x * 512 is exact.
  if (x < 0x1p-6F) return static_cast<std::uint8_t>(std::nearbyint(x * 512.0F));
  // Round the 23-bit fraction to 3 bits; a carry runs into the exponent, as it should.
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = bits + 0x7FFFFU + ((bits >> 20U) & 1U);
  return static_cast<std::uint8_t>((rounded >> 20U) - (120U << 3U));
}

inline float decode_ue4m3(std::uint8_t code) {
  const int exponent = (code >> 3) & 15;
  const int fraction = code & 7;
  if ((code & 0x7F) == 0x7F) return NAN;
  if (exponent == 0) return static_cast<float>(fraction) * 0x1p-9F;
  return std::bit_cast<float>((static_cast<std::uint32_t>(exponent + 120) << 23U) |
                              (static_cast<std::uint32_t>(fraction) << 20U));
}

inline float decode_e4m3(std::uint8_t code) {
  const float magnitude = decode_ue4m3(code);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

/// 2^(code - 127); 0xFF is NaN and 0x00 the FP32 subnormal 2^-127.
inline float decode_e8m0(std::uint8_t code) {
  if (code == 0xFF) return NAN;
  if (code == 0) return 0x1p-127F;
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23U);
}

/// Power-of-two scale codes of a block maximum, from its bits: no logarithm and no division, so a
/// value just below a power of two stays there. amax = 2^k m, 1 <= m < 2, is not negative and
/// finite. floor: 2^(k - 2). rceil: 2^ceil(log2(amax / 6)), which is 2^(k-2) up to m = 1.5 and
/// 2^(k-1) above. FP32 subnormals have exponent field 0 and end, like everything below 2^-127, at
/// code 0.
inline std::uint8_t scale_floor(float amax) {
  const int exponent = static_cast<int>(std::bit_cast<std::uint32_t>(amax) >> 23U) - 2;
  return static_cast<std::uint8_t>(exponent < 0 ? 0 : exponent);
}
inline std::uint8_t scale_rceil(float amax) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(amax);
  const int exponent = static_cast<int>(bits >> 23U) - 2 + int{(bits & 0x7FFFFFU) > 0x400000U};
  return static_cast<std::uint8_t>(exponent < 0 ? 0 : exponent);
}
/// DeepSeek's kernel: the FP32 product with FP32(1/6), its exponent rounded up.
inline std::uint8_t scale_deepseek_v4(float amax) {
  const float clamped = amax > 6 * 0x1p-126F ? amax : 6 * 0x1p-126F;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(clamped * (1.0F / 6.0F));
  return static_cast<std::uint8_t>((bits + 0x7FFFFFU) >> 23U);
}

inline float decode_bf16(std::uint16_t code) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U);
}

/// Nearest BF16 value, ties to even, overflow to infinity.
inline float round_to_bf16(float x) {
  if (std::isnan(x)) return x;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF0000U);
}

}  // namespace assay::kernels::cpu
