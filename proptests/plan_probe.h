// SPDX-License-Identifier: Apache-2.0
#pragma once
// The questions of simulator/plan_questions.h put to a device: which reduction plan its GEMM has.

#include <cstdint>
#include <vector>

#include "proptests/device.h"
#include "simulator/plan_questions.h"

namespace assay::proptests {

/// Whether the entry is a `gemm` of two block-scaled operands whose formats some MmaModel has:
/// one row by scale_block elements, no other claim about its epilogue.
[[nodiscard]] bool can_infer_plan(const kernels::Claim& claim);

/// The task of such an entry; its output is rounded as its claim says. Throws
/// std::invalid_argument where can_infer_plan() is false.
[[nodiscard]] simulator::PlanTask plan_task(const kernels::Claim& claim, std::int64_t k);

/// rows x rows codes of the entry's output; tensor scales are 1. Throws std::runtime_error where
/// the device does not answer, or answers differently the second time.
[[nodiscard]] std::vector<std::uint32_t> ask_plan(Device& device, const kernels::Claim& claim,
                                                  const simulator::PlanQuestions& questions);

}  // namespace assay::proptests
