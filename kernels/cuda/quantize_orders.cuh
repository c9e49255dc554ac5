// SPDX-License-Identifier: Apache-2.0
#pragma once
// What each operation order (formats/orders.h) makes of a block: the stored scale factor, and the
// codes of its elements. Host code too, so that tests hold it against golden without a GPU. Compile
// without contraction: every FP32 operation rounds once, as the order says.

#include <cfloat>
#include <cstdint>

#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

/// Nearest UE4M3 code, ties to even, saturating at 448. x is not negative and not NaN.
ASSAY_HOST_DEVICE inline std::uint8_t encode_ue4m3(float x) {
#ifdef __CUDA_ARCH__
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
#else
  if (x >= 448.0F) return 0x7E;
  // Below the smallest normal 2^-6 codes are multiples of 2^-9, as FP32 is between 2^14 and 2^15.
  if (x < 0x1p-6F) return static_cast<std::uint8_t>(bits_of(x + 0x1p14F) - bits_of(0x1p14F));
  const std::uint32_t bits = bits_of(x);
  return static_cast<std::uint8_t>((bits + 0x7FFFFU + (bits >> 20 & 1U)) >> 20) -
         static_cast<std::uint8_t>(120U << 3);
#endif
}

/// A block's stored scale code, the factor that its elements meet, and for quotients a bit more.
struct BlockFactors {
  std::uint8_t code;
  float factor;
  float reciprocal = 0.0F;  ///< FP32(1 / factor) where quotients may be computed from it, else 0
};

/// Orders whose elements are multiplied.
struct MultiplyElements {
  /// The value of x's nearest code.
  static ASSAY_HOST_DEVICE float rounded(float x, const BlockFactors& f) {
    const float product = x * f.factor;
    return round_e2m1(product, product);
  }
  static ASSAY_HOST_DEVICE float scaled(float x, const BlockFactors& f) { return x * f.factor; }
  static ASSAY_HOST_DEVICE std::uint32_t encode8(const float (&x)[8], const BlockFactors& f) {
    float product[8];
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < 8; ++i) product[i] = x[i] * f.factor;
    return encode_e2m1(product);
  }
};

/// Orders whose elements are divided, zero where the divisor is.
///
/// A division costs more than the rest of the element. q = FP32(x r), r = FP32(1/factor), is within
/// two ulps of x/factor; one step of Newton, FP32(q + r FP32(x - q factor)), gives the FP32
/// quotient wherever that decides the code. Proof: before its rounding the step is within 2^-21 ulp
/// of the quotient (the errors of r and the remainder, 2^-24 of two ulps each), so only an x next
/// to a boundary could round the other way; those were tried for every significand of the factor
/// and every boundary, the ends of the intervals that round to a midpoint of E2M1: test
/// exhaustive.cuda_quotient. Scaling by powers of two changes nothing while nothing underflows or
/// overflows: `reciprocal_of` bounds the factor, the remainder is a multiple of 2^-24 |x| 2^-23
/// > 2^-149 wherever |x / factor| > 2^-3, and below that any error of a few ulps leaves the code 0.
/// The sign is that of x.
struct DivideElements {
  static ASSAY_HOST_DEVICE float reciprocal_of(float factor) {
    return factor >= 0x1p-90F && factor <= 0x1p90F ? 1.0F / factor : 0.0F;
  }
  static ASSAY_HOST_DEVICE float scaled(float x, const BlockFactors& f) {
    return f.factor == 0.0F ? 0.0F : x / f.factor;
  }
  static ASSAY_HOST_DEVICE float stepped(float x, const BlockFactors& f) {
    const float q = x * f.reciprocal;
    return fused(fused(-q, f.factor, x), f.reciprocal, q);
  }
  static ASSAY_HOST_DEVICE float rounded(float x, const BlockFactors& f) {
    const float quotient = f.reciprocal != 0.0F ? stepped(x, f) : scaled(x, f);
    return round_e2m1(quotient, f.reciprocal != 0.0F ? x : quotient);
  }
  static ASSAY_HOST_DEVICE std::uint32_t encode8(const float (&x)[8], const BlockFactors& f) {
    std::uint32_t high[8];
    if (f.reciprocal != 0.0F) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
      for (int i = 0; i < 8; ++i) high[i] = encode_e2m1_high(stepped(x[i], f), x[i]);
    } else {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
      for (int i = 0; i < 8; ++i) high[i] = encode_e2m1_high(scaled(x[i], f));
    }
    return pack_codes(high);
  }
};

