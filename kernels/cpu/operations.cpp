// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/operations.h"

#include <algorithm>

namespace assay::kernels::cpu {
namespace {

constexpr Operation table[] = {
    {ASSAY_DUT_CONVERT, convert_claims, convert},
    {ASSAY_DUT_QUANTIZE_GEMM, quantize_gemm_claims, quantize_gemm},
    {ASSAY_DUT_GATED_GEMM, gated_gemm_claims, gated_gemm},
    {ASSAY_DUT_GROUPED_GEMM, grouped_gemm_claims, grouped_gemm},
    {ASSAY_DUT_STOCHASTIC_QUANTIZE, stochastic_quantize_claims, stochastic_quantize},
    {ASSAY_DUT_TRANSPOSE_REQUANTIZE, transpose_requantize_claims, transpose_requantize},
    {ASSAY_DUT_LAYOUT, layout_claims, layout}};

}  // namespace

const Operation* find_operation(std::uint32_t number) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Operation& o) { return o.number == number; });
  return found == std::end(table) ? nullptr : found;
}

std::vector<Claim> operation_claims() {
  std::vector<Claim> all;
  for (const Operation& operation : table)
    for (Claim& claim : operation.claims()) {
      claim.flags = ASSAY_DUT_DETERMINISTIC | ASSAY_DUT_STRIDES;
      all.push_back(std::move(claim));
    }
  return all;
}

}  // namespace assay::kernels::cpu
