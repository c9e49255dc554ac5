// SPDX-License-Identifier: Apache-2.0
// The scalar codec by itself: round trips, nearest values by brute force, specials, policies, one
// rounding from FP64, and errors.
#include "formats/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "codec_cases.h"

namespace assay::formats {
namespace {

// Usable in constant expressions.
static_assert(E2m1::encode(0.3F).bits == 1);
static_assert(E2m1{7}.to_float() == 6.0F);
static_assert(E4m3::encode(448.0).bits == 0x7E);
static_assert(Bf16::encode(1.0F).bits == 0x3F80);
static_assert(E8m0{0}.to_float() == 0x1p-127F);
static_assert(Fp32::encode(-0.0F).bits == 0x80000000);
// The double nearest to 0.25 from above is no tie: rounding to FP32 first would make it one.
static_assert(E2m1::encode(0.25 + 0x1p-54).bits == 1);
static_assert(E2m1::encode(0.25).bits == 0);

class Codes : public testing::TestWithParam<const FormatSpec*> {
 protected:
  const FormatSpec& spec = *GetParam();
  const Fields fields = fields_of(spec);
  const Policy policy = profile_row(saturating, spec).policy;
  [[nodiscard]] std::uint32_t all_codes() const {
    return 1U << (fields.magnitude_bits() + fields.sign_bits);
  }
};

TEST_P(Codes, RoundTripInEveryMode) {
  for (std::uint32_t code = 0; code < all_codes(); ++code) {
    const float value = decode(spec, code);
    if (fields.magnitude(code) > fields.max_finite()) continue;  // specials: below
    for (const auto mode : tests::deterministic_modes) {
      ASSERT_EQ(encode(spec, value, mode, policy), code) << name_of(mode);
      ASSERT_EQ(encode(spec, double{value}, mode, policy), code) << name_of(mode);
    }
    for (const std::uint32_t word : {0U, 0xFFFFU}) {
      ASSERT_EQ(encode(spec, value, RoundingMode::stochastic, policy, {16, word}), code);
    }
  }
}

TEST_P(Codes, DecodeIsIncreasingInTheMagnitudeCode) {
  for (std::uint32_t code = 0; code < fields.max_finite(); ++code) {
    ASSERT_LT(decode(spec, code), decode(spec, code + 1)) << code;
    if (fields.sign_bits == 0) continue;
    ASSERT_EQ(decode(spec, fields.with_sign(code, true)), -decode(spec, code));
  }
}

// The definition of every mode, by search over all values in FP64, where the midpoints, differences
// and comparisons below are exact.
std::uint32_t by_search(const FormatSpec& spec, double x, RoundingMode mode, std::uint32_t from) {
  const Fields f = fields_of(spec);
  std::uint32_t low = from;
  while (low < f.max_finite() && double{decode(spec, low + 1)} <= x) ++low;
  const double below = decode(spec, low);
  if (below >= x || low == f.max_finite()) return low;  // exact, below the lowest, or saturated
  const double middle = (below + double{decode(spec, low + 1)}) / 2;
  const bool odd = (low & 1) != 0;
  switch (mode) {
    case RoundingMode::nearest_even:
      return low + (x > middle || (x == middle && odd) ? 1 : 0);
    case RoundingMode::nearest_away:
      return low + (x >= middle ? 1 : 0);
    case RoundingMode::toward_positive:
      return low + 1;
    case RoundingMode::to_odd:
      return low + (odd ? 0 : 1);
    default:
      return low;
  }
}

TEST_P(Codes, AgreeWithASearchOverAllValues) {
  const bool wide = spec.storage_bits >= 16;  // too many values to walk from zero each time
  const std::uint32_t step = wide ? 61 : 1;
  for (std::uint32_t code = 0; code < fields.max_finite(); code += step) {
    const double low = decode(spec, code);
    const double high = decode(spec, code + 1);
    for (const double x : {low, std::nextafter(low, high), low + (high - low) / 4,
                           std::nextafter((low + high) / 2, low), (low + high) / 2,
                           std::nextafter((low + high) / 2, high), std::nextafter(high, low)}) {
      for (const auto mode : tests::deterministic_modes) {
        const std::uint32_t expected = by_search(spec, x, mode, wide ? code : 0);
        ASSERT_EQ(encode(spec, x, mode, policy), expected) << x << ' ' << name_of(mode);
      }
    }
  }
}

TEST_P(Codes, SpecialsFollowThePolicy) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Policy& p : tests::policies_of(spec)) {
    for (const auto mode : tests::deterministic_modes) {
      const std::uint32_t over = p.overflow == Overflow::saturate      ? fields.max_finite()
                                 : p.overflow == Overflow::to_infinity ? fields.infinity()
                                                                       : fields.canonical_nan();
      EXPECT_EQ(encode(spec, infinity, mode, p), over);
      const bool opposite = p.nan == NanRule::opposite_zero;
      const std::uint32_t expected_nan = opposite                       ? fields.sign_mask()
                                         : p.nan == NanRule::zero       ? 0
                                         : p.nan == NanRule::max_finite ? fields.max_finite()
                                         : p.nan == NanRule::all_ones   ? fields.magnitude_mask()
                                                                        : fields.canonical_nan();
      EXPECT_EQ(encode(spec, nan, mode, p), expected_nan);
      if (fields.sign_bits != 0) {
        const bool keeps = p.nan == NanRule::keep_sign;
        EXPECT_EQ(encode(spec, -infinity, mode, p), fields.with_sign(over, true));
        EXPECT_EQ(encode(spec, -nan, mode, p),
                  opposite ? 0 : expected_nan | (keeps ? fields.sign_mask() : 0));
        EXPECT_EQ(encode(spec, -0.0, mode, p), &spec == &int4 ? 0 : fields.sign_mask());
      }
      // A finite overflow: IEEE 754-2019 section 7.4.
      const bool up = mode == RoundingMode::nearest_even || mode == RoundingMode::nearest_away ||
                      mode == RoundingMode::toward_positive;
      EXPECT_EQ(encode(spec, 1e300, mode, p), up ? over : fields.max_finite());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Codes,
                         testing::Values(&e2m1, &e2m3, &e3m2, &e4m3, &e5m2, &ue4m3, &e8m0, &int4,
                                         &e5m6, &bf16, &fp16, &tf32),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(Unsigned, NegativesAndZero) {
  constexpr auto rn = RoundingMode::nearest_even;
  const auto with = [](UnsignedRule rule) {
    return Policy{Overflow::saturate, NanRule::canonical, rule};
  };
  EXPECT_EQ(encode(ue4m3, -1.0F, rn, with(UnsignedRule::clamp)), 0x00U);
  EXPECT_EQ(encode(ue4m3, -1.0F, rn, with(UnsignedRule::nan)), 0x7FU);
  EXPECT_EQ(encode(ue4m3, -1.0F, rn, with(UnsignedRule::absolute)), 0x38U);
  EXPECT_EQ(encode(ue4m3, -0.0F, rn, with(UnsignedRule::nan)), 0x00U);
  EXPECT_EQ(decode(ue4m3, 0xB8), 1.0F) << "bit 7 is ignored";
  EXPECT_EQ(encode(e8m0, -1.0F, rn, with(UnsignedRule::clamp)), 0x00U);
  EXPECT_EQ(encode(e8m0, 0.0F, rn, with(UnsignedRule::clamp)), 0x00U);
  EXPECT_EQ(encode(e8m0, 0.0F, rn, with(UnsignedRule::nan)), 0xFFU);
  EXPECT_EQ(encode(e8m0, -1.0F, rn, with(UnsignedRule::absolute)), 0x7FU);
  EXPECT_EQ(encode(e8m0, -0x1p-128, RoundingMode::toward_positive, with(UnsignedRule::absolute)),
            0x00U);
}

TEST(Errors, NameTheInputAndTheWayOut) {
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([] {
              encode(e2m1, 1.0F, RoundingMode::nearest_even,
                     {Overflow::to_nan, NanRule::zero, UnsignedRule::clamp});
            }),
            "format e2m1 cannot express the requested policy: it has no NaN to overflow to; use "
            "Overflow::saturate");
  EXPECT_EQ(message([] {
              encode(e4m3, 1.0F, RoundingMode::stochastic, profile_row(ieee, e4m3).policy, {0, 0});
            }),
            "stochastic rounding takes 1 to 16 random bits, not 0");
  EXPECT_EQ(message([] { find_format("e4m4"); }),
            "unknown format 'e4m4'; did you mean 'e4m3'? known: e2m1, e2m3, e3m2, e4m3, e5m2, "
            "ue4m3, e8m0, int4, e5m6, bf16, fp16, tf32, fp32");
  EXPECT_EQ(message([] { find_profile("cuda"); }),
            "unknown profile 'cuda'; did you mean 'cuda13'? known: saturating, ieee, cuda13, "
            "cuda13-nosat, ml_dtypes, ocp_saturating, ocp_nonsaturating");
  EXPECT_EQ(message([] { (void)profile_row(ocp_nonsaturating, e2m1); }),
            "profile ocp_nonsaturating says nothing about format e2m1; it has rows for e4m3, e5m2; "
            "take another profile");
  EXPECT_EQ(&find_format("e8m0"), &e8m0);
  EXPECT_EQ(&find_profile("cuda13-nosat"), &cuda13_nosat);
  EXPECT_EQ(find_rounding_mode("to_odd"), RoundingMode::to_odd);
}

}  // namespace
}  // namespace assay::formats