/// NVFP4 orders have blocks of 16, UE4M3 scale factors and a tensor scale, whose FP32 decode factor
/// is `decode`; the others blocks of 32, E8M0 and none. Each has factors(amax), of a block to be
/// quantized, and factors_of(scale, decode), the same from what is stored.
struct NvFp4Block {
  static constexpr int block = 16;
  static ASSAY_HOST_DEVICE float decode_scale(std::uint8_t code) { return decode_ue4m3(code); }
  static constexpr std::uint8_t nan_scale = 0x7F;
  static constexpr bool has_tensor_scale = true;
};
/// min(top / amax, FLT_MAX), 1 where amax or that is 0.
ASSAY_HOST_DEVICE inline float encode_scale(float top, float amax) {
  const float encode = fminf(top / amax, FLT_MAX);
  return amax == 0.0F || encode == 0.0F ? 1.0F : encode;
}

struct NvFp4Te : NvFp4Block, MultiplyElements {
  float encode_sixth, decode;  // S_enc * (1/6) and 1 / S_enc
  ASSAY_HOST_DEVICE explicit NvFp4Te(float amax) {
    const float encode = encode_scale(2688.0F, amax);
    encode_sixth = encode * (1.0F / 6.0F);
    decode = 1.0F / encode;
  }
  ASSAY_HOST_DEVICE BlockFactors factors(float amax) const {
    const std::uint8_t code = encode_ue4m3(fminf(amax * encode_sixth, FLT_MAX));
    return {code, factors_of(decode_ue4m3(code), decode).factor};
  }
  static ASSAY_HOST_DEVICE BlockFactors factors_of(float scale, float decode) {
    return {0, fminf(1.0F / (scale * decode), FLT_MAX)};
  }
};
struct NvFp4Divide : NvFp4Block, DivideElements {
  float decode;
  ASSAY_HOST_DEVICE explicit NvFp4Divide(float amax) {
    decode = amax / 2688.0F;
    if (decode == 0.0F) decode = 1.0F;
  }
  ASSAY_HOST_DEVICE BlockFactors factors(float amax) const {
    const std::uint8_t code = encode_ue4m3(amax / 6.0F / decode);
    BlockFactors f = factors_of(decode_ue4m3(code), decode);
    f.code = code;
    return f;
  }
  static ASSAY_HOST_DEVICE BlockFactors factors_of(float scale, float decode) {
    const float factor = scale * decode;
    return {0, factor, reciprocal_of(factor)};
  }
};

/// What the codes of a block miss, as formats/tensor.h has it (ErrorMeasure).
enum class Missed : int { squared, absolute, largest };

/// Four Over Six: the block is quantized with amax to 6 and with amax to 4, and keeps what misses
/// less; amax to 6 among equals.
template <Missed measure>
struct NvFp4FourOverSix : NvFp4Block, MultiplyElements {
  float encode, decode;
  ASSAY_HOST_DEVICE explicit NvFp4FourOverSix(float amax)
      : encode(encode_scale(1536.0F, amax)), decode(1.0F / encode) {}
  ASSAY_HOST_DEVICE BlockFactors factors(float amax, bool four) const {
    float target = amax / 6.0F * encode;
    if (four) target *= 1.5F;
    const std::uint8_t code = encode_ue4m3(fminf(target, FLT_MAX));
    return {code, fminf(1.0F / (decode_ue4m3(code) * decode), FLT_MAX)};
  }
  /// Past the end of a row elements are 0, which miss nothing.
  ASSAY_HOST_DEVICE float missed(const float (&x)[16], const BlockFactors& f) const {
    const float scale = decode_ue4m3(f.code);
    float sum = 0.0F;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < 16; ++i) {
      const float e = fabsf(rounded(x[i], f) * scale * decode - x[i]);
      if constexpr (measure == Missed::squared) sum += e * e;
      if constexpr (measure == Missed::absolute) sum += e;
      if constexpr (measure == Missed::largest) sum = e > sum ? e : sum;
    }
    return sum;
  }
  ASSAY_HOST_DEVICE BlockFactors chosen(const float (&x)[16], float amax) const {
    const BlockFactors six = factors(amax, false);
    const BlockFactors four = factors(amax, true);
    return missed(x, four) < missed(x, six) ? four : six;
  }
};
/// The same interface for an order without a choice.
struct NvFp4TeWide : NvFp4Te {
  using NvFp4Te::NvFp4Te;
  ASSAY_HOST_DEVICE BlockFactors chosen(const float (&)[16], float amax) const {
    return factors(amax);
  }
};

