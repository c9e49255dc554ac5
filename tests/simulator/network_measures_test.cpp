// SPDX-License-Identifier: Apache-2.0
// Underflow, loss scales, lost updates, alike experts, their use and outlier channels.
#include <gtest/gtest.h>

#include <cmath>

#include "simulator/graph/channels.h"
#include "simulator/graph/experts.h"
#include "simulator/graph/measure.h"
#include "tests/simulator/random_graph.h"

namespace assay::simulator {
namespace {

// FP16: smallest number 2^-24, so 2^-25 is a tie that becomes 0; largest 65504, so 65520 overflows.
TEST(TrainingRange, FlushedAndOverflowedGradientsOfFp16) {
  const float tie = std::ldexp(1.0F, -25);
  const auto r = gradient_range({tie, -tie, tie * 1.001F, 0.0F, 1.0F}, formats::fp16, 1);
  EXPECT_EQ(r.nonzero, 4U);
  EXPECT_EQ(r.flushed, 0.5);
  EXPECT_EQ(r.overflowed, 0);
  EXPECT_EQ(r.best_scale, 2);  // the smallest that flushes nothing
  EXPECT_EQ(r.best_flushed, 0);
  EXPECT_EQ(gradient_range({65519.0F}, formats::fp16, 1).overflowed, 0);
  EXPECT_EQ(gradient_range({65520.0F}, formats::fp16, 1).overflowed, 1);
  const auto scaled = gradient_range({tie, 1.0F}, formats::fp16, 65536);
  EXPECT_EQ(scaled.flushed_unscaled, 0.5);
  EXPECT_EQ(scaled.flushed, 0);
  EXPECT_EQ(scaled.overflowed, 0.5);
  EXPECT_THROW((void)gradient_range({1.0F}, formats::fp16, 0), std::invalid_argument);
}

// Both ends cannot be had: 2^-25 needs S >= 2 (above the tie), 40000 bears no S above 1.
TEST(TrainingRange, TheBestScaleOverflowsNothing) {
  const auto r = gradient_range({std::ldexp(1.0F, -25), 40000.0F}, formats::fp16, 1);
  EXPECT_EQ(r.best_flushed, 0.5);
  EXPECT_LE(r.best_scale * 40000, 65504);
}

// BF16 has the exponents of FP32: loss scaling has nothing to do there.
TEST(TrainingRange, Bf16FlushesWhatIsFarBelowFp16) {
  EXPECT_EQ(gradient_range({1e-30F, 1.0F}, formats::bf16, 1).flushed, 0);
}

// Neighbours of 1 in BF16 are 2^-7 above and 2^-8 below: half of that, tie to even included, is
// lost.
TEST(TrainingRange, UpdatesThatAMasterDoesNotTake) {
  Matrix w = Matrix::Ones(1, 6);
  Matrix u(1, 6);
  u << 0, 0x1p-9, 0x1p-8, 0x1.02p-8, -0x1p-9, -0x1.02p-9;
  const UpdateCount bf16 = count_lost(w, u, formats::bf16);
  EXPECT_EQ(bf16.updates, 5U);
  EXPECT_EQ(bf16.lost, 3U);
  EXPECT_EQ(count_lost(w, u, formats::fp32).lost, 0U);
}

TEST(TrainingRange, OfARecipe) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  const Measurement m = measure(g, clean, load_recipe("article"), {}, {}, {.learning_rate = 1e-3});
  ASSERT_FALSE(m.training.gradients.empty());
  for (const auto& r : m.training.gradients) {
    EXPECT_LE(r.best_flushed, r.flushed_unscaled) << r.what << " " << r.format;
    EXPECT_EQ(r.scale, 65536);
  }
  ASSERT_EQ(m.training.updates.size(), 2U);  // its master is BF16 already
  EXPECT_EQ(m.training.updates[0].rule, "adam_first_step");
  // |w| >= 0.5 takes nothing of 1e-3 < 2^-9; weights here are normal with sd 1/sqrt(32) = 0.18 and
  // 0.25 (experts' w_down), so between a part and all is lost.
  EXPECT_GT(m.training.updates[0].lost, 0.0);
  EXPECT_LT(m.training.updates[0].lost, 1.0);
}

// Recorded updates stand before estimates: one linear's, half of them too small for a BF16 master.
TEST(TrainingRange, RecordedUpdatesAreCounted) {
  Graph g = RandomGraph({}).make();
  for (auto& n : g.nodes) {
    if (n.id != "layers.0.q") continue;
    n.weight.setOnes();
    n.update = Matrix::Constant(n.weight.rows(), n.weight.cols(), 0x1p-9);
    n.update.topRows(n.weight.rows() / 2).setConstant(0x1p-7);
  }
  const Measurement m = measure(g, run_forward(g, {}), load_recipe("article"), {});
  ASSERT_EQ(m.training.updates.size(), 1U);
  EXPECT_EQ(m.training.updates[0].rule, "recorded");
  EXPECT_EQ(m.training.updates[0].master, "bf16");
  EXPECT_EQ(m.training.updates[0].updates, 32U * 32U);
  EXPECT_EQ(m.training.updates[0].lost, 0.5);
}

TEST(Experts, CkaIgnoresRotationAndScale) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> n;
  Matrix a(40, 2);
  Matrix b(40, 2);
  for (auto* m : {&a, &b}) {
    for (std::int64_t i = 0; i < m->size(); ++i) m->data()[i] = n(random);
  }
  Matrix turn(2, 2);
  turn << 0.6, -0.8, 0.8, 0.6;
  EXPECT_NEAR(linear_cka(a, 3 * a * turn), 1, 1e-12);
  EXPECT_NEAR(linear_cka(a, (a.array() + 5).matrix()), 1, 1e-12);
  EXPECT_LT(linear_cka(a, b), 0.5);
  EXPECT_EQ(linear_cka(a, Matrix::Ones(40, 2)), 0);
}

