// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/cuda_casts.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

namespace assay::tools::audit {
namespace {

using formats::RoundingMode;

float as_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

__half_raw as_half(std::uint32_t bits) {
  __half_raw raw;
  raw.x = static_cast<unsigned short>(bits);
  return raw;
}

__nv_bfloat16_raw as_bf16(std::uint32_t bits) {
  __nv_bfloat16_raw raw;
  raw.x = static_cast<unsigned short>(bits);
  return raw;
}

/// The row's function over an array; `Convert` is a lambda without captures.
template <class Convert>
void over(const std::uint32_t* in, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::uint32_t>(Convert{}(in[i]));
}

template <class Convert>
CudaCast row(const char* function, const formats::FormatSpec& source,
             const formats::FormatSpec& destination, RoundingMode mode,
             const formats::Profile& profile, Convert) {
  return {function, &source, &destination, mode, &profile, &over<Convert>};
}

}  // namespace

// A row is the call itself: the macros write it and its text. Each family takes FP32, FP16 and BF16
// by functions of their own; E8M0 takes no FP16.
#define ASSAY_CUDA_CAST(source, as, destination, mode, profile, function, ...)  \
  row(#function "(x, " #__VA_ARGS__ ")", formats::source, formats::destination, \
      RoundingMode::mode, formats::profile,                                     \
      [](std::uint32_t bits) { return function(as(bits), __VA_ARGS__); })
#define ASSAY_CUDA_TWO(destination, mode, profile, to, ...)                                    \
  ASSAY_CUDA_CAST(fp32, as_float, destination, mode, profile, __nv_cvt_float_to_##to,          \
                  __VA_ARGS__),                                                                \
      ASSAY_CUDA_CAST(bf16, as_bf16, destination, mode, profile, __nv_cvt_bfloat16raw_to_##to, \
                      __VA_ARGS__)
#define ASSAY_CUDA_THREE(destination, mode, profile, to, ...)                              \
  ASSAY_CUDA_TWO(destination, mode, profile, to, __VA_ARGS__),                             \
      ASSAY_CUDA_CAST(fp16, as_half, destination, mode, profile, __nv_cvt_halfraw_to_##to, \
                      __VA_ARGS__)
#define ASSAY_CUDA_NARROW(destination, mode, function, raw)                                      \
  row(#function "(x)", formats::fp32, formats::destination, RoundingMode::mode, formats::cuda13, \
      [](std::uint32_t bits) { return raw(function(as_float(bits))).x; })

std::vector<CudaCast> cuda_casts() {
  return {ASSAY_CUDA_THREE(e2m1, nearest_even, cuda13, fp4, __NV_E2M1, cudaRoundNearest),
          ASSAY_CUDA_THREE(e2m1, toward_zero, cuda13, fp4, __NV_E2M1, cudaRoundZero),
          ASSAY_CUDA_THREE(e2m3, nearest_even, cuda13, fp6, __NV_E2M3, cudaRoundNearest),
          ASSAY_CUDA_THREE(e2m3, toward_zero, cuda13, fp6, __NV_E2M3, cudaRoundZero),
          ASSAY_CUDA_THREE(e3m2, nearest_even, cuda13, fp6, __NV_E3M2, cudaRoundNearest),
          ASSAY_CUDA_THREE(e3m2, toward_zero, cuda13, fp6, __NV_E3M2, cudaRoundZero),
          ASSAY_CUDA_THREE(e4m3, nearest_even, cuda13, fp8, __NV_SATFINITE, __NV_E4M3),
          ASSAY_CUDA_THREE(e4m3, nearest_even, cuda13_nosat, fp8, __NV_NOSAT, __NV_E4M3),
          ASSAY_CUDA_THREE(e5m2, nearest_even, cuda13, fp8, __NV_SATFINITE, __NV_E5M2),
          ASSAY_CUDA_THREE(e5m2, nearest_even, cuda13_nosat, fp8, __NV_NOSAT, __NV_E5M2),
          ASSAY_CUDA_TWO(e8m0, toward_zero, cuda13, e8m0, __NV_SATFINITE, cudaRoundZero),
          ASSAY_CUDA_TWO(e8m0, toward_zero, cuda13_nosat, e8m0, __NV_NOSAT, cudaRoundZero),
          ASSAY_CUDA_TWO(e8m0, toward_positive, cuda13, e8m0, __NV_SATFINITE, cudaRoundPosInf),
          ASSAY_CUDA_TWO(e8m0, toward_positive, cuda13_nosat, e8m0, __NV_NOSAT, cudaRoundPosInf),
          ASSAY_CUDA_NARROW(bf16, nearest_even, __float2bfloat16_rn, __nv_bfloat16_raw),
          ASSAY_CUDA_NARROW(bf16, toward_zero, __float2bfloat16_rz, __nv_bfloat16_raw),
          ASSAY_CUDA_NARROW(bf16, toward_positive, __float2bfloat16_ru, __nv_bfloat16_raw),
          ASSAY_CUDA_NARROW(bf16, toward_negative, __float2bfloat16_rd, __nv_bfloat16_raw),
          ASSAY_CUDA_NARROW(fp16, nearest_even, __float2half_rn, __half_raw),
          ASSAY_CUDA_NARROW(fp16, toward_zero, __float2half_rz, __half_raw),
          ASSAY_CUDA_NARROW(fp16, toward_positive, __float2half_ru, __half_raw),
          ASSAY_CUDA_NARROW(fp16, toward_negative, __float2half_rd, __half_raw)};
}

#undef ASSAY_CUDA_CAST
#undef ASSAY_CUDA_TWO
#undef ASSAY_CUDA_THREE
#undef ASSAY_CUDA_NARROW

}  // namespace assay::tools::audit
