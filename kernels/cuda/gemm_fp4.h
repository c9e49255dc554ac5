// SPDX-License-Identifier: Apache-2.0
#pragma once
// A product of two block-scaled FP4 matrices, and what both Blackwell kernels share of it: where a
// scale factor lies, and the epilogue. Host code too: tests run the kernels' index plans on the
// CPU.

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

enum class Fp4Kind : int {
  nvfp4,  ///< UE4M3 scale factors, one per 16 elements along k
  mxfp4,  ///< E8M0, one per 32
};
[[nodiscard]] ASSAY_HOST_DEVICE constexpr int fp4_block(Fp4Kind kind) {
  return kind == Fp4Kind::nvfp4 ? 16 : 32;
}
/// K of the instructions, and the scale factors of a row that one of them takes.
inline constexpr int fp4_instruction_k = 64;
[[nodiscard]] ASSAY_HOST_DEVICE constexpr int fp4_scales(Fp4Kind kind) {
  return fp4_instruction_k / fp4_block(kind);
}

/// D[m,n] = (alpha * ga) * gb * sum_k A[m,k] B[n,k] + beta * C[m,n] + bias[n]. A is m x k, B n x k:
/// codes low nibble first, rows of k/2 bytes; scale factors in the layout "128x4" with a padding of
/// zeros (formats/tensor.h). k is a multiple of 32, m and n are free. ga and gb are the tensor
/// scales (1 for MXFP4). c may be null for beta == 0, bias may be null. Pointers are device memory,
/// codes and scale factors aligned to 16 bytes.
struct GemmFp4 {
  const std::uint8_t *a_codes, *a_scales, *b_codes, *b_scales;
  std::int64_t m, n, k;
  float alpha, tensor_scale_a, tensor_scale_b, beta;
  const float *c, *bias;
  float* d;
};

/// "128x4" consists of blocks of 512 bytes: 128 rows by 4 scale factors. Row r of a block has its
/// four bytes at (r % 32) * 16 + r / 32 * 4.
inline constexpr int scale_block_rows = 128, scale_block_cols = 4, scale_block_bytes = 512;
[[nodiscard]] ASSAY_HOST_DEVICE constexpr int scale_word(int row) {
  return row % 32 * 16 + row / 32 * 4;
}
/// Blocks along k.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::int64_t scale_blocks(Fp4Kind kind, std::int64_t k) {
  const int width = scale_block_cols * fp4_block(kind);
  return (k + width - 1) / width;
}
/// Bytes of m rows.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::int64_t scale_bytes(Fp4Kind kind, std::int64_t m,
                                                                   std::int64_t k) {
  return (m + scale_block_rows - 1) / scale_block_rows * scale_blocks(kind, k) * scale_block_bytes;
}

/// The epilogue of one element, each operation rounded to FP32: the plan's multiply by alpha,
/// scale_a, scale_b, then add c, then add the bias (docs/gemm-plans.md).
ASSAY_HOST_DEVICE inline void store_fp4(const GemmFp4& p, std::int64_t row, std::int64_t col,
                                        float sum) {
  float result = sum * (p.alpha * p.tensor_scale_a * p.tensor_scale_b);
  if (p.c != nullptr && p.beta != 0.0F) {
    const float scaled = p.beta * p.c[row * p.n + col];
    result = result + scaled;
  }
  if (p.bias != nullptr) result = result + p.bias[col];
  p.d[row * p.n + col] = result;
}

}  // namespace assay::kernels::cuda
