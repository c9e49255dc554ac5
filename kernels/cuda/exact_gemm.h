// SPDX-License-Identifier: Apache-2.0
#pragma once
// The exact GEMM of block-scaled operands on the GPU: D[m,n] = the exact sum over k of A[m,k]
// B[n,k], rounded once to the nearest FP32. Equal to golden/exact_gemm.h by comparison in `assay
// bench golden --device`; it shares nothing with it.

#include <cstdint>
#include <string>
#include <vector>

#include "formats/tensor.h"

namespace assay::kernels::cuda {

struct ExactGemmRun {
  std::vector<std::uint32_t> d;   ///< FP32 codes, m x n
  double seconds = 0;             ///< median, from codes to D in device memory
  int planes = 0;                 ///< of int8 digits; 0: none, everything in wide sums
  std::int64_t wide_outputs = 0;  ///< of rows or columns that the digits do not hold
};

/// a is m x k, b is n x k, row-major, elements of at most 8 bits, scale factors in 8 bits, BF16 or
/// FP32. `digits` false: wide sums alone. Throws std::invalid_argument for other tensors,
/// std::runtime_error where a CUDA call fails.
[[nodiscard]] ExactGemmRun exact_gemm(const formats::BlockScaledTensor& a,
                                      const formats::BlockScaledTensor& b, int repeats,
                                      bool digits = true);

struct ExactCheck {
  std::int64_t outputs = 0, wrong = 0;
  std::int64_t first_wrong = -1;  ///< row * n + column
  double worst = 0;               ///< largest error / what is allowed, of those that are not wrong
};

/// Holds a product in device memory against the exact one, on the device: neither matrix moves. d
/// is m x n FP32; allowed is |d - exact| <= roundings 2^-24 sum |a b|, with an ulp of the exact
/// number to spare. Scale factors are unsigned formats.
///
/// The exact sums D and those of the magnitudes S come from exact_gemm, each rounded once: D* is
/// within 2^-24 |D*| of D, and S <= S* (1 + 2^-23). So |d - D| <= roundings 2^-24 S implies
/// |d - D*| <= roundings 2^-24 (1 + 2^-23) S* + 2^-24 |D*|, which is what is tested (in FP64): a
/// right product is never found wrong, and what passes is within that of the exact one.
[[nodiscard]] ExactCheck exact_gemm_check(const formats::BlockScaledTensor& a,
                                          const formats::BlockScaledTensor& b, const float* d,
                                          double roundings);

/// Makes `device` the current one and names it; empty where there is none, with `reason`. Digits
/// need compute capability 9.0 (`has_digits`).
[[nodiscard]] std::string exact_gemm_gpu(int device, bool& has_digits, std::string& reason);

/// Median seconds of cuBLAS's FP64 GEMM of that shape on numbers drawn uniformly from -1..1; 0 with
/// a `reason` where its library is not found when it is opened.
[[nodiscard]] double cublas_fp64_seconds(std::int64_t m, std::int64_t n, std::int64_t k,
                                         int repeats, std::string& reason);

}  // namespace assay::kernels::cuda
