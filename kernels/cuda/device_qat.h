// SPDX-License-Identifier: Apache-2.0
#pragma once
// The QAT step of the CUDA device under test, and its bit-exact GEMM.

#include <vector>

#include "kernels/cuda/mutant.h"
#include "kernels/typed_device.h"

namespace assay::kernels::cuda {

[[nodiscard]] std::vector<Claim> qat_claims();
[[nodiscard]] Status run_qat_forward(const Claim& claim, const QatCall& call, Mutant mutant);
[[nodiscard]] Status run_qat_backward(const Claim& claim, const QatCall& call, Mutant mutant);

/// GEMMs whose claim is fp32_fixed_order: held to bits.
[[nodiscard]] std::vector<Claim> ordered_gemm_claims();
[[nodiscard]] Status run_ordered_gemm(const Claim& claim, const GemmCall& call, Mutant mutant);

}  // namespace assay::kernels::cuda
