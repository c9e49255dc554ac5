// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which numbers a plan adds in which order, as text: plans of different splits and tiles are often
// the same additions, and then give the same bits.

#include <cstdint>
#include <string>

#include "simulator/gemm_plan.h"

namespace assay::simulator {

/// Rows of the table with the same parameters, whatever their names and evidence.
[[nodiscard]] bool same_unit(const MmaModel& x, const MmaModel& y);

/// The additions of K products; `schedule` is that of the plan and K. On one unit, equal texts are
/// equal additions in the same order. Addition commutes, so (x y) and (y x) are one text.
[[nodiscard]] std::string additions(const GemmPlan& plan, const Schedule& schedule, std::int64_t k);

/// Whether two plans add the same numbers in the same order for this K, on units with the same
/// parameters: then they give the same bits.
[[nodiscard]] bool same_additions(const GemmPlan& x, const GemmPlan& y, std::int64_t k);

}  // namespace assay::simulator
