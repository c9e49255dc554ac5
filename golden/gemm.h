// SPDX-License-Identifier: Apache-2.0
#pragma once
// The exact answer of a GEMM: D[m,n] = alpha * sum_k A[m,k] B[n,k] + beta * C[m,n] + bias[n] over
// the exact values of the operands, without any rounding; then, if asked, one rounding to the
// output format.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"
#include "golden/codec.h"

namespace assay::golden {

/// A matrix of exact values, row-major.
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<Value> values;
};

[[nodiscard]] Matrix decode_matrix(const formats::BlockScaledTensor& tensor);
/// Codes of a plain format of at most 16 bits (bf16, fp16), row-major. Throws for a wrong size.
[[nodiscard]] Matrix decode_matrix(const FormatSpec& spec, std::span<const std::uint16_t> codes,
                                   std::int64_t rows, std::int64_t cols);
[[nodiscard]] Matrix decode_matrix(std::span<const float> values, std::int64_t rows,
                                   std::int64_t cols);
[[nodiscard]] Matrix transpose(const Matrix& a);

/// What follows the product. C is not read where beta is zero (the convention of the BLAS).
struct GemmEpilogue {
  float alpha = 1.0F;
  float beta = 0.0F;
  std::span<const float> c = {};     ///< m x n, row-major, or empty where beta is zero
  std::span<const float> bias = {};  ///< n, or empty
};

/// One element of the result.
struct GemmElement {
  Value exact;  ///< NaN and infinities by IEEE 754 (Inf - Inf and Inf * 0 are NaN); exact 0 is +0
  Value dot;    ///< sum_k A[m,k] B[n,k] alone, likewise
  Exact absolute_sum;  ///< sum_k |A[m,k] B[n,k]| over the finite products: what error bounds grow
                       ///< with
};

/// A is m x k and B is n x k; m x n elements, row-major. Throws std::invalid_argument for shapes
/// that do not fit together.
[[nodiscard]] std::vector<GemmElement> gemm(const Matrix& a, const Matrix& b,
                                            const GemmEpilogue& epilogue = {});

/// The codes of correctly rounded results.
[[nodiscard]] std::vector<std::uint32_t> round_to(const FormatSpec& output,
                                                  std::span<const GemmElement> elements,
                                                  RoundingMode mode, const Policy& policy);

}  // namespace assay::golden
