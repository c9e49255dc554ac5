// SPDX-License-Identifier: Apache-2.0
// Plans inferred back from the outputs of kernels that have them: every row of the table.
#include "simulator/plan_inference.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "simulator/plan_additions.h"

namespace assay::simulator {
namespace {

using Codes = std::vector<std::uint32_t>;

PlanTask task_of(const MmaModel& m, std::int64_t k) {
  PlanTask task;
  task.a = m.a;
  task.b = m.b;
  task.scale = m.scale;
  task.scale_block = m.scale_block;
  task.k = k;
  return task;
}

/// What a kernel with this plan answers. Of D only what is read: the diagonal, and the dense rows.
Codes answers(const GemmPlan& plan, const PlanQuestions& q) {
  Codes d(static_cast<std::size_t>(q.rows * q.rows));
  const auto ask = [&](std::int64_t first, std::int64_t count) {
    const auto rows = [&](const Codes& codes) {
      const std::size_t width = codes.size() / static_cast<std::size_t>(q.rows);
      return std::span(codes).subspan(static_cast<std::size_t>(first) * width,
                                      static_cast<std::size_t>(count) * width);
    };
    const Codes part =
        gemm(plan, {count, count, q.k, rows(q.a), rows(q.b), rows(q.scale_a), rows(q.scale_b)});
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < count; ++j)
        d[static_cast<std::size_t>((first + i) * q.rows + first + j)] =
            part[static_cast<std::size_t>(i * count + j)];
  };
  for (std::int64_t i = 0; i < q.first_dense; ++i) ask(i, 1);
  ask(q.first_dense, std::min<std::int64_t>(96, q.rows - q.first_dense));
  return d;
}

GemmPlan plain(const MmaModel& m) {
  GemmPlan p;
  p.name = "truth";
  p.model = m;
  p.instruction_k = m.step;
  p.tile_k = std::max(64, m.step);
  return p;
}

/// Tiles in a row, promotion, split-K in each order, the shorter instruction.
std::vector<GemmPlan> truths(const MmaModel& m, std::mt19937_64& random) {
  std::vector<GemmPlan> plans(2, plain(m));
  GemmPlan& p = plans.back();
  if (random() % 2 == 0) p.instruction_k = m.shortest_k;
  if (random() % 2 == 0) p.promote_every = 64;
  if (random() % 3 == 0) p.tile_order = TileOrder::descending;
  if (random() % 3 != 0) {
    p.split.count = 2 + static_cast<int>(random() % 3);
    p.split.tiles = static_cast<SplitTiles>(random() % 3);
    p.split.order = static_cast<ReductionOrder>(random() % 3);
  }
  return plans;
}

/// Products of these formats are within F bits of each other: none is lost beside another.
bool narrow(const MmaModel& m) {
  const auto small = [](const formats::FormatSpec* f) {
    return f == &formats::e2m1 || f == &formats::e2m3 || f == &formats::e3m2;
  };
  const auto few_exponents = [&](const formats::FormatSpec* f) {
    return small(f) || f == &formats::e4m3;
  };
  return m.scale == nullptr && few_exponents(m.a) && few_exponents(m.b) &&
         (small(m.a) || small(m.b));
}

class EveryModel : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryModel, IsInferredBack) {
  const MmaModel& model = all_mma_models()[GetParam()];
  const PlanTask task = task_of(model, 256);
  const PlanQuestions questions = plan_questions(task);
  std::mt19937_64 random(GetParam());
  for (const GemmPlan& truth : truths(model, random)) {
    const InferredPlan inferred = infer_plan(task, questions, answers(truth, questions));
    ASSERT_EQ(inferred.order_shows, !narrow(model));
    if (!inferred.order_shows) {
      EXPECT_FALSE(inferred.decided());
      continue;
    }
    std::set<std::pair<std::string, int>> units;
    std::int64_t found = 0;
    for (const PlanCandidate& c : inferred.candidates) {
      found += same_additions(c.plan, truth, task.k) ? 1 : 0;
      EXPECT_TRUE(units.emplace(c.plan.model.name, c.plan.instruction_k).second)
          << "two orders on one unit are not told apart:\n"
          << gemm_plan_json(truth);
    }
    EXPECT_EQ(found, 1) << gemm_plan_json(truth);
  }
}

