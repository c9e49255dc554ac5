// SPDX-License-Identifier: Apache-2.0
// NVFP4 quantizer: tensor amax, then one thread per block of 16. Compiled with --fmad=false and
// IEEE division: every FP32 operation below rounds once, as the operation order says. The
// conversions are CUDA's own (cuda_fp4.h, cuda_fp8.h): software on sm_90a, the cvt instructions on
// sm_100a and sm_120a.
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include <cfloat>

#include "kernels/cuda/check.h"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kBlock = 16;
constexpr int kThreads = 256;

// Non-negative floats order like their bits, so the reduction is exact and order-independent.
__global__ void finite_amax(const float* x, std::int64_t count, unsigned* amax_bits) {
  unsigned largest = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const unsigned bits = __float_as_uint(x[i]) & 0x7FFFFFFFU;
    if (bits < 0x7F800000U) largest = max(largest, bits);
  }
  largest = __reduce_max_sync(0xFFFFFFFFU, largest);
  if (threadIdx.x % 32 == 0) atomicMax(amax_bits, largest);
}

struct TensorFactors {
  float encode_sixth;  // S_enc * (1/6)
  float decode;        // 1 / S_enc
};

__device__ TensorFactors tensor_factors(unsigned amax_bits) {
  const float amax = __uint_as_float(amax_bits);
  float encode = fminf(2688.0F / amax, FLT_MAX);
  if (amax == 0.0F || encode == 0.0F) encode = 1.0F;
  return {encode * (1.0F / 6.0F), 1.0F / encode};
}

__global__ void quantize_blocks(const float* x, std::int64_t rows, std::int64_t cols,
                                ScaleIndex index, const unsigned* amax_bits, std::uint8_t* codes,
                                std::uint8_t* scales, float* tensor_scale) {
  const std::int64_t id = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  const TensorFactors tensor = tensor_factors(*amax_bits);
  if (id == 0) *tensor_scale = tensor.decode;
  if (id >= rows * index.blocks_per_row) return;
  const std::int64_t row = id / index.blocks_per_row;
  const std::int64_t block = id % index.blocks_per_row;
  const int width = static_cast<int>(min(std::int64_t{kBlock}, cols - block * kBlock));

  float value[kBlock];
  unsigned amax = 0;
  bool poisoned = false;
#pragma unroll
  for (int i = 0; i < kBlock; ++i) {
    value[i] = i < width ? x[row * cols + block * kBlock + i] : 0.0F;
    const unsigned bits = __float_as_uint(value[i]) & 0x7FFFFFFFU;
    poisoned |= bits >= 0x7F800000U;
    amax = max(amax, bits);
  }
  std::uint8_t scale = 0x7F;  // a block with NaN or Inf stores the NaN scale and codes 0
  float multiplier = 0.0F;
  if (!poisoned) {
    const float target = fminf(__uint_as_float(amax) * tensor.encode_sixth, FLT_MAX);
    scale = __nv_cvt_float_to_fp8(target, __NV_SATFINITE, __NV_E4M3);
    multiplier = fminf(1.0F / (decode_ue4m3(scale) * tensor.decode), FLT_MAX);
  }
  scales[index(row, block)] = scale;

  std::uint8_t* out = codes + row * ((cols + 1) / 2) + block * (kBlock / 2);
#pragma unroll
  for (int i = 0; i < kBlock; i += 2) {
    if (i >= width) break;
    const float2 scaled = poisoned ? make_float2(0.0F, 0.0F)
                                   : make_float2(value[i] * multiplier, value[i + 1] * multiplier);
    std::uint8_t pair = __nv_cvt_float2_to_fp4x2(scaled, __NV_E2M1, cudaRoundNearest);
    if (i + 1 >= width) pair &= 0x0FU;  // the unused nibble of an odd row is zero
    out[i / 2] = pair;
  }
}

__global__ void dequantize_elements(const std::uint8_t* codes, const std::uint8_t* scales,
                                    const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                                    ScaleIndex index, float* out) {
  const std::int64_t id = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (id >= rows * cols) return;
  const std::int64_t row = id / cols;
  const std::int64_t col = id % cols;
  const int code = codes[row * ((cols + 1) / 2) + col / 2] >> (col % 2 * 4) & 15;
  out[id] = decode_e2m1(code) * decode_ue4m3(scales[index(row, col / kBlock)]) * *tensor_scale;
}

unsigned grid(std::int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

}  // namespace

cudaError_t machine_code_present() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, quantize_blocks);
  (void)cudaGetLastError();  // a missing image must not stick to the next call
  return status;
}

void quantize_nvfp4(const float* x, std::int64_t rows, std::int64_t cols, ScaleIndex index,
                    std::uint8_t* codes, std::uint8_t* scales, float* tensor_scale) {
  DeviceBuffer<unsigned> amax(1);
  amax.fill(0);
  finite_amax<<<min(grid(rows * cols), 1024U), kThreads>>>(x, rows * cols, amax.data());
  check(cudaGetLastError(), "finite_amax");
  quantize_blocks<<<grid(rows * index.blocks_per_row), kThreads>>>(
      x, rows, cols, index, amax.data(), codes, scales, tensor_scale);
  check_kernel("quantize_nvfp4");
}

void dequantize_nvfp4(const std::uint8_t* codes, const std::uint8_t* scales,
                      const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                      ScaleIndex index, float* out) {
  dequantize_elements<<<grid(rows * cols), kThreads>>>(codes, scales, tensor_scale, rows, cols,
                                                       index, out);
  check_kernel("dequantize_nvfp4");
}

}  // namespace assay::kernels::cuda
