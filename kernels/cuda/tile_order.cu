// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/check.h"
#include "kernels/cuda/tile_order.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 1024;

/// One block; each thread writes the tiles of its groups, after a scan of their counts.
__global__ void plan_kernel(GroupRows rows, std::int64_t groups, int height, RowTile* tiles,
                            std::int64_t capacity) {
  __shared__ std::int64_t before[kThreads];
  const std::int64_t share = (groups + kThreads - 1) / kThreads;
  const std::int64_t begin = min(groups, share * threadIdx.x);
  const std::int64_t end = min(groups, begin + share);
  std::int64_t count = 0;
  for (std::int64_t g = begin; g < end; ++g) count += tiles_of_group(rows, g, height);
  before[threadIdx.x] = count;
  __syncthreads();
  for (int step = 1; step < kThreads; step *= 2) {
    const std::int64_t other = threadIdx.x >= step ? before[threadIdx.x - step] : 0;
    __syncthreads();
    before[threadIdx.x] += other;
    __syncthreads();
  }
  std::int64_t at = before[threadIdx.x] - count;
  for (std::int64_t g = begin; g < end; ++g) {
    put_group_tiles(rows, g, height, tiles + at);
    at += tiles_of_group(rows, g, height);
  }
  for (std::int64_t i = before[kThreads - 1] + threadIdx.x; i < capacity; i += kThreads)
    tiles[i] = {0, 0, 0};
}

}  // namespace

void plan_row_tiles(const GroupRows& rows, std::int64_t groups, int height, RowTile* tiles,
                    std::int64_t capacity, cudaStream_t stream) {
  plan_kernel<<<1, kThreads, 0, stream>>>(rows, groups, height, tiles, capacity);
  check(cudaGetLastError(), "plan_row_tiles");
}

}  // namespace assay::kernels::cuda
