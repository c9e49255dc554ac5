// SPDX-License-Identifier: Apache-2.0
// The interval oracles: complete, without overlap, and the same whether thresholds are derived or
// found by bisection.
#include "golden/intervals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "formats/presets.h"
#include "golden/order.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/spec.h

constexpr RoundingMode modes[] = {RoundingMode::nearest_even,    RoundingMode::nearest_away,
                                  RoundingMode::toward_zero,     RoundingMode::toward_positive,
                                  RoundingMode::toward_negative, RoundingMode::to_odd};

std::vector<Policy> expressible_policies(const FormatSpec& spec) {
  std::vector<Policy> policies;
  for (const Overflow overflow : {Overflow::saturate, Overflow::to_infinity, Overflow::to_nan})
    for (const NanRule nan : {NanRule::canonical, NanRule::keep_sign, NanRule::all_ones,
                              NanRule::max_finite, NanRule::zero, NanRule::opposite_zero})
      for (const UnsignedRule rule :
           {UnsignedRule::clamp, UnsignedRule::nan, UnsignedRule::absolute}) {
        const Policy policy{overflow, nan, rule};
        const bool inert = spec.sign_bits != 0 && rule != UnsignedRule::clamp;
        if (expressible(spec, policy) && !inert) policies.push_back(policy);
      }
  return policies;
}

std::uint32_t direct(const FormatSpec& spec, std::uint32_t bits, RoundingMode mode,
                     const Policy& policy) {
  return encode(spec, decode(fp32, bits), mode, policy);
}

void expect_complete(const std::vector<Interval>& intervals) {
  ASSERT_FALSE(intervals.empty());
  EXPECT_EQ(intervals.front().first_bits, 0U);
  EXPECT_EQ(intervals.back().last_bits, 0xFFFFFFFFU);
  for (std::size_t i = 1; i < intervals.size(); ++i) {
    ASSERT_EQ(intervals[i].first_bits - 1, intervals[i - 1].last_bits);
    ASSERT_NE(intervals[i].code, intervals[i - 1].code);
  }
}

void expect_samples(const std::vector<Interval>& intervals, const FormatSpec& spec,
                    RoundingMode mode, const Policy& policy, int count) {
  std::mt19937 random(11);
  for (int i = 0; i < count; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    const auto at = std::partition_point(intervals.begin(), intervals.end(),
                                         [&](const Interval& v) { return v.last_bits < bits; });
    ASSERT_EQ(at->code, direct(spec, bits, mode, policy)) << spec.name << " " << bits;
  }
}

class NarrowFormats : public testing::TestWithParam<const FormatSpec*> {};

