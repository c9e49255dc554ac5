// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the W4A16 GEMMs. All pointers are device memory.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/tile_order.cuh"

namespace assay::kernels::cuda {

/// How the weights are stored.
enum class Fp4Weights : int { nvfp4, mxfp4 };
/// Elements that share a scale factor.
template <Fp4Weights format>
inline constexpr int fp4_group = format == Fp4Weights::nvfp4 ? 16 : 32;

/// D[m,n] = alpha * g * sum_k A[m,k] B[n,k] + beta C[m,n] + bias[n]: A is m x k bf16, B is n x k
/// NVFP4 (codes low nibble first, UE4M3 scales per 16, row-major; g is its tensor scale) or MXFP4
/// (E8M0 scales per 32, g = 1), C and D FP32. k must be a multiple of the group; m and n are free.
/// c may be null for beta == 0, bias may be null.
struct GemmW4a16 {
  const std::uint16_t* a;
  const std::uint8_t* b_codes;
  const std::uint8_t* b_scales;
  std::int64_t m, n, k;
  float alpha, tensor_scale, beta;
  const float* c;
  const float* bias;
  float* d;
  Fp4Weights weights = Fp4Weights::nvfp4;
  std::uint16_t* d_bf16 = nullptr;      ///< instead of d: D rounded once to bf16, nearest even
  const float* group_scales = nullptr;  ///< grouped: a tensor scale a group, in place of the one
  /// The weights once more, rearranged (PackedWeights); null: the packed tactics do not take it.
  const std::uint8_t* packed = nullptr;
};

/// The ways to compute it: one product each, all within the same bound.
enum class W4a16Tactic : int {
  tiled,    ///< any shape: mma.sync through shared memory
  batch8,   ///< m <= 8: the activations stay in shared memory, weights stream through registers
  batch16,  ///< m <= 16 ...
  batch32,
  batch64,
  wgmma64x128,  ///< large m: weights enter wgmma from registers; rows of A x rows of B in a tile
  wgmma128x128,
  wgmma128x256,
  packed8,  ///< m <= 8, of rearranged weights
  packed16,
  packed64x128,  ///< as wgmma64x128, of rearranged weights, blocks cutting k where tiles are few
  packed128x128,
  packed256x128,
};
inline constexpr W4a16Tactic w4a16_tactics[] = {
    W4a16Tactic::tiled,        W4a16Tactic::batch8,       W4a16Tactic::batch16,
    W4a16Tactic::batch32,      W4a16Tactic::batch64,      W4a16Tactic::wgmma64x128,
    W4a16Tactic::wgmma128x128, W4a16Tactic::wgmma128x256, W4a16Tactic::packed8,
    W4a16Tactic::packed16,     W4a16Tactic::packed64x128, W4a16Tactic::packed128x128,
    W4a16Tactic::packed256x128};
[[nodiscard]] const char* name_of(W4a16Tactic tactic);

/// Whether the tactic takes this problem on the current device.
[[nodiscard]] bool takes(W4a16Tactic tactic, const GemmW4a16& problem);
/// The one that is expected to be fastest.
[[nodiscard]] W4a16Tactic choose_w4a16(const GemmW4a16& problem);

/// Launches without waiting; errors of the launch itself are thrown.
void launch_w4a16(W4a16Tactic tactic, const GemmW4a16& problem, cudaStream_t stream = nullptr);
/// The chosen tactic, to its end.
void gemm_w4a16(const GemmW4a16& problem);

// One file each.
void launch_w4a16_tiled(const GemmW4a16& problem, cudaStream_t stream);
/// `columns`: 8, 16, 32 or 64.
void launch_w4a16_batch(int columns, const GemmW4a16& problem, cudaStream_t stream);
[[nodiscard]] bool w4a16_batch_takes(int columns, const GemmW4a16& problem);
/// Tiles of `columns` rows of A by `rows` rows of B: 64 x 128, 128 x 128 or 128 x 256.
void launch_w4a16_wgmma(int columns, int rows, const GemmW4a16& problem, cudaStream_t stream);
/// Rows by `tiles` (plan_row_tiles, height `columns`); b_codes and b_scales hold the groups'
/// matrices one behind the other.
void launch_w4a16_wgmma_grouped(int columns, int rows, const GemmW4a16& problem,
                                const RowTile* tiles, std::int64_t count, cudaStream_t stream);
[[nodiscard]] bool w4a16_wgmma_takes(const GemmW4a16& problem);

}  // namespace assay::kernels::cuda
