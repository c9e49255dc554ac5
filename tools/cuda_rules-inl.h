// SPDX-License-Identifier: Apache-2.0
#pragma once
// Element formats and scale rules by the CUDA headers' host functions, for the loops of
// cuda_blocks.cpp, which alone includes this.

#include <cuda_bf16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>
#include <math.h>
#include <string.h>

#include "tools/cuda_blocks.h"

namespace assay::tools::cuda_baseline {
namespace {

float amax_of(const float* in, std::int64_t count) {
  float result = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float magnitude = fabsf(in[i]);
    if (magnitude > result) result = magnitude;
  }
  return result;
}

float decode_e4m3(std::uint8_t code) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3)));
}
std::uint8_t encode_e4m3(float x) { return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3); }

// The codes of elements i and i + 1 of a row, and the value of the code of element i.
struct E2m1 {
  static std::int64_t bytes(std::int64_t cols) { return (cols + 1) / 2; }
  static float value(const std::uint8_t* row, std::int64_t i) {
    const int code = row[i / 2] >> (i % 2 * 4) & 15;
    return __half2float(
        __half(__nv_cvt_fp4_to_halfraw(static_cast<__nv_fp4_storage_t>(code), __NV_E2M1)));
  }
  static void pair(std::uint8_t* row, std::int64_t i, float a, float b) {
    row[i / 2] = __nv_cvt_float2_to_fp4x2(float2{a, b}, __NV_E2M1, cudaRoundNearest);
  }
};
// The headers have no INT4.
struct Int4 {
  static std::int64_t bytes(std::int64_t cols) { return (cols + 1) / 2; }
  static int one(float x) { return static_cast<int>(rintf(fminf(fmaxf(x, -7), 7))) & 15; }
  static float value(const std::uint8_t* row, std::int64_t i) {
    const int code = row[i / 2] >> (i % 2 * 4) & 15;
    return static_cast<float>(code < 8 ? code : code - 16);
  }
  static void pair(std::uint8_t* row, std::int64_t i, float a, float b) {
    row[i / 2] = static_cast<std::uint8_t>(one(a) | one(b) << 4);
  }
};
template <__nv_fp6_interpretation_t format>
struct Fp6 {
  static std::int64_t bytes(std::int64_t cols) { return cols; }
  static void pair(std::uint8_t* row, std::int64_t i, float a, float b) {
    row[i] = __nv_cvt_float_to_fp6(a, format, cudaRoundNearest);
    row[i + 1] = __nv_cvt_float_to_fp6(b, format, cudaRoundNearest);
  }
  static float value(const std::uint8_t* row, std::int64_t i) {
    return __half2float(__half(__nv_cvt_fp6_to_halfraw(row[i], format)));
  }
};
template <__nv_fp8_interpretation_t format>
struct Fp8 {
  static std::int64_t bytes(std::int64_t cols) { return cols; }
  static void pair(std::uint8_t* row, std::int64_t i, float a, float b) {
    row[i] = __nv_cvt_float_to_fp8(a, __NV_SATFINITE, format);
    row[i + 1] = __nv_cvt_float_to_fp8(b, __NV_SATFINITE, format);
  }
  static float value(const std::uint8_t* row, std::int64_t i) {
    return __half2float(__half(__nv_cvt_fp8_to_halfraw(row[i], format)));
  }
};
using E2m3 = Fp6<__NV_E2M3>;
using E3m2 = Fp6<__NV_E3M2>;
using E4m3 = Fp8<__NV_E4M3>;
using E5m2 = Fp8<__NV_E5M2>;

// The largest and the second largest value of an element format, and the scale factor before its
// rounding of 4over6's second candidate.
template <int max_numerator, int next_numerator, int denominator = 1>
struct Top {
  static constexpr float max = static_cast<float>(max_numerator) / denominator;
  static float second(float amax, float encode) {
    return amax / (static_cast<float>(next_numerator) / denominator) * encode;
  }
};
struct TopE2m1 {
  static constexpr float max = 6;
  static float second(float amax, float encode) { return amax / 6 * encode * 1.5F; }
};
using TopE2m3 = Top<15, 14, 2>;
using TopE3m2 = Top<28, 24>;
using TopE4m3 = Top<448, 416>;
using TopE5m2 = Top<57344, 49152>;
using TopInt4 = Top<7, 6>;

// Rules: tensor(amax, call), block(amax, call, number of the block), element(x).

template <int num, int den, cudaRoundMode mode>
struct Power {  // E8M0 of amax / (num / den)
  float reciprocal;
  static constexpr bool has_tensor = false;
  void block(float amax, BlockCall& call, std::int64_t b) {
    constexpr float divisor = static_cast<float>(num) / den;
    set(call, b, __nv_cvt_float_to_e8m0(amax / divisor, __NV_SATFINITE, mode));
  }
  void set(BlockCall& call, std::int64_t b, std::uint8_t code) {
    call.scales[b] = code;
    // 2^(127 - code): dividing by a power of two is multiplying by its exact reciprocal.
    reciprocal = __builtin_bit_cast(float, static_cast<std::uint32_t>(254 - code) << 23);
  }
  float element(float x) const { return x * reciprocal; }
};
template <int num, int den = 1>
using Down = Power<num, den, cudaRoundZero>;
template <int num, int den = 1>
using Up = Power<num, den, cudaRoundPosInf>;

