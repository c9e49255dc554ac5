// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the NVFP4 quantizer. All pointers are device memory.

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

/// NVFP4 in TransformerEngine's order (formats/presets.h, orders::nvfp4_te): x is rows x cols FP32,
/// row-major; codes rows x ceil(cols/2) bytes, low nibble first; scales UE4M3 by `index`;
/// *tensor_scale the FP32 decode factor. Blocks of 16 along the row, the last may be partial.
void quantize_nvfp4(const float* x, std::int64_t rows, std::int64_t cols, ScaleIndex index,
                    std::uint8_t* codes, std::uint8_t* scales, float* tensor_scale);

/// out = element * scale * tensor scale as FP32(FP32(element * scale) * tensor scale).
void dequantize_nvfp4(const std::uint8_t* codes, const std::uint8_t* scales,
                      const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                      ScaleIndex index, float* out);

/// cudaSuccess if this build carries code that the current device can run.
cudaError_t machine_code_present();

}  // namespace assay::kernels::cuda
