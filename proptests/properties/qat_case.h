// SPDX-License-Identifier: Apache-2.0
#pragma once
// One QAT step: operands, the forward or the backward call, and simpler ones. The rulings are in
// qat_judge.h.

#include <rapidcheck.h>

#include <vector>

#include "golden/qat.h"
#include "proptests/experiment.h"
#include "proptests/properties/spread.h"

namespace assay::proptests {

struct QatCase {
  kernels::Claim claim;
  kernels::Estimator estimator = kernels::Estimator::identity;
  float parameter = 0;  ///< delta of ewgs, T of trust_mask
  std::int64_t m = 0, n = 0, k = 0;
  std::vector<float> x, w, bias, scales, dy;
  Spread spread = {};

  [[nodiscard]] std::int64_t blocks() const {
    return (k + claim.b->block.cols - 1) / claim.b->block.cols;
  }
  [[nodiscard]] golden::QatLayer layer() const;
};

[[nodiscard]] ExperimentPtr qat_forward_experiment(QatCase c);
[[nodiscard]] ExperimentPtr qat_backward_experiment(QatCase c);
[[nodiscard]] rc::Seq<QatCase> simpler_steps(const QatCase& c);

}  // namespace assay::proptests
