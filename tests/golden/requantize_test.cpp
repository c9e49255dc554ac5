// SPDX-License-Identifier: Apache-2.0
// Quantizing a transpose, and quantizing inside a GEMM.
#include "golden/requantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "golden/layout.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/presets.h

std::vector<float> normal_numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  return x;
}

bool same(const BlockScaledTensor& a, const BlockScaledTensor& b) {
  return a.rows == b.rows && a.cols == b.cols && a.codes == b.codes && a.scales == b.scales &&
         a.tensor_scale == b.tensor_scale;
}

TEST(GoldenRequantize, TransposeMovesEveryElement) {
  const std::vector<float> x{1, 2, 3, 4, 5, 6};
  EXPECT_EQ(transpose(x, 2, 3), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(transpose(transpose(x, 2, 3), 3, 2), x);
  EXPECT_THROW((void)transpose(x, 2, 2), std::invalid_argument);
}

TEST(GoldenRequantize, DequantizedNumbersAreRoundedOnce) {
  const BlockScaledTensor t = quantize(normal_numbers(3 * 40, 3), 3, 40, nvfp4);
  const std::vector<Value> exact = dequantize(t);
  const std::vector<float> rounded = dequantize_to_fp32(t);
  ASSERT_EQ(rounded.size(), exact.size());
  int inexact = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const Rational distance = boost::multiprecision::abs(Exact::from_float(rounded[i]).rational() -
                                                         exact[i].number.rational());
    const float half_ulp =
        (std::nextafter(std::abs(rounded[i]), INFINITY) - std::abs(rounded[i])) / 2;
    EXPECT_TRUE(distance <= Exact::from_float(half_ulp).rational());
    EXPECT_EQ(std::signbit(rounded[i]), exact[i].negative);
    inexact += distance != 0 ? 1 : 0;
  }
  EXPECT_GT(inexact, 20) << "the tensor scale 0x1.139022p-10 has too many bits for exact products";
}

TEST(GoldenRequantize, BlocksOfTheTransposeRunAlongItsRows) {
  // Row 0 is large, row 1 small: X has a scale factor of its own for each, X^T mixes them.
  std::vector<float> x(2 * 32, 6.0F);
  std::fill(x.begin() + 32, x.end(), 0.75F);
  const BlockScaledTensor q = transpose_quantize(x, 2, 32, mxfp4_floor);
  ASSERT_EQ(q.rows, 32);
  ASSERT_EQ(q.cols, 2);
  for (std::int64_t r = 0; r < 32; ++r) {
    EXPECT_EQ(load_scale(q, r, 0), 127U);
    EXPECT_EQ(load_code(q, r, 0), 7U);
    EXPECT_EQ(load_code(q, r, 1), 2U) << "0.75 is a tie between 0.5 and 1: the even code";
  }
  const BlockScaledTensor back = transpose_requantize(quantize(x, 2, 32, mxfp4_floor), mxfp4_floor);
  EXPECT_TRUE(same(back, q)) << "both rows are exact in their own scale";
}

TEST(GoldenRequantize, RoundingTwiceIsNotRoundingOnce) {
  const std::vector<float> x = normal_numbers(32 * 48, 2);
  const BlockScaledTensor once = transpose_quantize(x, 32, 48, nvfp4);
  const BlockScaledTensor twice = transpose_requantize(quantize(x, 32, 48, nvfp4), nvfp4);
  EXPECT_EQ(once.rows, 48);
  EXPECT_EQ(twice.cols, 32);
  EXPECT_FALSE(same(once, twice));
  EXPECT_TRUE(same(
      twice,
      quantize(transpose(dequantize_to_fp32(quantize(x, 32, 48, nvfp4)), 32, 48), 48, 32, nvfp4)));
}

TEST(GoldenRequantize, ANanBlockReachesEveryColumnItTouches) {
  std::vector<float> x(2 * 32, 1.0F);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  const BlockScaledTensor q = transpose_requantize(quantize(x, 2, 32, mxfp4_floor), mxfp4_floor);
  for (std::int64_t r = 0; r < 32; ++r) EXPECT_EQ(load_scale(q, r, 0), 0xFFU) << r;
  const BlockScaledTensor source = transpose_quantize(x, 2, 32, mxfp4_floor);
  for (std::int64_t r = 0; r < 32; ++r) {
    EXPECT_EQ(load_scale(source, r, 0) == 0xFFU, r == 3) << r;
  }
}

TEST(GoldenRequantize, FusedIsQuantizeThenGemm) {
  const std::vector<float> a = normal_numbers(3 * 32, 3);
  const FactoredMatrix b = factor(quantize(normal_numbers(4 * 32, 4), 4, 32, mxfp4_floor));
  const GemmOracle fused = quantize_gemm_oracle(a, 3, nvfp4, {}, b, {0.5F, 0.0F, {}, {}}, {});
  const std::vector<GemmElement> exact = gemm(
      decode_matrix(quantize(a, 3, 32, nvfp4)),
      decode_matrix(quantize(normal_numbers(4 * 32, 4), 4, 32, mxfp4_floor)), {0.5F, 0.0F, {}, {}});
  const std::vector<GemmElement> unquantized = gemm(
      decode_matrix(a, 3, 32),
      decode_matrix(quantize(normal_numbers(4 * 32, 4), 4, 32, mxfp4_floor)), {0.5F, 0.0F, {}, {}});
  ASSERT_EQ(fused.reference.size(), 12U);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_TRUE(fused.reference[i] == to_rational(exact[i].exact));
    EXPECT_FALSE(fused.reference[i] == to_rational(unquantized[i].exact));
  }
  EXPECT_THROW((void)quantize_gemm_oracle(a, 2, nvfp4, {}, b, {}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
