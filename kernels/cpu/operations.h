// SPDX-License-Identifier: Apache-2.0
#pragma once
// The operations that are written against the C call itself (abi/assay_dut.h says what each
// computes), so that they take any row stride.

#include <vector>

#include "kernels/device_under_test.h"

namespace assay::kernels::cpu {

/// One of them: what it claims, and the kernel. A kernel is called with a claim of its own only.
struct Operation {
  std::uint32_t number;  ///< enum assay_dut_operation
  std::vector<Claim> (*claims)();
  Status (*run)(const Claim& claim, const assay_dut_call& call);
};

std::vector<Claim> convert_claims();
Status convert(const Claim& claim, const assay_dut_call& call);
std::vector<Claim> quantize_gemm_claims();
Status quantize_gemm(const Claim& claim, const assay_dut_call& call);
std::vector<Claim> gated_gemm_claims();
Status gated_gemm(const Claim& claim, const assay_dut_call& call);
/// The same with another epilogue in the place of SwiGLU's.
Status gated_gemm_with(const Claim& claim, const assay_dut_call& call,
                       float (*epilogue)(float gate, float up, float limit));
std::vector<Claim> grouped_gemm_claims();
Status grouped_gemm(const Claim& claim, const assay_dut_call& call);
std::vector<Claim> stochastic_quantize_claims();
Status stochastic_quantize(const Claim& claim, const assay_dut_call& call);
std::vector<Claim> transpose_requantize_claims();
Status transpose_requantize(const Claim& claim, const assay_dut_call& call);
std::vector<Claim> layout_claims();
Status layout(const Claim& claim, const assay_dut_call& call);

/// Null where the operation is not one of these.
const Operation* find_operation(std::uint32_t number);
std::vector<Claim> operation_claims();

}  // namespace assay::kernels::cpu
