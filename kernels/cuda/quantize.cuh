// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the FP4 quantizers and dequantizers. All pointers are device memory.

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>

#include "kernels/cuda/mutant.h"

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
/// UE4M3 scales and a tensor scale, the others blocks of 32 and E8M0 scales. nvfp4_2d has blocks of
/// 16 x 16, nvfp4_4over6 chooses between two scale factors by what the block misses; these round to
/// nearest only.
enum class QuantizeOrder : int {
  nvfp4_te,
  nvfp4_divide,
  nvfp4_2d,
  nvfp4_4over6,
  nvfp4_4over6_mae,
  nvfp4_4over6_max,
  mxfp4_floor,
  mxfp4_rceil,
  deepseek_v4
};
[[nodiscard]] __host__ __device__ constexpr bool has_tensor_scale(QuantizeOrder order) {
  return order < QuantizeOrder::mxfp4_floor;
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
  int passes = 0;  ///< rows (times rows at a time) that a block of threads takes; 0: its own choice
};

/// The random words of stochastic rounding: word i is words[i], or without `words` that of
/// Philox4x32-10 under key `seed` (formats/philox.h); its top `bits`, 1 to 16, count.
struct RandomSource {
  const std::uint32_t* words = nullptr;
  std::int64_t count = 0;  ///< of words
  std::uint64_t seed = 0;
  int bits = 16;
};

/// *amax_bits from x. Launched without waiting.
void launch_amax(const QuantizeTask& task, cudaStream_t stream);
/// The rest, once *amax_bits is there. Launched without waiting.
void launch_quantize(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream);
void launch_quantize_stochastic(QuantizeOrder order, const QuantizeTask& task,
                                const RandomSource& random, cudaStream_t stream);
/// The codes and scale factors of the transpose, cols x rows: x is read once, and what `codes`,
/// `scales` and `index` describe is the transpose.
void launch_quantize_transposed(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream);
/// Blocks of 16 x 16 (`index` counts them along both axes), and those of Four Over Six.
void launch_quantize_2d(const QuantizeTask& task, cudaStream_t stream);
void launch_quantize_4over6(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream);
/// NVFP4 in TransformerEngine's order of the randomized Hadamard transform of every 16 elements of
/// a row (the columns are a multiple of 16): kernels/cuda/quantize_orders.cuh, hadamard16.
void launch_amax_hadamard(const QuantizeTask& task, unsigned negative, cudaStream_t stream);
void launch_quantize_hadamard(const QuantizeTask& task, unsigned negative, cudaStream_t stream);

/// Wrong in one way; FP32 from NVFP4 in TransformerEngine's order. False: not of this kernel.
bool launch_quantize_mutant(Mutant mutant, const QuantizeTask& task, cudaStream_t stream);
bool launch_quantize_stochastic_mutant(Mutant mutant, const QuantizeTask& task,
                                       const RandomSource& random, cudaStream_t stream);
bool launch_quantize_transposed_mutant(Mutant mutant, const QuantizeTask& task,
                                       cudaStream_t stream);

/// The pass for amax where the order has one, then `launch` (of the above), to their end.
void quantize_with(QuantizeOrder order, QuantizeTask task,
                   const std::function<void(const QuantizeTask&)>& launch);
/// Nearest rounding, to its end.
void quantize(QuantizeOrder order, const QuantizeTask& task);

/// out = element * scale * tensor scale as FP32(FP32(element * scale) * tensor scale); without a
/// tensor scale (null) E8M0 scales of 32 elements and one product. Launched without waiting, and to
/// its end.
void launch_dequantize(const std::uint8_t* codes, const std::uint8_t* scales,
                       const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                       ScaleIndex index, float* out, cudaStream_t stream);
void dequantize(const std::uint8_t* codes, const std::uint8_t* scales, const float* tensor_scale,
                std::int64_t rows, std::int64_t cols, ScaleIndex index, float* out);

/// Scale factors of one byte from row-major to 128x4, whose padding becomes 0, and back. Launched
/// without waiting, like what follows.
void launch_swizzle_scales(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                           std::uint8_t* to, cudaStream_t stream, Mutant mutant = Mutant::none);
void launch_unswizzle_scales(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                             std::uint8_t* to, cudaStream_t stream);
/// 4-bit codes, rows x cols, to cols x rows; rows start at a byte, an unused nibble is 0.
void launch_transpose_codes(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                            std::uint8_t* to, cudaStream_t stream, Mutant mutant = Mutant::none);

/// cudaSuccess if this build carries code that the current device can run.
cudaError_t machine_code_present();

}  // namespace assay::kernels::cuda
