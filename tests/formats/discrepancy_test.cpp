// SPDX-License-Identifier: Apache-2.0
// Inputs on which published implementations disagree (CUDA headers, ml_dtypes, gfloat,
// microxcaling, Universal, CPFloat): what this codec answers, as codes, and where each convention
// is available.
#include <gtest/gtest.h>

#include <limits>

#include "formats/codec.h"

namespace assay::formats {
namespace {

constexpr auto rn = RoundingMode::nearest_even;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
const float signalling = __builtin_bit_cast(float, 0x7F800001U);

std::uint32_t cuda(const FormatSpec& spec, float x, RoundingMode mode = rn) {
  return encode(spec, x, mode, profile_row(cuda13, spec).policy);
}
std::uint32_t cuda_nosat(const FormatSpec& spec, float x, RoundingMode mode = rn) {
  return encode(spec, x, mode, profile_row(cuda13_nosat, spec).policy);
}

TEST(Discrepancies, E2m1) {
  EXPECT_EQ(cuda(e2m1, nan), 0x7U);
  EXPECT_EQ(cuda(e2m1, -nan), 0x7U);
  EXPECT_EQ(cuda(e2m1, signalling), 0x7U);
  EXPECT_EQ(cuda(e2m1, infinity), 0x7U);
  EXPECT_EQ(cuda(e2m1, -infinity), 0xFU);
  EXPECT_EQ(cuda(e2m1, -0.0F), 0x8U);
  EXPECT_EQ(cuda(e2m1, -0.1F), 0x8U);
  EXPECT_EQ(cuda(e2m1, 7.0F), 0x7U);
  EXPECT_EQ(cuda(e2m1, 0.25F), 0x0U);
  EXPECT_EQ(cuda(e2m1, 0.25F, RoundingMode::nearest_away), 0x1U);
  // Ties to the even code at every midpoint.
  const std::pair<float, std::uint32_t> ties[] = {{0.25F, 0}, {0.75F, 2}, {1.25F, 2}, {1.75F, 4},
                                                  {2.5F, 4},  {3.5F, 6},  {5.0F, 6}};
  for (const auto& [x, code] : ties) EXPECT_EQ(cuda(e2m1, x), code) << x;
  // No rounding through FP32 on the way from FP64.
  const Policy policy = profile_row(cuda13, e2m1).policy;
  EXPECT_EQ(encode(e2m1, 0.25 + 0x1p-54, rn, policy), 0x1U);
  EXPECT_EQ(encode(e2m1, 2.5 + 0x1p-51, rn, policy), 0x5U);
}

TEST(Discrepancies, E4m3) {
  const float above_464 = __builtin_bit_cast(float, 0x43E80001U);
  EXPECT_EQ(cuda(e4m3, infinity), 0x7EU);
  EXPECT_EQ(cuda_nosat(e4m3, infinity), 0x7FU);
  EXPECT_EQ(cuda_nosat(e4m3, -infinity), 0xFFU);
  EXPECT_EQ(cuda_nosat(e4m3, 464.0F), 0x7EU);
  EXPECT_EQ(cuda_nosat(e4m3, above_464), 0x7FU);
  EXPECT_EQ(cuda(e4m3, above_464), 0x7EU);
  EXPECT_EQ(cuda(e4m3, -nan), 0x7FU);
  EXPECT_EQ(encode(e4m3, -double{nan}, rn, policy_for_f64(profile_row(cuda13, e4m3))), 0xFFU);
}

TEST(Discrepancies, E8m0) {
  const Policy policy = profile_row(saturating, e8m0).policy;
  EXPECT_EQ(cuda(e8m0, 3.0F, RoundingMode::toward_zero), 0x80U);
  EXPECT_EQ(cuda(e8m0, 3.0F, RoundingMode::toward_positive), 0x81U);
  EXPECT_EQ(encode(e8m0, 3.0F, rn, policy), 0x80U) << "1.5 * 2: a tie, to the even code";
  EXPECT_EQ(encode(e8m0, 3.0F, RoundingMode::nearest_away, policy), 0x81U);
  EXPECT_EQ(encode(e8m0, 1.4142137F, rn, policy), 0x7FU) << "the threshold is 1.5, not sqrt(2)";
  EXPECT_EQ(cuda(e8m0, 0.0F, RoundingMode::toward_positive), 0x00U);
  EXPECT_EQ(cuda(e8m0, -1.0F, RoundingMode::toward_positive), 0x7FU);
  // (2^-127, 1.5 * 2^-127) lies below the midpoint: code 0, where one library gives 1.
  for (const std::uint32_t bits : {0x00400001U, 0x005FFFFFU}) {
    const float x = __builtin_bit_cast(float, bits);
    EXPECT_EQ(encode(e8m0, x, rn, policy), 0x00U);
    EXPECT_EQ(cuda(e8m0, x, RoundingMode::toward_zero), 0x00U);
    EXPECT_EQ(cuda(e8m0, x, RoundingMode::toward_positive), 0x01U);
  }
  EXPECT_EQ(encode(e8m0, __builtin_bit_cast(float, 0x00600001U), rn, policy), 0x01U);
  EXPECT_EQ(cuda(e8m0, 0x1.8p127F, RoundingMode::toward_zero), 0xFEU);
  EXPECT_EQ(cuda(e8m0, 0x1.8p127F, RoundingMode::toward_positive), 0xFEU);
  EXPECT_EQ(cuda_nosat(e8m0, 0x1.8p127F, RoundingMode::toward_positive), 0xFFU);
  EXPECT_EQ(encode(e8m0, 0x1p-128F, rn, policy), 0x00U);
  EXPECT_EQ(encode(e8m0, 1 + 0x1p-52, RoundingMode::toward_positive, policy), 0x80U)
      << "FP32 would lose the excess over 1";
}

TEST(Discrepancies, Bf16) {
  EXPECT_EQ(cuda(bf16, -nan), 0x7FFFU);
  EXPECT_EQ(encode(bf16, signalling, rn, profile_row(ieee, bf16).policy), 0x7FC0U);
  EXPECT_EQ(encode(bf16, 1 + 0x1p-8 + 0x1p-40, rn, profile_row(cuda13, bf16).policy), 0x3F81U);
  EXPECT_EQ(cuda(bf16, std::numeric_limits<float>::max()), 0x7F80U);
  EXPECT_EQ(cuda(bf16, std::numeric_limits<float>::max(), RoundingMode::toward_zero), 0x7F7FU);
  EXPECT_EQ(cuda(bf16, 0x1.4p-127F), 0x0050U) << "subnormals are kept";
}

// Quantizing through BF16 is not quantizing: the first positive FP32 pattern where it matters.
TEST(Discrepancies, CastingThroughBf16First) {
  const float x = __builtin_bit_cast(float, 0x3E800001U);
  EXPECT_EQ(cuda(e2m1, x), 0x1U);
  EXPECT_EQ(cuda(e2m1, decode(bf16, cuda(bf16, x))), 0x0U);
}

}  // namespace
}  // namespace assay::formats
