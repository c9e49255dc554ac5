// SPDX-License-Identifier: Apache-2.0
#pragma once
// One GEMM: operands in raw codes, the call, the ruling, and simpler ones.

#include <rapidcheck.h>

#include <optional>
#include <vector>

#include "proptests/experiment.h"
#include "proptests/properties/spread.h"

namespace assay::proptests {

struct GemmCase {
  kernels::Claim claim;
  std::int64_t m = 0, n = 0, k = 0;
  formats::BlockScaledTensor a;       ///< where claim.a is set
  std::vector<std::uint16_t> a_bf16;  ///< otherwise
  formats::BlockScaledTensor b;
  float alpha = 1.0F, beta = 0.0F;
  std::vector<float> c, bias;
  Spread spread;
  std::optional<std::uint8_t> scale_padding;  ///< what swizzled scale factors are padded with
  /// This row of A is also multiplied in a call of its own, and must give the same bits there.
  std::optional<std::int64_t> alone;
};

[[nodiscard]] ExperimentPtr gemm_experiment(GemmCase c);
[[nodiscard]] rc::Seq<GemmCase> simpler_gemms(const GemmCase& c);

}  // namespace assay::proptests
