// SPDX-License-Identifier: Apache-2.0
// Recipes measured beside each other: the figures of each alone, and what one that fails does.
#include "simulator/graph/side_by_side.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "tests/simulator/random_graph.h"

namespace assay::simulator {
namespace {

class SideBySide : public testing::Test {
 protected:
  void run(const std::vector<const Recipe*>& of, int at_once, const RecipeMeasured& done,
           const MeasureOptions& extra = {}) const {
    measure_side_by_side(graph_, clean_, of, {}, extra, at_once, done);
  }

  Graph graph_ = RandomGraph({}).make();
  Forward clean_ = run_forward(graph_, {});
  std::vector<Recipe> recipes_{load_recipe("nvfp4-w4a4"), load_recipe("article"),
                               load_recipe("bf16"), load_recipe("mxfp4-rceil"),
                               load_recipe("nvfp4-pretraining")};
};

void expect_same(const std::vector<ValueError>& a, const std::vector<ValueError>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].op, b[i].op);
    EXPECT_EQ(a[i].error.nsr, b[i].error.nsr);
    EXPECT_EQ(a[i].error.gain, b[i].error.gain);
    EXPECT_EQ(a[i].worst, b[i].worst);
  }
}

TEST_F(SideBySide, FiguresAreThoseOfEachAlone) {
  std::vector<const Recipe*> all;
  for (const Recipe& r : recipes_) all.push_back(&r);
  for (const int at_once : {1, 3, 16}) {
    std::vector<Measurement> found(all.size());
    std::atomic<int> calls{0};
    run(all, at_once, [&](std::size_t i, Measurement m) {
      EXPECT_EQ(++calls, 1) << "one thread at a time";
      found[i] = std::move(m);
      --calls;
    });
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Measurement alone = measure(graph_, clean_, recipes_[i], {});
      EXPECT_EQ(found[i].loss.change, alone.loss.change);
      EXPECT_EQ(found[i].loss.standard_error, alone.loss.standard_error);
      expect_same(found[i].values, alone.values);
      expect_same(found[i].linears, alone.linears);
      expect_same(found[i].gradients, alone.gradients);
      EXPECT_GT(found[i].all_seconds, found[i].seconds);
    }
  }
}

TEST_F(SideBySide, NothingIsBegunAfterOneThatFails) {
  Recipe bad = load_recipe("fp8-deepseek-v3");
  for (auto& treatment : bad.classes)
    if (treatment) treatment->accumulator.kind = "no unit";
  const MeasureOptions arithmetic{.products = Products::recipe};
  int measured = 0;
  const auto count = [&](std::size_t, const Measurement&) { ++measured; };
  EXPECT_ANY_THROW(run({&recipes_[0], &bad, &recipes_[1]}, 1, count, arithmetic));
  EXPECT_EQ(measured, 1);
  EXPECT_ANY_THROW(run({&recipes_[0], &bad, &recipes_[1]}, 3, count, arithmetic));
  EXPECT_THROW(run({&recipes_[0], &recipes_[1]}, 2,
                   [](std::size_t, const Measurement&) { throw std::length_error("full"); }),
               std::length_error);
}

}  // namespace
}  // namespace assay::simulator
