// SPDX-License-Identifier: Apache-2.0
// The conversions of the CUDA headers (cuda_fp4.h, cuda_fp8.h) on the host, as a plugin:
//   g++ -std=c++17 -shared -fPIC -I<assay> -I<cuda>/include cuda_headers.cpp -o cuda_headers.so
//   assay certify ./cuda_headers.so
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include <cstdio>
#include <cstring>
#include <iterator>

#include "kernels/abi/assay_dut.h"

namespace {

using Convert = unsigned (*)(const void* x);

template <class T>
T load(const void* x) {
  T value;
  std::memcpy(&value, x, sizeof value);
  return value;
}

/// One conversion: destination, source, rule of the claim.
struct Entry {
  const char* name;
  const char* code;
  const char* source;
  const char* profile;
  unsigned rounding;
  Convert convert;
};

constexpr unsigned even = ASSAY_DUT_NEAREST_EVEN, zero = ASSAY_DUT_TOWARD_ZERO,
                   up = ASSAY_DUT_TOWARD_POSITIVE;
constexpr Entry entries[] = {
    {"fp4.float", "e2m1", "fp32", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_float_to_fp4(load<float>(x), __NV_E2M1, cudaRoundNearest);
     }},
    {"fp4.half", "e2m1", "fp16", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_halfraw_to_fp4(load<__half_raw>(x), __NV_E2M1, cudaRoundNearest);
     }},
    {"fp4.bfloat16", "e2m1", "bf16", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_bfloat16raw_to_fp4(load<__nv_bfloat16_raw>(x), __NV_E2M1, cudaRoundNearest);
     }},
    {"fp8.float", "e4m3", "fp32", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_float_to_fp8(load<float>(x), __NV_SATFINITE, __NV_E4M3);
     }},
    {"fp8.float.nosat", "e4m3", "fp32", "cuda13-nosat", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_float_to_fp8(load<float>(x), __NV_NOSAT, __NV_E4M3);
     }},
    {"fp8.half", "e4m3", "fp16", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_halfraw_to_fp8(load<__half_raw>(x), __NV_SATFINITE, __NV_E4M3);
     }},
    {"fp8.bfloat16", "e4m3", "bf16", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_cvt_bfloat16raw_to_fp8(load<__nv_bfloat16_raw>(x), __NV_SATFINITE, __NV_E4M3);
     }},
    {"e8m0.float.zero", "e8m0", "fp32", "cuda13", zero,
     [](const void* x) -> unsigned {
       return __nv_cvt_float_to_e8m0(load<float>(x), __NV_SATFINITE, cudaRoundZero);
     }},
    {"e8m0.float.up", "e8m0", "fp32", "cuda13", up,
     [](const void* x) -> unsigned {
       return __nv_cvt_float_to_e8m0(load<float>(x), __NV_SATFINITE, cudaRoundPosInf);
     }},
    {"e8m0.bfloat16.up", "e8m0", "bf16", "cuda13", up,
     [](const void* x) -> unsigned {
       return __nv_cvt_bfloat16raw_to_e8m0(load<__nv_bfloat16_raw>(x), __NV_SATFINITE,
                                           cudaRoundPosInf);
     }},
    {"bf16.float", "bf16", "fp32", "cuda13", even,
     [](const void* x) -> unsigned {
       return __nv_bfloat16_raw(__float2bfloat16_rn(load<float>(x))).x;
     }},
};

template <std::size_t N>
void put(char (&to)[N], const char* text) {
  std::snprintf(to, N, "%s", text);
}

int32_t describe(int32_t number, assay_dut_claim* claim) {
  const Entry& e = entries[number];
  claim->operation = ASSAY_DUT_CONVERT;
  claim->rounding = e.rounding;
  claim->flags |= ASSAY_DUT_STRIDES;
  put(claim->name, e.name);
  put(claim->a, e.code);
  put(claim->d, e.source);
  put(claim->profile, e.profile);
  return 0;
}

int32_t run(const assay_dut_call* call) {
  const assay_dut_tensor& x = call->in[0];
  const assay_dut_tensor& q = call->out[0];
  for (int64_t i = 0; i < call->m; ++i)
    for (int64_t j = 0; j < call->k; ++j) {
      const char* from = static_cast<const char*>(x.data) +
                         (i * x.strides[0] + j * x.strides[1]) * (x.type_bits / 8);
      const unsigned code = entries[call->entry].convert(from);
      const int64_t at = i * q.strides[0] + j * q.strides[1];
      auto* to = static_cast<unsigned char*>(q.data);
      if (q.type_bits == 4)
        to[at / 2] = static_cast<unsigned char>(at % 2 == 0 ? code : to[at / 2] | code << 4);
      else
        std::memcpy(to + at * (q.type_bits / 8), &code, q.type_bits / 8);
    }
  return ASSAY_DUT_OK;
}

}  // namespace

extern "C" const assay_dut_api* assay_dut_get_api(uint32_t host_version) {
  static const assay_dut_api api = {sizeof(assay_dut_api),
                                    ASSAY_DUT_ABI_VERSION,
                                    "CUDA headers, host functions",
                                    static_cast<int32_t>(std::size(entries)),
                                    nullptr,
                                    describe,
                                    run,
                                    nullptr};
  return host_version < ASSAY_DUT_ABI_VERSION ? nullptr : &api;
}