std::string title(const testing::TestParamInfo<std::size_t>& info) {
  std::string text = all_mma_models()[info.param].name;
  for (char& c : text)
    if (c == '.') c = '_';
  return text;
}
INSTANTIATE_TEST_SUITE_P(PlanInference, EveryModel,
                         testing::Range<std::size_t>(0, all_mma_models().size()), title);

TEST(PlanInference, UnitsThatTheseInputsDoNotTellApartAreUndecided) {
  const MmaModel& hopper = find_mma_model("hopper.mma.e4m3.f32");
  const PlanTask task = task_of(hopper, 256);
  const PlanQuestions questions = plan_questions(task);
  const InferredPlan inferred = infer_plan(task, questions, answers(plain(hopper), questions));
  EXPECT_FALSE(inferred.decided());
  ASSERT_EQ(inferred.candidates.size(), 2U);
  EXPECT_EQ(inferred.candidates[0].models, std::vector<std::string>{"hopper.mma.e4m3.f32"});
  EXPECT_EQ(inferred.candidates[1].models, std::vector<std::string>{"blackwell.mma.e4m3.f32"});
}

TEST(PlanInference, NarrowOutputsStillDecideTheOrderOfK) {
  for (const auto* output : {&formats::bf16, &formats::fp16}) {
    PlanTask task = task_of(find_mma_model("hopper.wgmma.e4m3.f32"), 512);
    task.output = output;
    const PlanQuestions questions = plan_questions(task);
    GemmPlan truth = plain(find_mma_model("hopper.wgmma.e4m3.f32"));
    truth.output = output;
    truth.promote_every = 128;
    const InferredPlan inferred = infer_plan(task, questions, answers(truth, questions));
    EXPECT_TRUE(inferred.decided()) << output->name;
    EXPECT_TRUE(same_additions(inferred.candidates.at(0).plan, truth, task.k));
    EXPECT_EQ(inferred.chains.size(), 4U);
    EXPECT_EQ(inferred.chains[1].front().front(), 8) << "block 8 of 16 elements";
  }
}

TEST(PlanInference, AnotherUnitIsNone) {
  const MmaModel& model = find_mma_model("hopper.wgmma.e4m3.f32");
  const PlanTask task = task_of(model, 256);
  const PlanQuestions questions = plan_questions(task);
  GemmPlan truth = plain(model);
  truth.model.fraction_bits = 14;
  const InferredPlan inferred = infer_plan(task, questions, answers(truth, questions));
  EXPECT_TRUE(inferred.candidates.empty());
  EXPECT_EQ(inferred.chains.size(), 1U);
}

TEST(PlanInference, WhatTheFormatsDoNotShowIsSaid) {
  const MmaModel& model = find_mma_model("blackwell.tcgen05.e2m1.f32");
  const PlanTask task = task_of(model, 256);
  const PlanQuestions questions = plan_questions(task);
  const InferredPlan inferred = infer_plan(task, questions, answers(plain(model), questions));
  EXPECT_FALSE(inferred.order_shows);
  EXPECT_FALSE(inferred.decided());
}

TEST(PlanInference, WrongTasksAreRefused) {
  PlanTask task = task_of(find_mma_model("hopper.wgmma.e4m3.f32"), 256);
  EXPECT_THROW(static_cast<void>(infer_plan(task, plan_questions(task), Codes(7))),
               std::invalid_argument);
  task.k = 100;
  EXPECT_THROW(static_cast<void>(plan_questions(task)), std::invalid_argument);
  task.k = 256;
  task.b = &formats::int4;
  EXPECT_THROW(static_cast<void>(plan_questions(task)), std::invalid_argument);
}

}  // namespace
}  // namespace assay::simulator
