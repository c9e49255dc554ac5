// SPDX-License-Identifier: Apache-2.0
#pragma once
// FP4 x FP4 on Blackwell's matrix units as part of the GPU's device under test.

#include <vector>

#include "kernels/typed_device.h"

namespace assay::kernels::cuda {

/// Claimed on every GPU, so that a report says what could not be tried.
[[nodiscard]] std::vector<Claim> fp4_claims();
/// `claim` is one of fp4_claims(). not_supported where the current GPU has no such instruction.
[[nodiscard]] Status run_fp4_gemm(const Claim& claim, const GemmCall& call);

}  // namespace assay::kernels::cuda
