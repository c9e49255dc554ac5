// SPDX-License-Identifier: Apache-2.0
// The parts of one QAT step in plain FP32 on the CUDA cores: exactness of order before speed.
// Compiled with --fmad=false; every sum has one owner thread, so results do not depend on the
// launch.
#include <cuda_fp4.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/qat.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kTile = 16;
constexpr int kThreads = 256;

unsigned grid(std::int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

__device__ std::int64_t global_id() { return blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; }

__device__ float fake_quantized(float w, float scale) {
  const float u = scale == 0.0F ? 0.0F : w / scale;
  return decode_e2m1(__nv_cvt_float_to_fp4(u, __NV_E2M1, cudaRoundNearest));
}

__global__ void ordered_gemm_kernel(StridedMatrix a, StridedMatrix b, std::int64_t rows,
                                    std::int64_t cols, std::int64_t inner, const float* bias,
                                    float* out) {
  __shared__ float tile_a[kTile][kTile + 1];
  __shared__ float tile_b[kTile][kTile + 1];
  const std::int64_t row = blockIdx.y * std::int64_t{kTile} + threadIdx.y;
  const std::int64_t col = blockIdx.x * std::int64_t{kTile} + threadIdx.x;
  const std::int64_t b_row = blockIdx.x * std::int64_t{kTile} + threadIdx.y;
  float sum = 0.0F;
  for (std::int64_t l0 = 0; l0 < inner; l0 += kTile) {
    const std::int64_t l = l0 + threadIdx.x;
    tile_a[threadIdx.y][threadIdx.x] =
        row < rows && l < inner ? a.data[row * a.row_stride + l * a.inner_stride] : 0.0F;
    tile_b[threadIdx.y][threadIdx.x] =
        b_row < cols && l < inner ? b.data[b_row * b.row_stride + l * b.inner_stride] : 0.0F;
    __syncthreads();
    const int width = static_cast<int>(min(std::int64_t{kTile}, inner - l0));
    for (int i = 0; i < width; ++i) sum += tile_a[threadIdx.y][i] * tile_b[threadIdx.x][i];
    __syncthreads();
  }
  if (row < rows && col < cols) out[row * cols + col] = bias == nullptr ? sum : sum + bias[col];
}

/// Where a block lies: its first element and how many it has.
struct Extent {
  std::int64_t first;
  int width;
};

__device__ Extent extent_of(std::int64_t id, std::int64_t cols, int block) {
  const std::int64_t blocks = (cols + block - 1) / block;
  const std::int64_t col = id % blocks * block;
  return {id / blocks * cols + col, static_cast<int>(min(std::int64_t{block}, cols - col))};
}

__global__ void poison_scales_kernel(const float* w, std::int64_t count, std::int64_t cols,
                                     int block, float* scales) {
  const std::int64_t id = global_id();
  if (id >= count) return;
  const Extent extent = extent_of(id, cols, block);
  for (int i = 0; i < extent.width; ++i)
    if (!isfinite(w[extent.first + i])) scales[id] = NAN;
}

__global__ void fake_quantize_kernel(const float* w, const float* scales, std::int64_t rows,
                                     std::int64_t cols, int block, float* out) {
  const std::int64_t id = global_id();
  if (id >= rows * cols) return;
  const std::int64_t blocks = (cols + block - 1) / block;
  const float scale = scales[id / cols * blocks + id % cols / block];
  out[id] = fake_quantized(w[id], scale) * scale;
}

__global__ void decode_scales_kernel(const std::uint8_t* codes, std::int64_t count, float* scales) {
  const std::int64_t id = global_id();
  if (id < count) scales[id] = decode_ue4m3(codes[id]);
}

// One thread per block: it masks the block's dw and sums its dscale in ascending order.
__global__ void estimate_kernel(Estimator estimator, const float* w, const float* scales,
                                const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                                int block, float* dw, float* dscale) {
  const std::int64_t id = global_id();
  if (id >= rows * ((cols + block - 1) / block)) return;
  const auto [first, width] = extent_of(id, cols, block);
  const float scale = scales[id];
  // 6 s has at most 3 + 24 + 24 significant bits, which double holds: the comparison is exact.
  const double limit =
      6.0 * fabs(double{scale}) * (tensor_scale == nullptr ? 1.0 : double{*tensor_scale});
  double sum = isnan(scale) ? NAN : 0.0;  // a poisoned block has no gradient of its scale
  for (int i = 0; i < width; ++i) {
    const float weight = w[first + i];
    const bool inside = fabs(double{weight}) <= limit;
    const double gradient = dw[first + i];
    if (estimator == Estimator::lsq) {
      const double slope = !inside ? copysign(6.0, double{weight}) * (scale < 0.0F ? -1.0 : 1.0)
                           : scale == 0.0F
                               ? 0.0
                               : fake_quantized(weight, scale) - double{weight} / double{scale};
      sum += gradient * slope;
    }
    if (!inside) dw[first + i] = 0.0F;
  }
  // In FP64 and in this order, as the CPU kernel: the two agree to the bit.
  if (estimator == Estimator::lsq) dscale[id] = static_cast<float>(1.0 / sqrt(6.0 * width) * sum);
}

__global__ void column_sums_kernel(const float* dy, std::int64_t rows, std::int64_t cols,
                                   float* dbias) {
  const std::int64_t col = global_id();
  if (col >= cols) return;
  float sum = 0.0F;
  for (std::int64_t row = 0; row < rows; ++row) sum += dy[row * cols + col];
  dbias[col] = sum;
}

}  // namespace

void ordered_gemm(StridedMatrix a, StridedMatrix b, std::int64_t rows, std::int64_t cols,
                  std::int64_t inner, const float* bias, float* out) {
  const dim3 blocks(static_cast<unsigned>((cols + kTile - 1) / kTile),
                    static_cast<unsigned>((rows + kTile - 1) / kTile));
  ordered_gemm_kernel<<<blocks, dim3(kTile, kTile)>>>(a, b, rows, cols, inner, bias, out);
  check_kernel("ordered_gemm");
}

void fake_quantize_given(const float* w, const float* scales, std::int64_t rows, std::int64_t cols,
                         int block, float* out) {
  fake_quantize_kernel<<<grid(rows * cols), kThreads>>>(w, scales, rows, cols, block, out);
  check_kernel("fake_quantize_given");
}

void poison_scales(const float* w, std::int64_t rows, std::int64_t cols, int block, float* scales) {
  const std::int64_t count = rows * ((cols + block - 1) / block);
  poison_scales_kernel<<<grid(count), kThreads>>>(w, count, cols, block, scales);
  check_kernel("poison_scales");
}

void decode_scales(const std::uint8_t* codes, std::int64_t count, float* scales) {
  decode_scales_kernel<<<grid(count), kThreads>>>(codes, count, scales);
  check_kernel("decode_scales");
}

void estimate(Estimator estimator, const float* w, const float* scales, const float* tensor_scale,
              std::int64_t rows, std::int64_t cols, int block, float* dw, float* dscale) {
  if (estimator == Estimator::identity) return;
  const std::int64_t blocks = (cols + block - 1) / block;
  estimate_kernel<<<grid(rows * blocks), kThreads>>>(estimator, w, scales, tensor_scale, rows, cols,
                                                     block, dw, dscale);
  check_kernel("estimate");
}

void column_sums(const float* dy, std::int64_t rows, std::int64_t cols, float* dbias) {
  column_sums_kernel<<<grid(cols), kThreads>>>(dy, rows, cols, dbias);
  check_kernel("column_sums");
}

}  // namespace assay::kernels::cuda
