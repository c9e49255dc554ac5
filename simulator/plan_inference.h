// SPDX-License-Identifier: Apache-2.0
#pragma once
// The reduction plan of a kernel, from its outputs on the operands of plan_questions(). Candidates
// are every model of the operands' formats with every schedule of a grid (tile sizes, promotion,
// split-K, orders); those that give another bit anywhere are dropped. What is left is one plan,
// plans that are the same additions in the same order, or plans that no answer tells apart.
//
// Not inferred: the epilogue (the kernel runs with alpha = 1, without C and bias), orders that vary
// from run to run, schedules that are no multiple of granularity().

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "simulator/gemm_plan.h"
#include "simulator/plan_questions.h"

namespace assay::simulator {

struct PlanCandidate {
  GemmPlan plan;                    ///< the simplest of its class
  std::vector<std::string> models;  ///< whose parameters are the same
  std::int64_t equal_plans = 1;     ///< of the grid: the same additions in the same order
};

struct InferredPlan {
  /// Every class of plans that gives all answers, the simplest first. One: decided. More:
  /// undecided. None: the kernel does something else.
  std::vector<PlanCandidate> candidates;
  /// Chains as the order questions show them: blocks whose elements meet in one accumulator, in its
  /// order; blocks within one inner list are added before one rounding, or cannot be told apart.
  std::vector<std::vector<std::vector<std::int64_t>>> chains;
  /// False where the formats' range is too narrow for a product to be lost beside another on a unit
  /// of the candidates (of all where there is none): then the order of K cannot be seen, mostly
  /// does not matter, and only one chain was considered on that unit.
  bool order_shows = true;
  std::int64_t granularity = 0;
  std::int64_t considered = 0;  ///< schedules
  [[nodiscard]] bool decided() const { return order_shows && candidates.size() == 1; }
};

/// `d`: rows x rows codes of task.output. `models`: those to consider, all of assay's where empty.
[[nodiscard]] InferredPlan infer_plan(const PlanTask& task, const PlanQuestions& questions,
                                      std::span<const std::uint32_t> d,
                                      std::span<const MmaModel> models = {}, int threads = 1);

}  // namespace assay::simulator
