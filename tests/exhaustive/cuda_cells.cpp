// SPDX-License-Identifier: Apache-2.0
// The second oracle: NVIDIA's own host code, input by input.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

#include <cstring>

#include "exhaustive/cells.h"

namespace assay::exhaustive {
namespace {

using formats::RoundingMode;

// An oracle that applies `convert` to every input.
template <int storage_bits, class Convert>
Oracle each(Convert convert) {
  const auto fill = [convert](std::uint64_t first, std::size_t count, std::span<std::uint8_t> out) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto bits = static_cast<std::uint32_t>(first + i);
      const auto code = static_cast<std::uint16_t>(convert(__builtin_bit_cast(float, bits)));
      if constexpr (storage_bits == 4) {
        out[i / 2] = static_cast<std::uint8_t>(i % 2 == 0 ? code : out[i / 2] | code << 4);
      } else {
        std::memcpy(&out[i * storage_bits / 8], &code, storage_bits / 8);
      }
    }
  };
  return {fill, {}};
}

template <cudaRoundMode mode>
Oracle fp4() {
  return each<4>([](float x) { return __nv_cvt_float_to_fp4(x, __NV_E2M1, mode); });
}

template <__nv_fp6_interpretation_t format, cudaRoundMode mode>
Oracle fp6() {
  return each<8>([](float x) { return __nv_cvt_float_to_fp6(x, format, mode); });
}

template <__nv_saturation_t saturation, __nv_fp8_interpretation_t format>
Oracle fp8() {
  return each<8>([](float x) { return __nv_cvt_float_to_fp8(x, saturation, format); });
}

template <__nv_saturation_t saturation, cudaRoundMode mode>
Oracle e8m0() {
  return each<8>([](float x) { return __nv_cvt_float_to_e8m0(x, saturation, mode); });
}

template <class Convert>
Oracle bf16(Convert convert) {
  return each<16>([convert](float x) { return __nv_bfloat16_raw(convert(x)).x; });
}

template <class Convert>
Oracle fp16(Convert convert) {
  return each<16>([convert](float x) { return __half_raw(convert(x)).x; });
}

struct Row {
  const formats::FormatSpec* spec;
  RoundingMode mode;
  const formats::Profile* profile;
  Oracle oracle;
};

}  // namespace

std::vector<Cell> cuda_cells() {
  const auto* sat = &formats::cuda13;
  const auto* nosat = &formats::cuda13_nosat;
  const Row rows[] = {
      {&formats::e2m1, RoundingMode::nearest_even, sat, fp4<cudaRoundNearest>()},
      {&formats::e2m1, RoundingMode::toward_zero, sat, fp4<cudaRoundZero>()},
      {&formats::e2m3, RoundingMode::nearest_even, sat, fp6<__NV_E2M3, cudaRoundNearest>()},
      {&formats::e2m3, RoundingMode::toward_zero, sat, fp6<__NV_E2M3, cudaRoundZero>()},
      {&formats::e3m2, RoundingMode::nearest_even, sat, fp6<__NV_E3M2, cudaRoundNearest>()},
      {&formats::e3m2, RoundingMode::toward_zero, sat, fp6<__NV_E3M2, cudaRoundZero>()},
      {&formats::e4m3, RoundingMode::nearest_even, sat, fp8<__NV_SATFINITE, __NV_E4M3>()},
      {&formats::e4m3, RoundingMode::nearest_even, nosat, fp8<__NV_NOSAT, __NV_E4M3>()},
      {&formats::e5m2, RoundingMode::nearest_even, sat, fp8<__NV_SATFINITE, __NV_E5M2>()},
      {&formats::e5m2, RoundingMode::nearest_even, nosat, fp8<__NV_NOSAT, __NV_E5M2>()},
      {&formats::e8m0, RoundingMode::toward_zero, sat, e8m0<__NV_SATFINITE, cudaRoundZero>()},
      {&formats::e8m0, RoundingMode::toward_zero, nosat, e8m0<__NV_NOSAT, cudaRoundZero>()},
      {&formats::e8m0, RoundingMode::toward_positive, sat, e8m0<__NV_SATFINITE, cudaRoundPosInf>()},
      {&formats::e8m0, RoundingMode::toward_positive, nosat, e8m0<__NV_NOSAT, cudaRoundPosInf>()},
      {&formats::bf16, RoundingMode::nearest_even, sat,
       bf16([](float x) { return __float2bfloat16_rn(x); })},
      {&formats::bf16, RoundingMode::toward_zero, sat,
       bf16([](float x) { return __float2bfloat16_rz(x); })},
      {&formats::bf16, RoundingMode::toward_positive, sat,
       bf16([](float x) { return __float2bfloat16_ru(x); })},
      {&formats::bf16, RoundingMode::toward_negative, sat,
       bf16([](float x) { return __float2bfloat16_rd(x); })},
      {&formats::fp16, RoundingMode::nearest_even, sat,
       fp16([](float x) { return __float2half_rn(x); })},
      {&formats::fp16, RoundingMode::toward_zero, sat,
       fp16([](float x) { return __float2half_rz(x); })},
      {&formats::fp16, RoundingMode::toward_positive, sat,
       fp16([](float x) { return __float2half_ru(x); })},
      {&formats::fp16, RoundingMode::toward_negative, sat,
       fp16([](float x) { return __float2half_rd(x); })},
  };
  std::vector<Cell> cells;
  for (const Row& row : rows) {
    cells.push_back({"cuda", std::string(row.profile->name), row.spec, row.mode,
                     profile_row(*row.profile, *row.spec).policy,
                     [oracle = row.oracle] { return oracle; }});
  }
  return cells;
}

}  // namespace assay::exhaustive
