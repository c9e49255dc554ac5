// SPDX-License-Identifier: Apache-2.0
// The golden codec against constants copied by hand from the specifications, and against
// conventions measured on the CUDA 13.0 headers.
#include "golden/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/spec.h

constexpr auto ne = RoundingMode::nearest_even;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::uint32_t cuda(const FormatSpec& spec, double x, RoundingMode mode = ne) {
  return encode(spec, value_of(x), mode, policy_of(cuda13, spec));
}
std::uint32_t cuda_nosat(const FormatSpec& spec, double x, RoundingMode mode = ne) {
  return encode(spec, value_of(x), mode, policy_of(cuda13_nosat, spec));
}

TEST(GoldenDecode, E2M1HasTheSixteenValuesOfTheSpecification) {
  const double magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (std::uint32_t code = 0; code < 16; ++code) {
    const Value v = decode(e2m1, code);
    EXPECT_TRUE(v.is_finite());
    EXPECT_EQ(v.negative, code >= 8);
    EXPECT_EQ(abs(v.number), Exact::from_double(magnitudes[code % 8])) << code;
  }
}

TEST(GoldenDecode, EndsOfTheEightBitFormats) {
  EXPECT_EQ(decode(e4m3, 0x7E), value_of(448.0));
  EXPECT_EQ(decode(e4m3, 0x01), value_of(0x1p-9));
  EXPECT_EQ(decode(e4m3, 0x08), value_of(0x1p-6));
  EXPECT_EQ(decode(e4m3, 0xFE), value_of(-448.0));
  EXPECT_TRUE(decode(e4m3, 0x7F).is_nan());
  EXPECT_TRUE(decode(e4m3, 0xFF).is_nan() && decode(e4m3, 0xFF).negative);
  EXPECT_EQ(decode(ue4m3, 0x7E), value_of(448.0));
  EXPECT_TRUE(decode(ue4m3, 0xFF).is_nan());
  EXPECT_EQ(decode(ue4m3, 0xFE), value_of(448.0));
  EXPECT_EQ(decode(e8m0, 0x00), value_of(0x1p-127));
  EXPECT_EQ(decode(e8m0, 0x7F), value_of(1.0));
  EXPECT_EQ(decode(e8m0, 0xFE), value_of(0x1p127));
  EXPECT_TRUE(decode(e8m0, 0xFF).is_nan());
}

TEST(GoldenDecode, WideFormatsAgreeWithTheCompiler) {
  EXPECT_EQ(decode(fp32, 0x7F7FFFFF), value_of(std::numeric_limits<float>::max()));
  EXPECT_EQ(decode(fp32, 0x00000001), value_of(std::numeric_limits<float>::denorm_min()));
  EXPECT_EQ(decode(fp32, 0xFF800000), value_of(-inf));
  EXPECT_EQ(decode(fp16, 0x7BFF), value_of(65504.0));
  EXPECT_EQ(decode(fp16, 0x0001), value_of(0x1p-24));
  EXPECT_EQ(decode(bf16, 0x0001), value_of(0x1p-133));
  EXPECT_TRUE(decode(bf16, 0x7F81).is_nan());
}

TEST(GoldenEncode, E2M1AsTheCudaHeaders) {
  const std::pair<double, std::uint32_t> cases[] = {{0.25, 0x0},
                                                    {0.75, 0x2},
                                                    {1.25, 0x2},
                                                    {1.75, 0x4},
                                                    {2.5, 0x4},
                                                    {3.5, 0x6},
                                                    {5.0, 0x6},
                                                    {7.0, 0x7},
                                                    {inf, 0x7},
                                                    {-inf, 0xF},
                                                    {nan, 0x7},
                                                    {-nan, 0x7},
                                                    {-0.0, 0x8},
                                                    {-0.1, 0x8},
                                                    {6.5, 0x7},
                                                    {-1e30, 0xF},
                                                    {0.25 + 0x1p-54, 0x1},
                                                    {2.5 + 0x1p-51, 0x5}};
  for (const auto& [x, code] : cases) EXPECT_EQ(cuda(e2m1, x), code) << x;
  EXPECT_EQ(cuda(e2m1, 5.9, RoundingMode::toward_zero), 0x6U);
  EXPECT_EQ(encode(e2m1, value_of(0.25), RoundingMode::nearest_away, policy_of(saturating, e2m1)),
            1U);
}

TEST(GoldenEncode, E4M3AsTheCudaHeaders) {
  EXPECT_EQ(cuda(e4m3, 464), 0x7EU);
  EXPECT_EQ(cuda_nosat(e4m3, 464), 0x7EU);
  EXPECT_EQ(cuda(e4m3, std::nextafter(464, inf)), 0x7EU);
  EXPECT_EQ(cuda_nosat(e4m3, std::nextafter(464, inf)), 0x7FU);
  EXPECT_EQ(cuda(e4m3, -inf), 0xFEU);
  EXPECT_EQ(cuda_nosat(e4m3, -inf), 0xFFU);
  EXPECT_EQ(cuda(e4m3, std::copysign(nan, -1)), 0x7FU);
  EXPECT_EQ(encode(e4m3, value_of(std::copysign(nan, -1)), ne, policy_of_f64(cuda13, e4m3)), 0xFFU);
}

