// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the FP4 quantizers and dequantizers. All pointers are device memory.

#include <cuda_runtime.h>

#include <cstdint>

namespace assay::kernels::cuda {

/// Where the scale factor of block (row, block) is stored (formats/tensor.h, ScaleLayout).
struct ScaleIndex {
  std::int64_t blocks_per_row;
  bool swizzled;
  __host__ __device__ std::int64_t operator()(std::int64_t row, std::int64_t block) const {
    if (!swizzled) return row * blocks_per_row + block;
    const std::int64_t tiles = (blocks_per_row + 3) / 4;
    return (row / 128 * tiles + block / 4) * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4;
  }
};

/// The operation orders that are built in (formats/orders.h). The NVFP4 ones have blocks of 16,
/// UE4M3 scales and a tensor scale, the others blocks of 32 and E8M0 scales.
enum class QuantizeOrder : int { nvfp4_te, nvfp4_divide, mxfp4_floor, mxfp4_rceil, deepseek_v4 };
[[nodiscard]] __host__ __device__ constexpr bool has_tensor_scale(QuantizeOrder order) {
  return order <= QuantizeOrder::nvfp4_divide;
}
[[nodiscard]] __host__ __device__ constexpr int block_of(QuantizeOrder order) {
  return has_tensor_scale(order) ? 16 : 32;
}

/// x is rows x cols, row-major, FP32 or bf16; codes rows x ceil(cols/2) bytes, low nibble first;
/// blocks along the row, the last may be partial. Only NVFP4 has tensor_scale, the FP32 decode
/// factor, and amax_bits, one word: the bits of the largest finite magnitude.
struct QuantizeTask {
  const void* x;
  bool bf16;
  std::int64_t rows, cols;
  ScaleIndex index;
  std::uint8_t *codes, *scales;
  float* tensor_scale = nullptr;
  unsigned* amax_bits = nullptr;
};

/// *amax_bits from x. Launched without waiting.
void launch_amax(const QuantizeTask& task, cudaStream_t stream);
/// The rest, once *amax_bits is there. Launched without waiting.
void launch_quantize(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream);
/// Both, to their end; amax_bits is its own affair.
void quantize(QuantizeOrder order, QuantizeTask task);

/// out = element * scale * tensor scale as FP32(FP32(element * scale) * tensor scale); without a
/// tensor scale (null) E8M0 scales of 32 elements and one product.
void dequantize(const std::uint8_t* codes, const std::uint8_t* scales, const float* tensor_scale,
                std::int64_t rows, std::int64_t cols, ScaleIndex index, float* out);

/// cudaSuccess if this build carries code that the current device can run.
cudaError_t machine_code_present();

}  // namespace assay::kernels::cuda
