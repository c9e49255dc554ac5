// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the W4A8 GEMMs for Hopper: FP8 activations by MXFP4 weights re-encoded to FP8.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/tile_order.cuh"
#include "kernels/cuda/w4a8_weights.cuh"

namespace assay::kernels::cuda {

/// D[m,n] = alpha * sum_k A[m,k] B[n,k] + beta C[m,n] + bias[n]: A is m x k E4M3 codes with an E8M0
/// scale factor per 1x128 (m x ceil(k / 128), row-major), B the weights. C and D are FP32, or D is
/// rounded once to bf16. All pointers are device memory; c may be null for beta == 0, bias may be
/// null. k must be a multiple of 32.
///
/// The sum is the FP8 matrix unit's over `promotion` columns (13 fraction bits, truncated), then
/// multiplied by both scale factors and added to FP32 registers by one FMA. promotion == 0: the
/// unit's sum over all of k, multiplied by the scale factors once; right only where every row of A
/// and B has the same scale factor along k, as the caller says by `constant_scales`.
struct GemmW4a8 {
  const std::uint8_t* a;
  const std::uint8_t* a_scales;
  W4a8Weights b;
  std::int64_t m;
  float alpha = 1.0F, beta = 0.0F;
  const float* c = nullptr;
  const float* bias = nullptr;
  float* d = nullptr;
  std::uint16_t* d_bf16 = nullptr;
  int promotion = 128;
  bool constant_scales = false;
};

/// Rows of A and of B in a tile.
enum class W4a8Tactic : int { tile128x128, tile256x128 };
inline constexpr W4a8Tactic w4a8_tactics[] = {W4a8Tactic::tile128x128, W4a8Tactic::tile256x128};
[[nodiscard]] const char* name_of(W4a8Tactic tactic);
[[nodiscard]] int rows_of(W4a8Tactic tactic);

/// Empty where the current device and the tactic take the problem; else why not.
[[nodiscard]] const char* declines(W4a8Tactic tactic, const GemmW4a8& problem);
[[nodiscard]] W4a8Tactic choose_w4a8(const GemmW4a8& problem);

/// Launches without waiting; errors of the launch itself are thrown. `tiles` (plan_row_tiles of
/// height rows_of(tactic)): rows of A and D by matrices of B; null: all of A by the first matrix.
void launch_w4a8(W4a8Tactic tactic, const GemmW4a8& problem, cudaStream_t stream = nullptr,
                 const RowTile* tiles = nullptr, std::int64_t count = 0);

}  // namespace assay::kernels::cuda
