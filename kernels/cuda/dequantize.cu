// SPDX-License-Identifier: Apache-2.0
// The dequantizer: a thread has four codes of a row, which lie in one block, so
// that a warp writes 512 bytes side by side. Compiled with
// --fmad=false.
#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kCodes = 4;

struct DequantizeTask {
  const std::uint8_t *codes, *scales;
  const float* tensor_scale;
  std::int64_t rows, cols;
  ScaleIndex index;
  float* out;
};

template <bool mxfp4, bool whole>
__global__ void __launch_bounds__(kThreads) dequantize_kernel(DequantizeTask t) {
  const std::int64_t first = (blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x) * kCodes;
  if (first >= t.cols) return;
  const float tensor_scale = mxfp4 ? 1.0F : *t.tensor_scale;
  const std::int64_t row_bytes = (t.cols + 1) / 2;
  const std::int64_t stride = std::int64_t{gridDim.y} * blockDim.y;
#pragma unroll 4
  for (std::int64_t row = std::int64_t{blockIdx.y} * blockDim.y + threadIdx.y; row < t.rows;
       row += stride) {
    const std::uint8_t* from = t.codes + row * row_bytes + first / 2;
    std::uint32_t codes = 0;
    if constexpr (whole) {
      codes = *reinterpret_cast<const std::uint16_t*>(from);
    } else {
      for (int byte = 0; byte < kCodes / 2; ++byte)
        if (first + 2 * byte < t.cols) codes |= std::uint32_t{from[byte]} << 8 * byte;
    }
    const std::uint8_t stored = t.scales[t.index(row, first / (mxfp4 ? 32 : 16))];
    const float scale = mxfp4 ? decode_e8m0(stored) : decode_ue4m3(stored);
    float v[kCodes];
#pragma unroll
    for (int i = 0; i < kCodes; ++i) {
      v[i] = decode_low_e2m1(codes >> 4 * i) * scale;
      if constexpr (!mxfp4) v[i] *= tensor_scale;
    }
    float* to = t.out + row * t.cols + first;
    if constexpr (whole) {
      *reinterpret_cast<float4*>(to) = make_float4(v[0], v[1], v[2], v[3]);
    } else {
#pragma unroll
      for (int i = 0; i < kCodes; ++i)
        if (first + i < t.cols) to[i] = v[i];
    }
  }
}

}  // namespace

cudaError_t machine_code_present() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, dequantize_kernel<true, true>);
  (void)cudaGetLastError();  // a missing image must not stick to the next call
  return status;
}

void launch_dequantize(const std::uint8_t* codes, const std::uint8_t* scales,
                       const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                       ScaleIndex index, float* out, cudaStream_t stream) {
  if (rows * cols == 0) return;
  const DequantizeTask task{codes, scales, tensor_scale, rows, cols, index, out};
  const std::int64_t groups = (cols + kCodes - 1) / kCodes;
  unsigned across = 1;
  while (across < kThreads && across < groups) across *= 2;
  const unsigned down = kThreads / across;
  const std::int64_t steps = (rows + down - 1) / down;
  const std::int64_t passes = std::clamp<std::int64_t>(steps / 1024, 1, 8);
  const dim3 grid(
      static_cast<unsigned>((groups + across - 1) / across),
      static_cast<unsigned>(std::min<std::int64_t>((steps + passes - 1) / passes, 32768)));
  const bool whole = cols % kCodes == 0 && reinterpret_cast<std::uintptr_t>(out) % 16 == 0 &&
                     reinterpret_cast<std::uintptr_t>(codes) % 2 == 0;
  const bool mxfp4 = tensor_scale == nullptr;
  const auto kernel =
      mxfp4 ? (whole ? dequantize_kernel<true, true> : dequantize_kernel<true, false>)
            : (whole ? dequantize_kernel<false, true> : dequantize_kernel<false, false>);
  kernel<<<grid, dim3(across, down), 0, stream>>>(task);
  check(cudaGetLastError(), "dequantize");
}

void dequantize(const std::uint8_t* codes, const std::uint8_t* scales, const float* tensor_scale,
                std::int64_t rows, std::int64_t cols, ScaleIndex index, float* out) {
  launch_dequantize(codes, scales, tensor_scale, rows, cols, index, out, nullptr);
  check_kernel("dequantize");
}

}  // namespace assay::kernels::cuda
