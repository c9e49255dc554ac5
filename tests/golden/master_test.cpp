// SPDX-License-Identifier: Apache-2.0
// The master-weight update: one rounding, overflow skips the step, stochastic rounding keeps small
// updates.
#include "golden/master.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "golden/philox.h"

namespace assay::golden {
namespace {

constexpr std::uint32_t one_bf16 = 0x3F80;

TEST(GoldenMaster, Fp32IsOneRoundingOfTheExactUpdate) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  MasterUpdate update;
  update.learning_rate = 0.1F;
  update.loss_scale = 1024.0F;
  int two_roundings_differ = 0;
  for (int i = 0; i < 500; ++i) {
    const float w = normal(rng);
    const float g = 1024.0F * normal(rng);
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(w);
    const MasterStep step = update_masters(std::span(&bits, 1), std::span(&g, 1), update);
    // lr g is exact in double, and so is its scaling by a power of two. Where the sum is exact in
    // double too, its rounding to FP32 is the one rounding.
    const double change = static_cast<double>(0.1F) * g / 1024.0;
    const double sum = w - change;
    if (Exact::from_float(w) - Exact::from_double(change) != Exact::from_double(sum)) continue;
    EXPECT_EQ(step.codes[0], std::bit_cast<std::uint32_t>(static_cast<float>(sum)));
    two_roundings_differ += static_cast<float>(sum) != w - 0.1F * (g / 1024.0F) ? 1 : 0;
  }
  EXPECT_GT(two_roundings_differ, 0) << "the data must tell one rounding from two";
}

TEST(GoldenMaster, NearestEvenLosesWhatStochasticKeeps) {
  // 1 - 2^-12 lies in the BF16 gap from 1 - 2^-8 to 1, at 15/16 of it: up with probability 15/16.
  const std::uint32_t below_one = one_bf16 - 1;  // 1 - 2^-8
  MasterUpdate update;
  update.format = &formats::bf16;
  update.learning_rate = 0x1p-12F;
  const std::vector<std::uint32_t> masters(4096, one_bf16);
  const std::vector<float> gradients(4096, 1.0F);
  for (const std::uint32_t code : update_masters(masters, gradients, update).codes) {
    EXPECT_EQ(code, one_bf16);
  }
  update.rounding = RoundingMode::stochastic;
  update.random_bits = 8;
  update.seed = 99;
  const MasterStep step = update_masters(masters, gradients, update);
  int down = 0;
  for (std::size_t i = 0; i < step.codes.size(); ++i) {
    // The definition: up iff floor(f 2^n) + r >= 2^n, f = 15/16 of the gap from 1 - 2^-8 to 1.
    const bool up = 240 + random_of(99, i, 8).word >= 256;
    EXPECT_EQ(step.codes[i], up ? one_bf16 : below_one);
    down += up ? 0 : 1;
  }
  EXPECT_GT(down, 150);
  EXPECT_LT(down, 370);
}

TEST(GoldenMaster, ANonFiniteGradientSkipsTheWholeStep) {
  const std::vector<std::uint32_t> masters{0x3F80, 0x4000};
  MasterUpdate update;
  update.format = &formats::bf16;
  update.learning_rate = 1.0F;
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const MasterStep step = update_masters(masters, std::vector<float>{1.0F, bad}, update);
    EXPECT_TRUE(step.skipped);
    EXPECT_EQ(step.codes, masters);
  }
  const MasterStep step = update_masters(masters, std::vector<float>{1.0F, -1.0F}, update);
  EXPECT_FALSE(step.skipped);
  EXPECT_EQ(step.codes, (std::vector<std::uint32_t>{0x0000, 0x4040}));
}

TEST(GoldenMaster, AMasterThatLeavesTheRangeIsInfinite) {
  const std::vector<std::uint32_t> masters{0x7F7F};  // largest BF16
  MasterUpdate update;
  update.format = &formats::bf16;
  update.learning_rate = -0x1p126F;
  EXPECT_EQ(update_masters(masters, std::vector<float>{2.0F}, update).codes[0], 0x7F80U);
}

TEST(GoldenMaster, TheLossScaleBacksOffAndGrows) {
  const LossScaleRule rule{2.0F, 0.5F, 3};
  LossScale s{1024.0F, 0};
  s = next(s, false, rule);
  s = next(s, false, rule);
  EXPECT_EQ(s.scale, 1024.0F);
  s = next(s, false, rule);
  EXPECT_EQ(s.scale, 2048.0F);
  s = next(s, false, rule);
  s = next(s, true, rule);
  EXPECT_EQ(s.scale, 1024.0F);
  EXPECT_EQ(s.good_steps, 0);
}

TEST(GoldenMaster, RejectsNonsense) {
  const std::vector<std::uint32_t> masters{0};
  const std::vector<float> gradients{0.0F};
  MasterUpdate update;
  update.loss_scale = 0.0F;
  EXPECT_THROW((void)update_masters(masters, gradients, update), std::invalid_argument);
  update.loss_scale = 1.0F;
  update.learning_rate = std::numeric_limits<float>::infinity();
  EXPECT_THROW((void)update_masters(masters, gradients, update), std::invalid_argument);
  update.learning_rate = 1.0F;
  EXPECT_THROW((void)update_masters({}, gradients, update), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
