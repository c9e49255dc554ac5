// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/mutant.h"

namespace assay::kernels::cuda {

/// The tiled kernel, wrong in one way. False: not a fault of this kernel.
bool launch_w4a16_mutant(Mutant mutant, const GemmW4a16& problem, cudaStream_t stream);

}  // namespace assay::kernels::cuda
