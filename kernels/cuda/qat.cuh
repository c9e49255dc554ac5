// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the QAT step's parts. All pointers are device memory, matrices row-major FP32.

#include <cstdint>

#include "kernels/device_under_test.h"

namespace assay::kernels::cuda {

/// A matrix operand read through strides, so that one kernel serves all three products of a step.
struct StridedMatrix {
  const float* data;
  std::int64_t row_stride, inner_stride;
};

/// out[i,j] = sum_l a(i,l) b(j,l) + bias[j]: l ascending, one FP32 accumulator starting at +0,
/// products rounded to FP32, no fused multiply-add; bias (may be null) added last. Deterministic.
void ordered_gemm(StridedMatrix a, StridedMatrix b, std::int64_t rows, std::int64_t cols,
                  std::int64_t inner, const float* bias, float* out);

/// Blocks of w that hold a NaN or an infinity get the scale NaN, in place: all of such a block
/// dequantizes to NaN (formats/tensor.h, BlockFormat).
void poison_scales(const float* w, std::int64_t rows, std::int64_t cols, int block, float* scales);

/// Fake quantization of weights with given FP32 scales, `block` elements along the row sharing one:
/// q = E2M1 code of FP32(w / s) rounded to nearest even, 0 where s is 0; out = FP32(q * s).
void fake_quantize_given(const float* w, const float* scales, std::int64_t rows, std::int64_t cols,
                         int block, float* out);

/// The decoded UE4M3 scale factors of a row-major NVFP4 tensor.
void decode_scales(const std::uint8_t* codes, std::int64_t count, float* scales);

/// Straight-through estimators (golden/qat.h), in place on dw, the gradient of the dequantized
/// weight. The element scale s is scales[row, block] * *tensor_scale (tensor_scale may be null: 1).
/// clip_mask keeps |w| <= 6 s, the boundary inside, compared exactly; identity and lsq as golden
/// says. For lsq also dscale[row, block] = sum over the block, ascending, of dw * (q4(u) - u)
/// inside the range and dw * +-6 outside, times 1/sqrt(6 N), N the number of elements in the block.
void estimate(Estimator estimator, const float* w, const float* scales, const float* tensor_scale,
              std::int64_t rows, std::int64_t cols, int block, float* dw, float* dscale);

/// dbias[j] = sum_i dy[i,j], i ascending.
void column_sums(const float* dy, std::int64_t rows, std::int64_t cols, float* dbias);

}  // namespace assay::kernels::cuda
