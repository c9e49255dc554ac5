// SPDX-License-Identifier: Apache-2.0
#pragma once
// What Hopper's FP8 wgmma answers, bit by bit, for finite E4M3 operands: one step is 32 products
// and the accumulator, each truncated to 13 fraction bits below the largest exponent, their sum
// truncated to 14 significant bits (Khattak and Mikaitis, arXiv 2512.07004; the row `hopper` of
// simulator/mma, which a test holds this to). The benchmark checks W4A8 products with it: a
// derived bound would be as wide as the results themselves.

#include <cmath>
#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

inline constexpr int kFp8UnitStep = 32;
inline constexpr int kFp8UnitBits = 13;

/// significand * 2^(exponent - 3); the exponent of subnormal numbers is not renormalised.
struct E4m3Parts {
  int significand, exponent;
};
ASSAY_HOST_DEVICE inline E4m3Parts e4m3_parts(int code) {
  const int field = code >> 3 & 15;
  const int significand = (code & 7) + (field == 0 ? 0 : 8);
  return {(code & 0x80) != 0 ? -significand : significand, (field == 0 ? 1 : field) - 7};
}

/// x * 2^shift toward zero.
ASSAY_HOST_DEVICE inline int shifted_toward_zero(int x, int shift) {
  if (shift >= 0) return x * (1 << shift);
  if (shift < -30) return 0;
  return x < 0 ? -(-x >> -shift) : x >> -shift;
}

/// `accumulator` has at most 14 significant bits, as every result of this has.
ASSAY_HOST_DEVICE inline float fp8_unit_step(const std::uint8_t* a, const std::uint8_t* b,
                                             float accumulator) {
  // The accumulator as an integer of 14 bits and an exponent.
  int accumulator_exponent = 0;
  const int whole =
      static_cast<int>(ldexpf(frexpf(accumulator, &accumulator_exponent), kFp8UnitBits + 1));
  --accumulator_exponent;
  constexpr int none = -1000;
  int largest = whole == 0 ? none : accumulator_exponent;
  for (int i = 0; i < kFp8UnitStep; ++i) {
    const E4m3Parts x = e4m3_parts(a[i]);
    const E4m3Parts y = e4m3_parts(b[i]);
    if (x.significand != 0 && y.significand != 0 && x.exponent + y.exponent > largest)
      largest = x.exponent + y.exponent;
  }
  if (largest == none) return 0.0F;
  // In steps of 2^(largest - 13).
  int sum = shifted_toward_zero(whole, accumulator_exponent - largest);
  for (int i = 0; i < kFp8UnitStep; ++i) {
    const E4m3Parts x = e4m3_parts(a[i]);
    const E4m3Parts y = e4m3_parts(b[i]);
    sum += shifted_toward_zero(x.significand * y.significand,
                               x.exponent + y.exponent - 6 - largest + kFp8UnitBits);
  }
  int excess = 0;
  while ((sum < 0 ? -sum : sum) >> excess >= 1 << (kFp8UnitBits + 1)) ++excess;
  const int kept = shifted_toward_zero(shifted_toward_zero(sum, -excess), excess);
  return ldexpf(static_cast<float>(kept), largest - kFp8UnitBits);
}

}  // namespace assay::kernels::cuda
