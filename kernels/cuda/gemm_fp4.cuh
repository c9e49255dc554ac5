// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the FP4 x FP4 GEMMs of Blackwell's matrix units.

#include <cuda_runtime.h>

#include "kernels/cuda/gemm_fp4.h"

// Feature macros of nvcc: 120a or 120f, and 100a, 100f or 103a. No other target has the
// instructions (compiled and found so with CUDA 13.0), and kernels are empty there.
#if defined(__CUDA_ARCH_FEAT_SM120_ALL) || defined(__CUDA_ARCH_FEAT_SM121_ALL) || \
    (defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ == 1200)
#define ASSAY_HAS_FP4_MMA 1
#else
#define ASSAY_HAS_FP4_MMA 0
#endif
#if defined(__CUDA_ARCH_FEAT_SM100_ALL) || defined(__CUDA_ARCH_FEAT_SM103_ALL) || \
    (defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ == 1000)
#define ASSAY_HAS_TCGEN05 1
#else
#define ASSAY_HAS_TCGEN05 0
#endif

namespace assay::kernels::cuda {

/// The instruction by which a GPU multiplies block-scaled FP4.
enum class Fp4Unit : int { none, mma_sync, tcgen05 };

/// The current GPU's, if this build has code for it. Neither has run on such a GPU yet.
[[nodiscard]] Fp4Unit fp4_unit();
/// Whether this build's code for the current GPU has the instruction. One file each.
[[nodiscard]] bool has_fp4_mma_sync();
[[nodiscard]] bool has_fp4_tcgen05();

/// Launched without waiting; errors of the launch itself are thrown. k is below 2^31.
void launch_fp4_mma_sync(Fp4Kind kind, const GemmFp4& problem, cudaStream_t stream);
/// `columns`: 128 or 256 of a tile.
void launch_fp4_tcgen05(Fp4Kind kind, int columns, const GemmFp4& problem, cudaStream_t stream);

/// To its end, by the current GPU's instruction. False where it has none: nothing was computed.
[[nodiscard]] bool gemm_fp4(Fp4Kind kind, const GemmFp4& problem);

}  // namespace assay::kernels::cuda
