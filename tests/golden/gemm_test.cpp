// SPDX-License-Identifier: Apache-2.0
// The exact GEMM against sums written out term by term, and against cases computed by hand.
#include "golden/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "golden/quantize.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/presets.h

constexpr float inf = std::numeric_limits<float>::infinity();

std::vector<float> normal_numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  return x;
}

TEST(GoldenGemm, BlockScaledOperandsTermByTerm) {
  const Matrix a = decode_matrix(quantize(normal_numbers(3 * 40, 1), 3, 40, nvfp4));
  const Matrix b = decode_matrix(quantize(normal_numbers(5 * 40, 2), 5, 40, mxfp4_floor));
  const std::vector<float> c = normal_numbers(15, 3);
  const std::vector<float> bias = normal_numbers(5, 4);
  const std::vector<GemmElement> d = gemm(a, b, {0.3F, -1.7F, c, bias});
  ASSERT_EQ(d.size(), 15U);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      Rational sum = 0;
      Rational absolute = 0;
      for (std::size_t k = 0; k < 40; ++k) {
        const Rational product =
            a.values[i * 40 + k].number.rational() * b.values[j * 40 + k].number.rational();
        sum += product;
        absolute += boost::multiprecision::abs(product);
      }
      const GemmElement& element = d[i * 5 + j];
      EXPECT_EQ(element.dot.number.rational().compare(sum), 0);
      EXPECT_EQ(element.absolute_sum.rational().compare(absolute), 0);
      sum = sum * Exact::from_float(0.3F).rational() +
            Exact::from_float(-1.7F).rational() * Exact::from_float(c[i * 5 + j]).rational() +
            Exact::from_float(bias[j]).rational();
      EXPECT_EQ(element.exact.number.rational().compare(sum), 0);
    }
}

TEST(GoldenGemm, CancellationLosesNothing) {
  const float a[] = {0x1p100F, 1.0F, -0x1p100F};
  const float b[] = {1.0F, 0x1p-149F, 1.0F};
  const auto d = gemm(decode_matrix(a, 1, 3), decode_matrix(b, 1, 3));
  EXPECT_EQ(d[0].exact, value_of(0x1p-149F));
  EXPECT_EQ(d[0].absolute_sum, Exact::power_of_two(101) + Exact::power_of_two(-149));
  EXPECT_EQ(round_to(fp32, d, RoundingMode::nearest_even, policy_of(ieee, fp32))[0], 1U);
}

TEST(GoldenGemm, SpecialValuesFollowIeee754) {
  const auto dot = [](std::vector<float> a, std::vector<float> b) {
    const auto k = static_cast<std::int64_t>(a.size());
    return gemm(decode_matrix(a, 1, k), decode_matrix(b, 1, k))[0].exact;
  };
  EXPECT_TRUE(dot({inf, 1}, {1, 1}).is_infinite());
  EXPECT_TRUE(dot({inf, 1}, {-1, 1}).negative);
  EXPECT_TRUE(dot({inf, 1}, {0, 1}).is_nan());
  EXPECT_TRUE(dot({0, 1}, {inf, 1}).is_nan());
  EXPECT_TRUE(dot({2, 1}, {-inf, 1}).negative);
  EXPECT_TRUE(dot({inf, inf}, {1, -1}).is_nan());
  EXPECT_TRUE(dot({NAN, 1}, {0, 1}).is_nan());
  const Value zero = dot({-0.0F, 1}, {1, -0.0F});
  EXPECT_TRUE(zero.is_zero() && !zero.negative);
}

TEST(GoldenGemm, EpilogueSpecialValues) {
  const float one[] = {1.0F};
  const float c[] = {inf};
  const Matrix m = decode_matrix(one, 1, 1);
  EXPECT_EQ(gemm(m, m, {1.0F, 0.0F, c, {}})[0].exact, value_of(1.0F)) << "beta = 0 does not read C";
  EXPECT_TRUE(gemm(m, m, {1.0F, 2.0F, c, {}})[0].exact.is_infinite());
  EXPECT_TRUE(gemm(m, m, {-inf, 1.0F, c, {}})[0].exact.is_nan());
}

TEST(GoldenGemm, PoisonedBlocksReachExactlyTheirRowsAndColumns) {
  std::vector<float> x(2 * 32, 1.0F);
  x[32] = inf;
  const Matrix a = decode_matrix(quantize(x, 2, 32, nvfp4));
  const Matrix b = decode_matrix(quantize(std::vector<float>(32, 1.0F), 1, 32, nvfp4));
  const auto d = gemm(a, b);
  EXPECT_TRUE(d[0].exact.is_finite());
  EXPECT_TRUE(d[1].exact.is_nan());
}

TEST(GoldenGemm, Bf16OperandAndRounding) {
  const std::uint16_t codes[] = {0x3F80, 0x4040};  // 1, 3
  const float w[] = {1.0F, 0x1p-9F};
  const auto d = gemm(decode_matrix(bf16, codes, 1, 2), decode_matrix(w, 1, 2));
  // 1 + 3 * 2^-9 = 1 + 1.5 * 2^-8 lies between 1 and 1 + 2^-7 in bfloat16, nearer to the latter.
  EXPECT_EQ(round_to(bf16, d, RoundingMode::nearest_even, policy_of(ieee, bf16))[0], 0x3F81U);
  EXPECT_EQ(round_to(bf16, d, RoundingMode::toward_zero, policy_of(ieee, bf16))[0], 0x3F80U);
}

TEST(GoldenGemm, TransposeAndShapeErrors) {
  const float x[] = {1, 2, 3, 4, 5, 6};
  const Matrix m = decode_matrix(x, 2, 3);
  const Matrix t = transpose(m);
  ASSERT_EQ(t.values.size(), 6U);
  EXPECT_EQ(t.rows, 3);
  EXPECT_EQ(t.cols, 2);
  for (std::int64_t r = 0; r < 2; ++r)
    for (std::int64_t c = 0; c < 3; ++c) EXPECT_EQ(t.values[c * 2 + r], m.values[r * 3 + c]);
  EXPECT_THROW((void)gemm(m, transpose(m)), std::invalid_argument);
  EXPECT_THROW((void)gemm(m, m, {1.0F, 1.0F, {}, {}}), std::invalid_argument);
  EXPECT_THROW((void)gemm(m, m, {1.0F, 0.0F, {}, x}), std::invalid_argument);
  EXPECT_THROW((void)decode_matrix(x, 2, 2), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