TEST(Experts, TwoOfOneKindAreFound) {
  Graph g = RandomGraph({.layers = 2}).make();
  const auto weight_of = [&](int layer, int expert, const std::string& part) -> Matrix& {
    const std::string id =
        "layers." + std::to_string(layer) + ".experts." + std::to_string(expert) + "." + part;
    for (auto& n : g.nodes) {
      if (n.id == id) return n.weight;
    }
    throw std::runtime_error(id);
  };
  const Forward before = run_forward(g, {});
  const auto diverse = expert_diversity(g, before, {});
  ASSERT_EQ(diverse.size(), 2U);
  for (const auto& d : diverse) EXPECT_LT(std::fabs(d.weight_cosine.largest), 0.2);
  for (const char* part : {"w_gate", "w_up", "w_down"}) {
    weight_of(1, 3, part) = weight_of(1, 1, part);
  }
  const Forward after = run_forward(g, {});
  const auto alike = expert_diversity(g, after, {});
  for (const Alikeness& a : {alike[1].weight_cosine, alike[1].output_cosine, alike[1].output_cka}) {
    EXPECT_NEAR(a.largest, 1, 1e-12);
    EXPECT_EQ(a.first, 1);
    EXPECT_EQ(a.second, 3);
    EXPECT_LT(a.mean, 1);
  }
  EXPECT_EQ(alike[0].weight_cosine.largest, diverse[0].weight_cosine.largest);
}

TEST(Experts, EvenUseIsNoAlarmAndCollapseIs) {
  const auto even = utilisation("r", 0, {0.25, 0.25, 0.25, 0.25}, 1000, nullptr);
  EXPECT_NEAR(even.effective, 4, 1e-12);
  EXPECT_EQ(even.largest, 1);
  EXPECT_TRUE(even.alarms.empty());
  // exp(H) of 0.9 and 0.1 is 1.38 of 2: not idle, not fewer than half, but fallen by a third.
  const auto pair = utilisation("r", 0, {0.5, 0.5}, 1000, nullptr);
  EXPECT_TRUE(utilisation("r", 0, {0.9, 0.1}, 1000, nullptr).alarms.empty());
  EXPECT_EQ(utilisation("r", 0, {0.9, 0.1}, 1000, &pair).alarms.size(), 1U);
  const auto collapsed = utilisation("r", 0, {1, 0, 0, 0}, 1000, &even);
  EXPECT_EQ(collapsed.idle, 3U);
  EXPECT_EQ(collapsed.effective, 1);
  EXPECT_EQ(collapsed.alarms.size(), 3U);
  // 8 choices over 4 experts leave one idle by chance.
  EXPECT_TRUE(utilisation("r", 0, {0.375, 0.375, 0.25, 0}, 8, nullptr).alarms.empty());
}

TEST(Channels, AColumnOfTenTimesTheRmsIsAnOutlier) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> n;
  Matrix x(200, 16);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = n(random);
  EXPECT_EQ(channel_profile(x).outliers, 0U);
  x.col(5) *= 10;
  const auto p = channel_profile(x);
  EXPECT_EQ(p.outliers, 1U);
  EXPECT_EQ(p.largest.front().index, 5);
  EXPECT_NEAR(p.largest_ratio, 10, 2);
  EXPECT_NEAR(p.outlier_power, 100.0 / 115, 0.05);
  EXPECT_EQ(channel_profile(Matrix::Zero(3, 4)).outliers, 0U);
}

}  // namespace
}  // namespace assay::simulator
