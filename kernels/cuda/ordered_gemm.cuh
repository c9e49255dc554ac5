// SPDX-License-Identifier: Apache-2.0
#pragma once
// The bit-exact reference on the GPU: FP32 on the CUDA cores in one fixed order.

#include <cstdint>

#include "kernels/cuda/mutant.h"

namespace assay::kernels::cuda {

/// A matrix operand read through strides, so that one kernel serves all three products of a step.
struct StridedMatrix {
  const float* data;
  std::int64_t row_stride, inner_stride;
};

/// golden/fp32_order.h: acc(i,j) = sum over l ascending of FP32(a(i,l) b(j,l)), one FP32
/// accumulator from +0, no fused multiply-add; d = FP32(acc * scale), with c FP32(d + FP32(beta
/// c)), with a bias FP32(d + bias[j]). c and bias may be null.
struct OrderedGemm {
  StridedMatrix a, b;
  std::int64_t rows, cols, inner;
  float* out;  ///< rows x cols, row-major
  float scale = 1.0F;
  float beta = 0.0F;
  const float* c = nullptr;
  const float* bias = nullptr;
};
/// To its end.
void ordered_gemm(const OrderedGemm& p, Mutant mutant = Mutant::none);

}  // namespace assay::kernels::cuda
