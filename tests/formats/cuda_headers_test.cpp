// SPDX-License-Identifier: Apache-2.0
// Profile cuda13 on FP64 inputs against the CUDA headers' host functions: decision points that FP32
// cannot see, and NaNs, whose sign E4M3 and E5M2 keep from FP64 only. FP32 inputs:
// tests/exhaustive.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "formats/codec.h"

namespace assay::formats {
namespace {

struct Case {
  const FormatSpec* spec;
  RoundingMode mode;
  const Profile* profile;
  std::function<std::uint32_t(double)> cuda;
};

std::vector<Case> cases() {
  constexpr auto rn = RoundingMode::nearest_even;
  constexpr auto rz = RoundingMode::toward_zero;
  constexpr auto ru = RoundingMode::toward_positive;
  return {
      {&e2m1, rn, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp4(x, __NV_E2M1, cudaRoundNearest); }},
      {&e2m1, rz, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp4(x, __NV_E2M1, cudaRoundZero); }},
      {&e4m3, rn, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp8(x, __NV_SATFINITE, __NV_E4M3); }},
      {&e4m3, rn, &cuda13_nosat,
       [](double x) { return __nv_cvt_double_to_fp8(x, __NV_NOSAT, __NV_E4M3); }},
      {&e2m3, rn, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp6(x, __NV_E2M3, cudaRoundNearest); }},
      {&e2m3, rz, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp6(x, __NV_E2M3, cudaRoundZero); }},
      {&e3m2, rn, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp6(x, __NV_E3M2, cudaRoundNearest); }},
      {&e3m2, rz, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp6(x, __NV_E3M2, cudaRoundZero); }},
      {&e5m2, rn, &cuda13,
       [](double x) { return __nv_cvt_double_to_fp8(x, __NV_SATFINITE, __NV_E5M2); }},
      {&e5m2, rn, &cuda13_nosat,
       [](double x) { return __nv_cvt_double_to_fp8(x, __NV_NOSAT, __NV_E5M2); }},
      {&e8m0, rz, &cuda13,
       [](double x) { return __nv_cvt_double_to_e8m0(x, __NV_SATFINITE, cudaRoundZero); }},
      {&e8m0, ru, &cuda13,
       [](double x) { return __nv_cvt_double_to_e8m0(x, __NV_SATFINITE, cudaRoundPosInf); }},
      {&e8m0, ru, &cuda13_nosat,
       [](double x) { return __nv_cvt_double_to_e8m0(x, __NV_NOSAT, cudaRoundPosInf); }},
      {&bf16, rn, &cuda13, [](double x) { return __nv_bfloat16_raw(__double2bfloat16(x)).x; }},
      {&fp16, rn, &cuda13, [](double x) { return __half_raw(__double2half(x)).x; }},
  };
}

TEST(CudaHeaders, Fp64Corners) {
  for (const Case& c : cases()) {
    const Fields fields = fields_of(*c.spec);
    const Policy policy = policy_for_f64(profile_row(*c.profile, *c.spec));
    const std::uint32_t step = c.spec->storage_bits == 16 ? 37 : 1;
    std::vector<double> in{0.0, 5e-324, 1e-310, 1e300, INFINITY, std::nan("")};
    for (std::uint32_t code = 0; code <= fields.max_finite(); code += step) {
      const double low = decode(*c.spec, code);
      const double high = code < fields.max_finite() ? double{decode(*c.spec, code + 1)} : 2 * low;
      for (const double at : {low, (low + high) / 2, high}) {
        in.insert(in.end(), {at, std::nextafter(at, 0), std::nextafter(at, 1e308)});
      }
    }
    for (const double magnitude : in) {
      for (const double x : {magnitude, -magnitude}) {
        ASSERT_EQ(encode(*c.spec, x, c.mode, policy), c.cuda(x))
            << c.spec->name << ' ' << name_of(c.mode) << ' ' << c.profile->name << ' ' << x;
      }
    }
  }
}

}  // namespace
}  // namespace assay::formats
