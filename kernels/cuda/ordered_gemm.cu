// SPDX-License-Identifier: Apache-2.0
// Exactness of order before speed: a thread owns an output. Compiled with --fmad=false.
#include "kernels/cuda/check.h"
#include "kernels/cuda/ordered_gemm.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kTile = 16;

template <Mutant mutant>
__global__ void ordered_gemm_kernel(OrderedGemm p) {
  __shared__ float tile_a[kTile][kTile + 1];
  __shared__ float tile_b[kTile][kTile + 1];
  const std::int64_t row = blockIdx.y * std::int64_t{kTile} + threadIdx.y;
  const std::int64_t col = blockIdx.x * std::int64_t{kTile} + threadIdx.x;
  const std::int64_t b_row = blockIdx.x * std::int64_t{kTile} + threadIdx.y;
  const std::int64_t inner = mutant == Mutant::dropped_k ? p.inner / kTile * kTile : p.inner;
  float sum = 0.0F;
  [[maybe_unused]] float odd_sum = 0.0F;
  for (std::int64_t l0 = 0; l0 < inner; l0 += kTile) {
    const std::int64_t l = l0 + threadIdx.x;
    tile_a[threadIdx.y][threadIdx.x] =
        row < p.rows && l < inner ? p.a.data[row * p.a.row_stride + l * p.a.inner_stride] : 0.0F;
    tile_b[threadIdx.y][threadIdx.x] = b_row < p.cols && l < inner
                                           ? p.b.data[b_row * p.b.row_stride + l * p.b.inner_stride]
                                           : 0.0F;
    __syncthreads();
    if (mutant == Mutant::overtaken && threadIdx.y < kTile / 2) __nanosleep(2000);
    const int width = static_cast<int>(min(std::int64_t{kTile}, inner - l0));
    for (int i = 0; i < width; ++i) {
      const float a = tile_a[threadIdx.y][i];
      const float b = tile_b[threadIdx.x][i];
      float& to = mutant == Mutant::split_sum && i % 2 != 0 ? odd_sum : sum;
      to = __fadd_rn(to, __fmul_rn(a, b));
    }
    if constexpr (mutant != Mutant::overtaken) __syncthreads();
  }
  if (row >= p.rows || col >= p.cols) return;
  if constexpr (mutant == Mutant::split_sum) sum = __fadd_rn(sum, odd_sum);
  float d = __fmul_rn(sum, p.scale);
  if (p.c != nullptr) d = __fadd_rn(d, __fmul_rn(p.beta, p.c[row * p.cols + col]));
  if (p.bias != nullptr) d = __fadd_rn(d, p.bias[col]);
  p.out[row * p.cols + col] = d;
}

template <Mutant mutant>
void start(const OrderedGemm& p) {
  const dim3 blocks(static_cast<unsigned>((p.cols + kTile - 1) / kTile),
                    static_cast<unsigned>((p.rows + kTile - 1) / kTile));
  ordered_gemm_kernel<mutant><<<blocks, dim3(kTile, kTile)>>>(p);
}

}  // namespace

void ordered_gemm(const OrderedGemm& p, Mutant mutant) {
  if (p.rows == 0 || p.cols == 0) return;
  switch (mutant) {
    case Mutant::split_sum:
      start<Mutant::split_sum>(p);
      break;
    case Mutant::dropped_k:
      start<Mutant::dropped_k>(p);
      break;
    case Mutant::overtaken:
      start<Mutant::overtaken>(p);
      break;
    default:
      start<Mutant::none>(p);
  }
  check_kernel("ordered_gemm");
}

}  // namespace assay::kernels::cuda
