// SPDX-License-Identifier: Apache-2.0
#pragma once
// Codes of W4A8, host code too: E2M1 times a power of two as E4M3 (golden/lossless.h has the
// theorem), and where a thread's share of a product lies.

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

/// An E4M3 code, or -1 where E4M3 does not hold the number.
/// `code` (an E2M1 code, 0..15) times 2^shift, shift <= 6.
ASSAY_HOST_DEVICE inline int reencode_e2m1(int code, int shift) {
  const int sign = (code & 8) << 4;
  const int magnitude = code & 7;
  if (magnitude == 0) return sign;
  // (2 + half) / 2 * 2^exponent
  const int half = magnitude == 1 ? 0 : magnitude & 1;
  const int exponent = (magnitude == 1 ? -1 : magnitude / 2 - 1) + shift;
  if (exponent >= -6) return sign | (exponent + 7) << 3 | half << 2;
  const int places = exponent + 8;  // (2 + half) * 2^places steps of 2^-9
  if (places >= 0) return sign | (2 + half) << places;
  return places == -1 && half == 0 ? sign | 1 : -1;
}

/// The E8M0 code of S: 2^6 below the largest scale factor that has a nonzero element, so that 6
/// becomes 384 <= 448. -1 for either where there is none.
ASSAY_HOST_DEVICE inline int common_scale(int largest_nonzero, int largest) {
  const int top = largest_nonzero >= 0 ? largest_nonzero : largest;
  return top > 6 ? top - 6 : 0;
}

/// From this shift on every E2M1 code becomes a normal E4M3 number: 0.5 * 2^-5 = 2^-6.
inline constexpr int kNormalShift = -5;
inline constexpr int kNanE8m0 = 0xFF, kNanE4m3 = 0x7F;

/// Where accumulator `index` of a thread lies in a warpgroup's 64 x columns: PTX ISA 9.0, wgmma,
/// matrix fragments of D. `thread` counts in the warpgroup.
struct FragmentPlace {
  int row, column;
};
ASSAY_HOST_DEVICE constexpr FragmentPlace wgmma_place(int thread, int index) {
  return {thread / 32 * 16 + thread % 32 / 4 + index % 4 / 2 * 8,
          index / 4 * 8 + thread % 4 * 2 + index % 2};
}

}  // namespace assay::kernels::cuda
