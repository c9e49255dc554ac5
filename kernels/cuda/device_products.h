// SPDX-License-Identifier: Apache-2.0
#pragma once
// Products of the CUDA device under test that have more around them than gemm_w4a16.

#include <vector>

#include "kernels/cuda/mutant.h"
#include "kernels/typed_device.h"

namespace assay::kernels::cuda {

/// FP8 activations by MXFP4 weights, plain and grouped, on a GPU of compute capability `major`;
/// none where it has no FP8 wgmma.
[[nodiscard]] std::vector<Claim> w4a8_claims(int major);
[[nodiscard]] Status run_w4a8(const Claim& claim, const GemmCall& call, Mutant mutant);

/// Grouped products of bf16 activations by NVFP4 and MXFP4; those of FP8 are among w4a8_claims.
[[nodiscard]] std::vector<Claim> grouped_w4a16_claims(int major);
/// Either.
[[nodiscard]] Status run_grouped(const Claim& claim, const assay_dut_call& call, Mutant mutant);

}  // namespace assay::kernels::cuda
