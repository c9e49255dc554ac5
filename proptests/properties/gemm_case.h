// SPDX-License-Identifier: Apache-2.0
#pragma once
// One GEMM: operands in raw codes, the call, the ruling, and simpler ones.

#include <rapidcheck.h>

#include <vector>

#include "proptests/experiment.h"

namespace assay::proptests {

struct GemmCase {
  kernels::Claim claim;
  std::int64_t m = 0, n = 0, k = 0;
  formats::BlockScaledTensor a;       ///< where claim.a is set
  std::vector<std::uint16_t> a_bf16;  ///< otherwise
  formats::BlockScaledTensor b;
  float alpha = 1.0F, beta = 0.0F;
  std::vector<float> c, bias;
};

[[nodiscard]] ExperimentPtr gemm_experiment(GemmCase c);
[[nodiscard]] rc::Seq<GemmCase> simpler_gemms(const GemmCase& c);

}  // namespace assay::proptests
