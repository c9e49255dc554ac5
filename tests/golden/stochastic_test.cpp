// SPDX-License-Identifier: Apache-2.0
// The probabilities of stochastic rounding against a count over all words.
#include "golden/stochastic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/spec.h

RationalValue number(float x) { return to_rational(value_of(x)); }

TEST(GoldenStochastic, EveryWordIsCounted) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 4);
  for (const FormatSpec* spec : {&e2m1, &e4m3, &ue4m3, &e8m0, &bf16, &fp16}) {
    const Policy policy = policy_of(saturating, *spec);
    for (const int bits : {1, 2, 5, 8}) {
      for (int i = 0; i < 40; ++i) {
        const RationalValue x = number(normal(random) * std::ldexp(1.0F, i % 10 - 5));
        std::map<std::uint32_t, int> count;
        for (std::uint32_t word = 0; word < 1U << bits; ++word) {
          ++count[encode(*spec, x, RoundingMode::stochastic, policy, {bits, word})];
        }
        const StochasticOutcome outcome = stochastic_outcome(*spec, x, policy, bits);
        ASSERT_LE(count.size(), 2U);
        ASSERT_EQ(count.size() == 2, outcome.down != outcome.up);
        const Rational words = 1 << bits;
        ASSERT_TRUE(outcome.down == outcome.up
                        ? count.count(outcome.down) == 1 && outcome.up_probability == 0
                        : outcome.up_probability == count[outcome.up] / words)
            << spec->name << ' ' << bits;
      }
    }
  }
}

TEST(GoldenStochastic, TheIdealIsWhatTheBitsTruncate) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 3);
  int both = 0;
  for (const FormatSpec* spec : {&e2m1, &e4m3, &bf16, &e8m0}) {
    const Policy policy = policy_of(saturating, *spec);
    for (int i = 0; i < 300; ++i) {
      const RationalValue x = number(normal(random));
      const StochasticOutcome ideal = ideal_stochastic_outcome(*spec, x, policy);
      const StochasticOutcome real = stochastic_outcome(*spec, x, policy, 16);
      EXPECT_EQ(ideal.down, real.down);
      if (real.down == real.up) continue;
      ++both;
      EXPECT_EQ(ideal.up, real.up);
      const Rational lost = ideal.up_probability - real.up_probability;
      EXPECT_TRUE(lost >= 0 && lost * 65536 < 1);
    }
  }
  EXPECT_GT(both, 800);
}

// down + p (up - down) = x inside the finite range, whatever x is.
TEST(GoldenStochastic, TheIdealIsUnbiased) {
  const Policy policy = policy_of(saturating, e2m1);
  for (int i = -600; i <= 600; ++i) {
    const RationalValue x = RationalValue::finite(Rational(i) / 100);
    const StochasticOutcome o = ideal_stochastic_outcome(e2m1, x, policy);
    const Rational down = decode(e2m1, o.down).number.rational();
    const Rational up = decode(e2m1, o.up).number.rational();
    EXPECT_TRUE(down + o.up_probability * (up - down) == x.number) << i;
  }
}

TEST(GoldenStochastic, BeyondTheLargestValueThePolicyDecides) {
  const auto e4m3_ieee = policy_of(ieee, e4m3);  // overflow to NaN; the next value would be 480
  const StochasticOutcome half = ideal_stochastic_outcome(e4m3, number(464), e4m3_ieee);
  EXPECT_EQ(half.down, 0x7EU);
  EXPECT_EQ(half.up, 0x7FU);
  EXPECT_TRUE(half.up_probability * 2 == 1);
  EXPECT_TRUE(stochastic_outcome(e4m3, number(464), e4m3_ieee, 4).up_probability * 2 == 1);
  const RationalValue above = number(0x1.8p127F);  // E8M0 ends with 2^127; next would be 2^128
  EXPECT_TRUE(ideal_stochastic_outcome(e8m0, above, policy_of(ieee, e8m0)).up_probability * 2 == 1);
  EXPECT_TRUE(stochastic_outcome(e8m0, above, policy_of(ieee, e8m0), 4).up_probability * 2 == 1);
  const StochasticOutcome certain = ideal_stochastic_outcome(e4m3, number(-481), e4m3_ieee);
  EXPECT_EQ(certain.down, 0xFFU);
  EXPECT_EQ(certain.up, 0xFFU);
  const StochasticOutcome saturated =
      ideal_stochastic_outcome(e4m3, number(464), policy_of(saturating, e4m3));
  EXPECT_EQ(saturated.down, 0x7EU);
  EXPECT_EQ(saturated.up, 0x7EU);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(ideal_stochastic_outcome(e4m3, number(nan), e4m3_ieee).down, 0x7FU);
  EXPECT_THROW((void)stochastic_outcome(e4m3, number(1), e4m3_ieee, 17), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
