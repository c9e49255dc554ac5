// SPDX-License-Identifier: Apache-2.0
#pragma once
// Element and scale-factor decoding; exact. Host code too, for tests without a GPU.

#ifdef __CUDACC__
#include <cuda_fp8.h>
#endif

#include <cstdint>

#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

/// The sign bit of UE4M3 is ignored; 0x7F is NaN.
ASSAY_HOST_DEVICE inline float decode_ue4m3(std::uint8_t code) {
#ifdef __CUDA_ARCH__
  __nv_fp8_e4m3 value;
  value.__x = code & 0x7FU;
  return static_cast<float>(value);
#else
  if ((code & 0x7FU) == 0x7FU) return float_of(0x7FC00000U);
  const auto fraction = static_cast<float>(code & 7U);
  const unsigned exponent = code >> 3U & 15U;
  return exponent == 0 ? fraction * 0x1p-9F
                       : (8.0F + fraction) * float_of((exponent + 117U) << 23U);
#endif
}

/// `code` in 0..15. Doubled E2M1 magnitudes are 0 1 2 3 4 6 8 12: one nibble each of a constant.
ASSAY_HOST_DEVICE inline float decode_e2m1(int code) {
  const int doubled = static_cast<int>(0xC8643210U >> (code & 7) * 4 & 15U);
  const float magnitude = 0.5F * static_cast<float>(doubled);
  return (code & 8) != 0 ? -magnitude : magnitude;
}

/// The element of the lowest four bits: its exponent and fraction at the bits of FP32's are the
/// element times 2^-126, subnormal numbers included.
ASSAY_HOST_DEVICE inline float decode_low_e2m1(std::uint32_t bits) {
  return float_of((bits & 8U) << 28 | (bits & 7U) << 22) * 0x1p126F;
}

/// 2^(code - 127); 0xFF is NaN and 0x00 the FP32 subnormal 2^-127.
ASSAY_HOST_DEVICE inline float decode_e8m0(std::uint8_t code) {
  const unsigned bits = code == 0xFFU ? 0x7FC00000U
                        : code == 0   ? 0x00400000U
                                      : unsigned{code} << 23;
  return float_of(bits);
}

}  // namespace assay::kernels::cuda
