// SPDX-License-Identifier: Apache-2.0
#pragma once
// One gated product (SwiGLU): operands, the call, the ruling, and simpler ones.

#include <rapidcheck.h>

#include "proptests/experiment.h"
#include "proptests/properties/left_operand.h"
#include "proptests/properties/spread.h"

namespace assay::proptests {

struct GatedCase {
  kernels::Claim claim;
  std::int64_t m = 0, n = 0, k = 0;
  LeftOperand a;
  /// n x k each; B interleaves or concatenates their rows, as the claim says. One tensor scale.
  formats::BlockScaledTensor gate, up;
  float limit = 0.0F;  ///< 0: none
  Spread spread;
};

[[nodiscard]] ExperimentPtr gated_experiment(GatedCase c);
[[nodiscard]] rc::Seq<GatedCase> simpler_gated(const GatedCase& c);

}  // namespace assay::proptests