struct ThreeQuarters : Down<4> {
  float element(float x) const { return x * (0.75F * reciprocal); }
};
struct DeepseekV4 : Up<6> {
  void block(float amax, BlockCall& call, std::int64_t b) {
    const float most = fmaxf(amax, 6 * 0x1p-126F) * (1.0F / 6);
    set(call, b, __nv_cvt_float_to_e8m0(most, __NV_SATFINITE, cudaRoundPosInf));
  }
};
struct Fp8DeepseekV4 : Up<448> {
  void block(float amax, BlockCall& call, std::int64_t b) {
    Up<448>::block(fmaxf(amax, 1e-4F), call, b);
  }
};

struct DivideByFloat {
  float scale;
  static constexpr bool has_tensor = false;
  void set(BlockCall& call, std::int64_t b, float s) {
    scale = s;
    memcpy(call.scales + 4 * b, &s, 4);
  }
  float element(float x) const { return x / scale; }
};
template <class T>
struct OverTop : DivideByFloat {
  void block(float amax, BlockCall& call, std::int64_t b) { set(call, b, amax / T::max); }
};
template <class T>
struct OverTopBf16 : DivideByFloat {
  void block(float amax, BlockCall& call, std::int64_t b) {
    const __nv_bfloat16 s = __float2bfloat16_rn(amax / T::max);
    memcpy(call.scales + 2 * b, &s, 2);
    scale = __bfloat162float(s);
  }
};
struct Given : DivideByFloat {
  void block(float, BlockCall& call, std::int64_t b) { set(call, b, call.given[b]); }
};

// NVFP4: what the tensor and block phases compute, and whether elements are multiplied.
struct Single {
  float scale;
  static constexpr bool has_tensor = false;
  void block(float amax, BlockCall& call, std::int64_t b) { set(call, b, amax / 6); }
  void set(BlockCall& call, std::int64_t b, float s) {
    call.scales[b] = encode_e4m3(s);
    scale = decode_e4m3(call.scales[b]);
  }
  float element(float x) const { return x / scale; }
};
struct SingleMultiply : Single {
  void block(float amax, BlockCall& call, std::int64_t b) { set(call, b, amax * (1.0F / 6)); }
};
struct Nvfp4 {
  float g, encode, factor;
  static constexpr bool has_tensor = true;
  void divide_tensor(float amax, BlockCall& call) {
    call.tensor_scale = g = amax / 2688;
    encode = 1 / g;
  }
  void encode_tensor(float amax, BlockCall& call, float top) {
    encode = top / amax;
    call.tensor_scale = g = 1 / encode;
  }
  float stored(BlockCall& call, std::int64_t b, float s) {
    call.scales[b] = encode_e4m3(s);
    return decode_e4m3(call.scales[b]);
  }
};
struct Divides : Nvfp4 {
  void tensor(float amax, BlockCall& call) { divide_tensor(amax, call); }
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = stored(call, b, amax / 6 / g) * g;
  }
  float element(float x) const { return x / factor; }
};
template <class T>
struct RoundsUp : Divides {
  void tensor(float amax, BlockCall& call) { call.tensor_scale = g = amax / (448 * T::max); }
  void block(float amax, BlockCall& call, std::int64_t b) {
    const float exact = amax / T::max / g;
    float s = stored(call, b, exact);
    if (s < exact && s < 448) s = decode_e4m3(++call.scales[b]);
    factor = s * g;
  }
};
struct Modelopt : Divides {
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = stored(call, b, amax / (6 * g)) * g;
  }
};
struct ModeloptClamp : Divides {
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = stored(call, b, fmaxf(amax / (6 * g), 0x1p-9F)) * g;
  }
};
struct SixteenSeventeenths : Divides {
  void tensor(float amax, BlockCall& call) { call.tensor_scale = g = amax / (43008.0F / 17); }
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = stored(call, b, amax / (96.0F / 17) / g) * g;
  }
};
struct Compressed : Divides {
  void tensor(float amax, BlockCall& call) { encode_tensor(amax, call, 2688); }
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = stored(call, b, amax / 6 * encode) / encode;
  }
};
struct Multiplies : Nvfp4 {
  float element(float x) const { return x * factor; }
};
struct Reciprocal : Multiplies {
  void tensor(float amax, BlockCall& call) { divide_tensor(amax, call); }
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = 1 / (stored(call, b, amax / 6 / g) * g);
  }
};
struct Torchao : Reciprocal {
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = encode / stored(call, b, fmaxf(amax / 6 / g, 0x1p-6F));
  }
};
struct Te : Multiplies {
  float sixth;
  void tensor(float amax, BlockCall& call) {
    encode_tensor(amax, call, 2688);
    sixth = encode * (1.0F / 6);
  }
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = 1 / (stored(call, b, amax * sixth) * g);
  }
};
template <class T>
struct Paper : Multiplies {
  void tensor(float amax, BlockCall& call) { encode_tensor(amax, call, 448 * T::max); }
  void block(float amax, BlockCall& call, std::int64_t b) {
    factor = 1 / (stored(call, b, amax / T::max * encode) * g);
  }
};

}  // namespace
}  // namespace assay::tools::cuda_baseline
