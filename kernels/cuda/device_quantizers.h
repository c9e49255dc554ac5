// SPDX-License-Identifier: Apache-2.0
#pragma once
// Quantizers and moves of the CUDA device under test. Operands are copied to fresh, poisoned device
// memory, the kernel runs to its end, results are copied back.

#include <span>
#include <vector>

#include "kernels/cuda/mutant.h"
#include "kernels/typed_device.h"

namespace assay::kernels::cuda {

/// quantize and dequantize in both scale layouts.
[[nodiscard]] std::vector<Claim> quantizer_claims();
[[nodiscard]] Status run_quantize(const Claim& claim, std::span<const float> x,
                                  formats::BlockScaledTensor& out, Mutant mutant);
[[nodiscard]] Status run_dequantize(const Claim& claim, const formats::BlockScaledTensor& in,
                                    std::span<float> out);

/// stochastic_quantize, transpose_requantize and layout: written against the C call, any row
/// stride.
[[nodiscard]] std::vector<Claim> requantizer_claims();
[[nodiscard]] bool is_requantizer(std::uint32_t operation);
[[nodiscard]] Status run_requantizer(const Claim& claim, const assay_dut_call& call, Mutant mutant);

}  // namespace assay::kernels::cuda
