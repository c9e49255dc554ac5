// SPDX-License-Identifier: Apache-2.0
#pragma once
// One grouped GEMM: what each group multiplies, the call, the ruling, and simpler ones.

#include <rapidcheck.h>

#include <vector>

#include "proptests/experiment.h"
#include "proptests/properties/left_operand.h"
#include "proptests/properties/spread.h"

namespace assay::proptests {

struct Group {
  LeftOperand a;  ///< its rows, none of an empty group
  formats::BlockScaledTensor b;
};

struct GroupedCase {
  kernels::Claim claim;
  std::int64_t n = 0, k = 0;
  std::vector<Group> groups;
  float a_tensor_scale = 1.0F;  ///< one for all groups
  float alpha = 1.0F;
  /// Rows of no group, filled with what must not matter: in front of the first and behind the last
  /// one where groups are contiguous; beyond the longest group's where they are masked.
  std::int64_t lead = 0, trail = 0;
  Spread spread;
};

[[nodiscard]] ExperimentPtr grouped_experiment(GroupedCase c);
[[nodiscard]] rc::Seq<GroupedCase> simpler_grouped(const GroupedCase& c);

}  // namespace assay::proptests
