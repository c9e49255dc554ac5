// SPDX-License-Identifier: Apache-2.0
#pragma once
// The end of the small-batch kernels: warps and blocks that cut k leave their sums in shared
// memory, and each block adds its share of the outputs in one fixed order.

#include <cooperative_groups.h>

#include "kernels/cuda/fp4_registers.cuh"
#include "kernels/cuda/gemm_w4a16.cuh"

// Clusters are of sm_90 and later: before that these kernels are empty, and not launched.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define ASSAY_HAS_CLUSTERS 1
#else
#define ASSAY_HAS_CLUSTERS 0
#pragma nv_diag_suppress 177  // functions that only the empty kernels would call
#endif

namespace assay::kernels::cuda {

#if ASSAY_HAS_CLUSTERS

/// `sum`: fragments of mma.m16n8k16 of a warp's 16 * S::row_tiles weight rows. `shared` has
/// 4 * S::k_warps * S::columns * S::sum_pitch bytes that nobody else needs; all threads call it.
template <class S>
__device__ void add_and_store(const GemmW4a16& p, float* sums, std::int64_t row0, int rank,
                              int row_warp, int k_warp,
                              const float (&sum)[S::row_tiles][S::column_tiles][4]) {
  namespace cg = cooperative_groups;
  const int lane = threadIdx.x % 32;
  __syncthreads();
#pragma unroll
  for (int r = 0; r < S::row_tiles; ++r)
#pragma unroll
    for (int c = 0; c < S::column_tiles; ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = (row_warp * S::row_tiles + r) * 16 + i / 2 * 8 + lane / 4;
        const int column = c * 8 + lane % 4 * 2 + i % 2;
        sums[(k_warp * S::columns + column) * S::sum_pitch + row] = sum[r][c][i];
      }
  if constexpr (S::cluster == 1)
    __syncthreads();
  else
    cg::this_cluster().sync();

  constexpr int own = S::rows / S::cluster;
  const float factor = p.alpha * p.tensor_scale;
  for (int i = threadIdx.x; i < own * S::columns; i += S::threads) {
    const int row = rank * own + i % own;
    const int column = i / own;
    if (column >= p.m || row0 + row >= p.n) continue;
    float total = 0.0F;
    for (int block = 0; block < S::cluster; ++block) {
      const float* from = sums;
      if constexpr (S::cluster > 1) from = cg::this_cluster().map_shared_rank(sums, block);
#pragma unroll
      for (int warp = 0; warp < S::k_warps; ++warp)
        total += from[(warp * S::columns + column) * S::sum_pitch + row];
    }
    store_w4a16(p, factor, column, row0 + row, total);
  }
  if constexpr (S::cluster > 1) cg::this_cluster().sync();  // others read these sums
}

#endif

}  // namespace assay::kernels::cuda