TEST_P(NarrowFormats, EveryModeAndPolicyIsCoveredAndAgreesWithBisection) {
  const FormatSpec& spec = *GetParam();
  for (const RoundingMode mode : modes)
    for (const Policy& policy : expressible_policies(spec)) {
      const std::vector<Interval> intervals = decision_intervals(spec, mode, policy);
      expect_complete(intervals);
      expect_samples(intervals, spec, mode, policy, 300);
    }
  // Thresholds do not depend on the policy, so one is enough for the slower comparison.
  const Policy policy = policy_of(ieee, spec);
  for (const RoundingMode mode : modes) {
    std::vector<Interval> joined;
    for (const auto& [first, last] : {std::pair{0U, 0U},
                                      {1U, 0x7F800000U},
                                      {0x7F800001U, 0x7FFFFFFFU},
                                      {0x80000000U, 0x80000000U},
                                      {0x80000001U, 0xFF800000U},
                                      {0xFF800001U, 0xFFFFFFFFU}})
      for (const Interval& found : monotone_intervals(
               [&](std::uint32_t bits) { return direct(spec, bits, mode, policy); }, first, last)) {
        if (!joined.empty() && joined.back().code == found.code)
          joined.back().last_bits = found.last_bits;
        else
          joined.push_back(found);
      }
    EXPECT_EQ(decision_intervals(spec, mode, policy), joined) << spec.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, NarrowFormats,
                         testing::Values(&e2m1, &e2m3, &e3m2, &e4m3, &e5m2, &ue4m3, &e8m0, &int4),
                         [](const auto& p) { return std::string(p.param->name); });

class SixteenBitFormats : public testing::TestWithParam<const FormatSpec*> {};

TEST_P(SixteenBitFormats, EveryModeIsCoveredUnderEveryProfile) {
  const FormatSpec& spec = *GetParam();
  for (const RoundingMode mode : modes)
    for (const Profile* profile : {&saturating, &ieee, &cuda13}) {
      const Policy policy = policy_of(*profile, spec);
      const std::vector<Interval> intervals = decision_intervals(spec, mode, policy);
      expect_complete(intervals);
      expect_samples(intervals, spec, mode, policy, 2000);
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, SixteenBitFormats, testing::Values(&bf16, &fp16),
                         [](const auto& p) { return std::string(p.param->name); });

TEST(DecisionIntervals, E2M1NearestEvenIsTheTableOfMidpoints) {
  const std::vector<Interval> v =
      decision_intervals(e2m1, RoundingMode::nearest_even, policy_of(cuda13, e2m1));
  // 0.25 -> 0, 0.75 -> 2, 1.25 -> 2, 1.75 -> 4, 2.5 -> 4, 3.5 -> 6, 5 -> 6; NaN joins 6.
  const std::vector<Interval> positive = {{0x00000000, 0x3E800000, 0}, {0x3E800001, 0x3F3FFFFF, 1},
                                          {0x3F400000, 0x3FA00000, 2}, {0x3FA00001, 0x3FDFFFFF, 3},
                                          {0x3FE00000, 0x40200000, 4}, {0x40200001, 0x405FFFFF, 5},
                                          {0x40600000, 0x40A00000, 6}, {0x40A00001, 0x7FFFFFFF, 7}};
  ASSERT_GE(v.size(), positive.size());
  EXPECT_TRUE(std::equal(positive.begin(), positive.end(), v.begin()));
}

TEST(DecisionIntervals, RejectsWhatHasNoList) {
  EXPECT_THROW((void)decision_intervals(fp32, RoundingMode::nearest_even, policy_of(ieee, fp32)),
               std::invalid_argument);
  EXPECT_THROW((void)decision_intervals(e2m1, RoundingMode::stochastic, policy_of(ieee, e2m1)),
               std::invalid_argument);
}

TEST(MonotoneIntervals, ScaleOfFloorIsTheExponentField) {
  // floor(log2 amax) - 2 is the exponent field minus two for every normal amax above 2^-125.
  const auto code = [](std::uint32_t bits) {
    return scale_code(mxfp4_floor, decode(fp32, bits), Value::zero(false));
  };
  const std::vector<Interval> v = monotone_intervals(code, 0, 0x7F7FFFFF);
  ASSERT_EQ(v.size(), 253U);
  EXPECT_EQ(v.front(), (Interval{0, 0x017FFFFF, 0}));
  for (std::size_t i = 1; i < v.size(); ++i) {
    EXPECT_EQ(v[i].code, i);
    EXPECT_EQ(v[i].first_bits, (i + 2) << 23);
  }
}

TEST(MonotoneIntervals, ScaleOfRceilStepsAtSixTimesPowersOfTwo) {
  const auto code = [](std::uint32_t bits) {
    return scale_code(mxfp4_rceil, decode(fp32, bits), Value::zero(false));
  };
  for (const Interval& v : monotone_intervals(code, 0, 0x7F7FFFFF)) {
    if (v.code == 0) continue;  // starts at zero
    EXPECT_EQ((v.first_bits - 1) & 0x007FFFFF, 0x00400000U) << "amax = 1.5 * 2^k is the last one";
    EXPECT_EQ((v.first_bits - 1) >> 23, v.code + 1);
  }
}

}  // namespace
}  // namespace assay::golden
