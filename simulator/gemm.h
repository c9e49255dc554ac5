// SPDX-License-Identifier: Apache-2.0
#pragma once
// The bits that a GEMM kernel with a given reduction plan gives, on any machine:
//
//   std::vector<std::uint32_t> d = gemm(plan, {.m = m, .n = n, .k = k, .a = a, .b = b}, threads);

#include <cstdint>
#include <span>
#include <vector>

#include "simulator/gemm_plan.h"

namespace assay::simulator {

/// D[m, n] = epilogue(sum_k A[m, k] B[n, k]). Row-major codes of the plan's formats, TF32 as FP32
/// words; absent operands are empty spans.
struct GemmOperands {
  std::int64_t m = 0, n = 0, k = 0;
  std::span<const std::uint32_t> a, b;                        ///< m x k and n x k
  std::span<const std::uint32_t> scale_a = {}, scale_b = {};  ///< m (n) x k / scale_block
  std::span<const std::uint32_t> c = {};                      ///< m x n
  std::span<const std::uint32_t> bias = {};                   ///< n
  float alpha = 1, beta = 1;                                  ///< beta is used with C only
  float tensor_scale_a = 1, tensor_scale_b = 1, tensor_scale_d = 1;
};

/// m x n codes of plan.output. Without C, or where beta is 0, the epilogue leaves C out, as BLAS
/// has it; without a bias it leaves that out. A NaN is positive with all bits of exponent and
/// mantissa set (E2M1 and its like: +max). The bits do not depend on `threads`. Throws
/// std::invalid_argument for operands that do not fit the plan or each other.
[[nodiscard]] std::vector<std::uint32_t> gemm(const GemmPlan& plan, const GemmOperands& operands,
                                              int threads = 1);

/// The epilogue and the conversion of one accumulator value, as gemm() applies them at `at` = row *
/// n + column.
[[nodiscard]] std::uint32_t finish(const GemmPlan& plan, const GemmOperands& operands,
                                   std::int64_t at, float accumulator);

}  // namespace assay::simulator
