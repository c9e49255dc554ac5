// SPDX-License-Identifier: Apache-2.0
#pragma once
// Quantization as one step of a larger operation: of a transpose, and of a GEMM's operand.

#include <span>
#include <vector>

#include "golden/gemm_bounds.h"
#include "golden/quantize.h"

namespace assay::golden {

/// DQ(t): element * scale factor * tensor scale, one rounding to FP32 (nearest even, overflow to
/// Inf), row-major: what a kernel that dequantizes has in hand. This project's definition.
[[nodiscard]] std::vector<float> dequantize_to_fp32(const formats::BlockScaledTensor& t);

/// x is rows x cols, row-major; the result is cols x rows.
[[nodiscard]] std::vector<float> transpose(std::span<const float> x, std::int64_t rows,
                                           std::int64_t cols);

/// Q(X^T), from the source: x is rows x cols, the result cols x rows. Its blocks run along the rows
/// of X^T, so its scale factors are not those of Q(X). Throws what quantize throws.
[[nodiscard]] formats::BlockScaledTensor transpose_quantize(std::span<const float> x,
                                                            std::int64_t rows, std::int64_t cols,
                                                            const formats::BlockFormat& format,
                                                            const QuantizeOptions& options = {});
/// Q(DQ(t)^T), from the quantized tensor alone: rounds twice, and differs from Q(X^T).
[[nodiscard]] formats::BlockScaledTensor transpose_requantize(const formats::BlockScaledTensor& t,
                                                              const formats::BlockFormat& format,
                                                              const QuantizeOptions& options = {});

/// Fused quantize + GEMM: the GEMM of Q(a) and b, a being m x k FP32 and b n x k. The codes of Q(a)
/// are never seen, so they must be the claim's exactly: any other code is another product.
[[nodiscard]] GemmOracle quantize_gemm_oracle(std::span<const float> a, std::int64_t m,
                                              const formats::BlockFormat& a_format,
                                              const QuantizeOptions& options,
                                              const FactoredMatrix& b, const GemmEpilogue& epilogue,
                                              const AccumulatorModel& model);

}  // namespace assay::golden
