// SPDX-License-Identifier: Apache-2.0
#pragma once
// FP4 codes to bf16 pairs in registers, exactly. A nibble s e e m, put into a bf16 with s at the
// sign and e e m at the lowest two exponent bits and the highest fraction bit, is the E2M1 value
// times 2^-126, subnormals included: both formats count in the same steps there. What remains is a
// multiplication by a power of two and by the scale factor, each exact in bf16.

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda/gemm_w4a16.cuh"

namespace assay::kernels::cuda {

__device__ inline std::uint32_t multiply_bf16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t d;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

/// From a byte with a code in its high nibble, at bytes 0 and 1, and another at bytes 2 and 3: the
/// sign is in place, the magnitude goes up by two. Left shifts and few logical operations: those
/// run at half the rate of multiplications, and a left shift may be one.
__device__ inline std::uint32_t spread_pair(std::uint32_t x) {
  return (x & 0x80008000U) | (x << 2 & 0x01C001C0U);
}

/// Eight codes, the first in the lowest nibble, to four pairs in ascending order, times 2^-126.
__device__ inline void spread_fp4(std::uint32_t codes, std::uint32_t (&pairs)[4]) {
  const std::uint32_t shifted = codes << 4;
#pragma unroll
  for (int i = 0; i < 4; ++i)  // byte i of `shifted` has the even code on top, of `codes` the odd
    pairs[i] = spread_pair(__byte_perm(shifted, codes, 0x4400U + 0x1111U * i));
}

/// Scale factors packed into a word, as bf16 pairs, both halves alike. The sign of UE4M3 is
/// ignored; its 0x7F and 0xFF of E8M0 are NaN. What is rare has a branch of its own.
template <Fp4Weights format, int count>
__device__ inline void scale_pairs(std::uint32_t word, std::uint32_t (&scale)[count]) {
  constexpr std::uint32_t used = count == 4 ? 0xFFFFFFFFU : 0xFFFFU;
  if constexpr (format == Fp4Weights::nvfp4) {
    // Exponent and fraction, four bits up, are a bf16 of the value times 2^-120.
    const std::uint32_t magnitudes = word & 0x7F7F7F7FU;
#pragma unroll
    for (int i = 0; i < count; ++i)
      scale[i] =
          multiply_bf16x2(__byte_perm(magnitudes, 0, 0x4040U + 0x0101U * i) << 4, 0x7B807B80U);
    if (((magnitudes + 0x01010101U) & 0x80808080U) != 0)
#pragma unroll
      for (int i = 0; i < count; ++i)
        if ((magnitudes >> 8 * i & 0xFFU) == 0x7FU) scale[i] = 0x7FC07FC0U;
  } else {
#pragma unroll
    for (int i = 0; i < count; ++i)  // the exponent field alone
      scale[i] = __byte_perm(word, 0, 0x4040U + 0x0101U * i) << 7;
    // A byte 0x00 or 0xFF: then adding 0x01 and dropping the carry leaves at most 0x01.
    const std::uint32_t next = (word & 0x7F7F7F7FU) + 0x01010101U ^ (word & 0x80808080U);
    if (((next - 0x02020202U) & ~next & 0x80808080U & used) != 0)
#pragma unroll
      for (int i = 0; i < count; ++i) {
        const std::uint32_t code = word >> 8 * i & 0xFFU;
        if (code == 0) scale[i] = 0x00400040U;  // 2^-127, subnormal in bf16
        if (code == 0xFFU) scale[i] = 0x7FC07FC0U;
      }
  }
}

/// E2M1 * scale from a pair: 2^126 first, so that nothing is lost on the way.
__device__ inline std::uint32_t scale_fp4(std::uint32_t pair, std::uint32_t scale) {
  return multiply_bf16x2(multiply_bf16x2(pair, 0x7E807E80U), scale);
}

/// The epilogue of one element, in FP32, rounded per operation. `sum` is the accumulator's.
__device__ inline void store_w4a16(const GemmW4a16& p, float factor, std::int64_t row,
                                   std::int64_t col, float sum) {
  float result = factor * sum;
  if (p.c != nullptr) result += p.beta * p.c[row * p.n + col];
  if (p.bias != nullptr) result += p.bias[col];
  if (p.d_bf16 != nullptr)
    p.d_bf16[row * p.n + col] = __bfloat16_as_ushort(__float2bfloat16_rn(result));
  else
    p.d[row * p.n + col] = result;
}

}  // namespace assay::kernels::cuda
