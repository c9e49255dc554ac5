// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launcher of the W4A16 GEMM. All pointers are device memory.

#include <cstdint>

namespace assay::kernels::cuda {

/// D[m,n] = alpha * g * sum_k A[m,k] B[n,k] + beta C[m,n] + bias[n]: A is m x k bf16, B is n x k
/// NVFP4 (codes low nibble first, UE4M3 scales per 16, row-major; g is its tensor scale), C, D
/// FP32. k must be a multiple of 16; m and n are free. c may be null for beta == 0, bias may be
/// null.
struct GemmW4a16 {
  const std::uint16_t* a;
  const std::uint8_t* b_codes;
  const std::uint8_t* b_scales;
  std::int64_t m, n, k;
  float alpha, tensor_scale, beta;
  const float* c;
  const float* bias;
  float* d;
};
void gemm_w4a16(const GemmW4a16& problem);

}  // namespace assay::kernels::cuda
