// SPDX-License-Identifier: Apache-2.0
// Rankings and schedules, by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "analysis/attribution.h"
#include "analysis/schedule.h"

namespace assay::analysis {
namespace {

TEST(KendallTau, ByHand) {
  const std::vector<double> a{1, 2, 3, 4};
  EXPECT_EQ(kendall_tau(a, std::vector<double>{10, 20, 30, 40}), 1);
  EXPECT_EQ(kendall_tau(a, std::vector<double>{4, 3, 2, 1}), -1);
  EXPECT_DOUBLE_EQ(kendall_tau(a, std::vector<double>{1, 2, 4, 3}), 4.0 / 6);  // 5 pairs to 1
  // One tie: 5 concordant of 6 pairs, of which b orders 5: 5 / sqrt(6 * 5).
  EXPECT_DOUBLE_EQ(kendall_tau(a, std::vector<double>{1, 2, 3, 3}), 5 / std::sqrt(30.0));
  EXPECT_EQ(kendall_tau(std::vector<double>{1}, std::vector<double>{1}), 0);
  EXPECT_THROW((void)kendall_tau(a, std::vector<double>{1}), std::invalid_argument);
}

Part part(const char* name, const std::vector<bool>& allowed) {
  Part p{name, {}, {}};
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    Moment m;
    m.step = static_cast<std::int64_t>(100 * (i + 1));
    m.allowed = allowed[i];
    p.moments.push_back(m);
  }
  return p;
}

TEST(Schedule, TheEarliestStepIsTheFirstOfAnUnbrokenEnd) {
  SchedulePlan plan;
  plan.parts = {part("attention", {true, false, true}), part("expert", {true, true, true}),
                part("all", {false, false, true})};
  finish(plan);
  EXPECT_EQ(plan.parts[0].earliest, 300);
  EXPECT_EQ(plan.parts[1].earliest, 100);
  ASSERT_EQ(plan.orders.size(), 3U);
  EXPECT_EQ(plan.orders[0].name, "expert first");
  EXPECT_EQ(plan.orders[0].switches[0].second, 100);
  EXPECT_EQ(plan.orders[0].switches[1].second, 300);
  EXPECT_EQ(plan.orders[2].name, "all at once");
  EXPECT_EQ(plan.orders[2].switches[0].second, 300);
}

TEST(Schedule, NeverIsSaid) {
  SchedulePlan plan;
  plan.parts = {part("expert", {true, false}), part("all", {true, false})};
  finish(plan);
  EXPECT_FALSE(plan.parts[0].earliest);
  ASSERT_EQ(plan.orders.size(), 1U);  // one class has no order
  EXPECT_FALSE(plan.orders[0].switches[0].second);
}

}  // namespace
}  // namespace assay::analysis