/// The randomized Hadamard transform of 16 elements (golden/hadamard.h), y = H D x / 4: signs
/// first (bit i of `negative`), then the butterfly of neighbours at distances 1, 2, 4, 8, each sum
/// rounded to FP32. For bf16 x whose exponents lie within 12 of each other nothing is rounded: 8
/// bits of significand and 4 of carries leave 12 of the 24.
ASSAY_HOST_DEVICE inline void hadamard16(float (&x)[16], unsigned negative) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < 16; ++i) x[i] = float_of(bits_of(x[i]) ^ (negative >> i & 1U) << 31);
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int distance = 1; distance < 16; distance *= 2) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < 16; ++i) {
      if ((i & distance) != 0) continue;
      const float low = x[i];
      const float high = x[i + distance];
      x[i] = low + high;
      x[i + distance] = low - high;
    }
  }
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < 16; ++i) x[i] *= 0.25F;
}

struct PowerOfTwoBlock : MultiplyElements {
  static constexpr int block = 32;
  static constexpr std::uint8_t nan_scale = 0xFF;
  static constexpr bool has_tensor_scale = false;
  static constexpr float decode = 1.0F;
  static ASSAY_HOST_DEVICE float decode_scale(std::uint8_t code) { return decode_e8m0(code); }
  static ASSAY_HOST_DEVICE BlockFactors factors_of(float scale, float) { return {0, 1.0F / scale}; }
  static ASSAY_HOST_DEVICE BlockFactors of(int exponent) {
    const int code = exponent > 0 ? exponent : 0;
    // 2^(127 - code), normal since code <= 253; the product is exact unless it is subnormal, and
    // then it rounds to the same code, a zero, either way.
    return {static_cast<std::uint8_t>(code), float_of(static_cast<unsigned>(254 - code) << 23)};
  }
};
/// amax = 2^k m, 1 <= m < 2: 2^(k - 2).
struct MxFp4Floor : PowerOfTwoBlock {
  ASSAY_HOST_DEVICE explicit MxFp4Floor(float) {}
  static ASSAY_HOST_DEVICE BlockFactors factors(float amax) {
    return of(static_cast<int>(bits_of(amax) >> 23) - 2);
  }
};
/// 2^ceil(log2(amax / 6)): 2^(k - 2) up to m = 1.5, 2^(k - 1) above.
struct MxFp4Rceil : PowerOfTwoBlock {
  ASSAY_HOST_DEVICE explicit MxFp4Rceil(float) {}
  static ASSAY_HOST_DEVICE BlockFactors factors(float amax) {
    const unsigned bits = bits_of(amax);
    return of(static_cast<int>(bits >> 23) - 2 + static_cast<int>((bits & 0x7FFFFFU) > 0x400000U));
  }
};
/// The FP32 product with FP32(1/6), its exponent rounded up.
struct DeepSeekV4 : PowerOfTwoBlock {
  ASSAY_HOST_DEVICE explicit DeepSeekV4(float) {}
  static ASSAY_HOST_DEVICE BlockFactors factors(float amax) {
    const float sixth = fmaxf(amax, 0x1.8p-124F) * (1.0F / 6.0F);
    return of(static_cast<int>((bits_of(sixth) + 0x7FFFFFU) >> 23));
  }
};

/// The scale factors are given (learned), in FP32; they may be zero or negative.
template <int Block>
struct Learned : DivideElements {
  static constexpr int block = Block;
  static constexpr bool has_tensor_scale = false;
  static constexpr float decode = 1.0F;
  static ASSAY_HOST_DEVICE BlockFactors factors_of(float scale, float) {
    return {0, scale, reciprocal_of(scale)};
  }
};

}  // namespace assay::kernels::cuda