TEST(GoldenEncode, E8M0AsTheCudaHeaders) {
  const auto down = RoundingMode::toward_zero;
  const auto up = RoundingMode::toward_positive;
  EXPECT_EQ(cuda(e8m0, -1.0, down), 0x7FU);
  EXPECT_EQ(cuda(e8m0, 0.0, up), 0x00U);
  EXPECT_EQ(cuda(e8m0, 0x1p-128, down), 0x00U);
  EXPECT_EQ(cuda(e8m0, 0x1p-128, up), 0x00U);
  EXPECT_EQ(cuda(e8m0, 0x1.2p-127, down), 0x00U);
  EXPECT_EQ(cuda(e8m0, 0x1.2p-127, up), 0x01U);
  EXPECT_EQ(cuda(e8m0, 0x1.2p127, down), 0xFEU);
  EXPECT_EQ(cuda(e8m0, 0x1.2p127, up), 0xFEU);
  EXPECT_EQ(cuda_nosat(e8m0, 0x1.2p127, down), 0xFEU);
  EXPECT_EQ(cuda_nosat(e8m0, 0x1.2p127, up), 0xFFU);
  EXPECT_EQ(cuda(e8m0, inf, up), 0xFEU);
  EXPECT_EQ(cuda_nosat(e8m0, inf, down), 0xFFU);
  EXPECT_EQ(cuda(e8m0, nan, up), 0xFFU);
  EXPECT_EQ(cuda(e8m0, 1 + 0x1p-52, up), 0x80U);
}

TEST(GoldenEncode, E8M0CornersThisProjectDefines) {
  const Policy clamp = policy_of(saturating, e8m0);
  const Policy strict = policy_of(ieee, e8m0);
  EXPECT_EQ(encode(e8m0, value_of(3.0), ne, clamp), 0x80U);  // tie between 0x80 and 0x81: even
  EXPECT_EQ(encode(e8m0, value_of(1.5), ne, clamp), 0x80U);  // tie between 0x7F and 0x80: even
  EXPECT_EQ(encode(e8m0, value_of(0x1.8p127), ne, strict), 0xFEU);
  EXPECT_EQ(encode(e8m0, value_of(0x1.8000001p127), ne, strict), 0xFFU);
  EXPECT_EQ(encode(e8m0, value_of(0x1.4p-127), ne, clamp), 0x00U);
  EXPECT_EQ(encode(e8m0, value_of(-1.0), ne, clamp), 0x00U);
  EXPECT_EQ(encode(e8m0, value_of(-1.0), ne, strict), 0xFFU);
  EXPECT_EQ(encode(e8m0, value_of(0.0), ne, clamp), 0x00U);
  EXPECT_EQ(encode(e8m0, value_of(0.0), ne, strict), 0xFFU);
  EXPECT_EQ(encode(e8m0, value_of(0x1p-140), RoundingMode::toward_positive, strict), 0x00U);
}

TEST(GoldenEncode, Ue4m3NegativesFollowTheRule) {
  EXPECT_EQ(encode(ue4m3, value_of(-1.0), ne, policy_of(saturating, ue4m3)), 0x00U);
  EXPECT_EQ(encode(ue4m3, value_of(-1.0), ne, policy_of(ieee, ue4m3)), 0x7FU);
  EXPECT_EQ(encode(ue4m3, value_of(-1.0), ne, policy_of(cuda13, ue4m3)), 0x38U);
  EXPECT_EQ(encode(ue4m3, value_of(-0.0), ne, policy_of(ieee, ue4m3)), 0x00U);
}

TEST(GoldenEncode, Bfloat16AsTheCudaHeaders) {
  EXPECT_EQ(cuda(bf16, nan), 0x7FFFU);
  EXPECT_EQ(cuda(bf16, std::copysign(nan, -1)), 0x7FFFU);
  const double float_max = std::numeric_limits<float>::max();
  EXPECT_EQ(cuda(bf16, float_max), 0x7F80U);
  EXPECT_EQ(cuda(bf16, float_max, RoundingMode::toward_zero), 0x7F7FU);
  EXPECT_EQ(cuda(bf16, 1 + 0x1p-8 + 0x1p-40), 0x3F81U);
}

TEST(GoldenEncode, QuotientsAreRoundedOnce) {
  const RationalValue third = RationalValue::finite(Rational(1, 3));
  EXPECT_EQ(encode(fp32, third, ne, policy_of(ieee, fp32)), 0x3EAAAAABU);
  EXPECT_EQ(encode(fp32, third, RoundingMode::toward_zero, policy_of(ieee, fp32)), 0x3EAAAAAAU);
  EXPECT_EQ(encode(fp32, third, RoundingMode::to_odd, policy_of(ieee, fp32)), 0x3EAAAAABU);
}

TEST(GoldenEncode, RejectsWhatAFormatCannotExpress) {
  const Policy to_infinity{Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp};
  const Policy to_nan{Overflow::to_nan, NanRule::max_finite, UnsignedRule::clamp};
  const Policy zero{Overflow::saturate, NanRule::zero, UnsignedRule::clamp};
  EXPECT_THROW((void)encode(e4m3, value_of(1.0), ne, to_infinity), std::invalid_argument);
  EXPECT_THROW((void)encode(e2m1, value_of(1.0), ne, to_nan), std::invalid_argument);
  EXPECT_THROW((void)encode(e8m0, value_of(1.0), ne, zero), std::invalid_argument);
  EXPECT_THROW((void)encode(e2m1, value_of(1.0), RoundingMode::stochastic, policy_of(ieee, e2m1)),
               std::invalid_argument);
  EXPECT_THROW(
      (void)encode(e2m1, value_of(1.0), RoundingMode::stochastic, policy_of(ieee, e2m1), {2, 4}),
      std::invalid_argument);
  for (const Profile* profile : all_profiles)
    for (const ProfileRow& row : profile->rows) {
      EXPECT_TRUE(expressible(*row.format, row.policy)) << profile->name << row.format->name;
      EXPECT_TRUE(expressible(*row.format, policy_of_f64(*profile, *row.format)));
    }
}

}  // namespace
}  // namespace assay::golden
