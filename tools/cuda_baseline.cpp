// SPDX-License-Identifier: Apache-2.0
#include "tools/cuda_baseline.h"

#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>
#include <math.h>

namespace assay::tools::cuda_baseline {

const char* flags() { return ASSAY_BASELINE_FLAGS; }

void e2m1(const float* in, std::size_t count, std::uint8_t* packed) {
  for (std::size_t i = 0; i < count; i += 2) {
    packed[i / 2] = __nv_cvt_float2_to_fp4x2(float2{in[i], in[i + 1]}, __NV_E2M1, cudaRoundNearest);
  }
}

void e2m3(const float* in, std::size_t count, std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = __nv_cvt_float_to_fp6(in[i], __NV_E2M3, cudaRoundNearest);
  }
}

void e3m2(const float* in, std::size_t count, std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = __nv_cvt_float_to_fp6(in[i], __NV_E3M2, cudaRoundNearest);
  }
}

void e4m3(const float* in, std::size_t count, std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = __nv_cvt_float_to_fp8(in[i], __NV_SATFINITE, __NV_E4M3);
  }
}

void e5m2(const float* in, std::size_t count, std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = __nv_cvt_float_to_fp8(in[i], __NV_SATFINITE, __NV_E5M2);
  }
}

void ue4m3(const float* in, std::size_t count, std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = __nv_cvt_float_to_fp8(fabsf(in[i]), __NV_SATFINITE, __NV_E4M3);
  }
}

void e8m0_up(const float* in, std::size_t count, std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = __nv_cvt_float_to_e8m0(in[i], __NV_SATFINITE, cudaRoundPosInf);
  }
}

void int4(const float* in, std::size_t count, std::uint8_t* packed) {
  for (std::size_t i = 0; i < count; i += 2) {
    const int low = static_cast<int>(rintf(fminf(fmaxf(in[i], -7), 7)));
    const int high = static_cast<int>(rintf(fminf(fmaxf(in[i + 1], -7), 7)));
    packed[i / 2] = static_cast<std::uint8_t>((low & 15) | high << 4);
  }
}

float amax(const float* in, std::size_t count) {
  float result = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float magnitude = fabsf(in[i]);
    if (magnitude > result) result = magnitude;
  }
  return result;
}

void mxfp4(const float* in, std::size_t count, bool rceil, std::uint8_t* packed,
           std::uint8_t* scales) {
  constexpr std::size_t block = 32;
  for (std::size_t b = 0; b < count / block; ++b) {
    const float* x = in + b * block;
    const float largest = amax(x, block);
    scales[b] = rceil ? __nv_cvt_float_to_e8m0(largest / 6, __NV_SATFINITE, cudaRoundPosInf)
                      : __nv_cvt_float_to_e8m0(largest / 4, __NV_SATFINITE, cudaRoundZero);
    // 2^(127 - code): dividing by a power of two is multiplying by its exact reciprocal.
    const float reciprocal =
        __builtin_bit_cast(float, static_cast<std::uint32_t>(254 - scales[b]) << 23);
    for (std::size_t i = 0; i < block; i += 2) {
      packed[(b * block + i) / 2] = __nv_cvt_float2_to_fp4x2(
          float2{x[i] * reciprocal, x[i + 1] * reciprocal}, __NV_E2M1, cudaRoundNearest);
    }
  }
}

void nvfp4_divide(const float* in, std::size_t count, float tensor_scale, std::uint8_t* packed,
                  std::uint8_t* scales) {
  constexpr std::size_t block = 16;
  for (std::size_t b = 0; b < count / block; ++b) {
    const float* x = in + b * block;
    scales[b] =
        __nv_cvt_float_to_fp8((amax(x, block) / 6) / tensor_scale, __NV_SATFINITE, __NV_E4M3);
    const float scale =
        __half2float(__half(__nv_cvt_fp8_to_halfraw(scales[b], __NV_E4M3))) * tensor_scale;
    for (std::size_t i = 0; i < block; i += 2) {
      packed[(b * block + i) / 2] = __nv_cvt_float2_to_fp4x2(float2{x[i] / scale, x[i + 1] / scale},
                                                             __NV_E2M1, cudaRoundNearest);
    }
  }
}

}  // namespace assay::tools::cuda_baseline
