// SPDX-License-Identifier: Apache-2.0
// The gated epilogue: its definition, its corners, and FP32 kernels that the bound accepts or
// rejects.
#include "golden/gated.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace assay::golden {
namespace {

using formats::bf16;
using formats::fp32;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

RationalValue number(float x) { return to_rational(value_of(x)); }
std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

std::uint32_t rounded(float g, float u, std::optional<float> limit, const FormatSpec& spec) {
  return encode(spec, gated(number(g), number(u), limit), RoundingMode::nearest_even,
                policy_of(formats::ieee, spec));
}

TEST(GoldenGated, RoundsAsLongDoubleDoesAwayFromTies) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 5);
  int decided = 0;
  for (int i = 0; i < 3000; ++i) {
    const float g = normal(random);
    const float u = normal(random);
    const auto wide = static_cast<long double>(g);
    const long double h = wide / (1 + std::exp(-wide)) * u;
    const auto below = static_cast<float>(h * (1 - 1e-17L));
    if (below != static_cast<float>(h * (1 + 1e-17L))) continue;
    ++decided;
    ASSERT_EQ(rounded(g, u, std::nullopt, fp32), bits_of(below)) << g << ' ' << u;
  }
  EXPECT_GT(decided, 2900);
}

TEST(GoldenGated, TheLimitCutsTheGateAboveAndUpBothWays) {
  EXPECT_EQ(rounded(12, 3, 10.0F, bf16), rounded(10, 3, std::nullopt, bf16));
  EXPECT_EQ(rounded(inf, 3, 10.0F, bf16), rounded(10, 3, std::nullopt, bf16));
  EXPECT_EQ(rounded(-12, 3, 10.0F, fp32), rounded(-12, 3, std::nullopt, fp32));
  EXPECT_NE(rounded(-12, 3, 10.0F, fp32), rounded(-10, 3, std::nullopt, fp32));
  EXPECT_EQ(rounded(2, 30, 10.0F, bf16), rounded(2, 10, std::nullopt, bf16));
  EXPECT_EQ(rounded(2, -inf, 10.0F, bf16), rounded(2, -10, std::nullopt, bf16));
  EXPECT_THROW((void)gated(number(1), number(1), 0.0F), std::invalid_argument);
  EXPECT_THROW((void)gated(number(1), number(1), inf), std::invalid_argument);
}

TEST(GoldenGated, SpecialValues) {
  const auto value = [](float g, float u) { return gated(number(g), number(u), std::nullopt); };
  EXPECT_TRUE(value(not_a_number, 0).special.is_nan());
  EXPECT_TRUE(value(1, not_a_number).special.is_nan());
  EXPECT_TRUE(gated(number(not_a_number), number(1), 10.0F).special.is_nan());
  EXPECT_TRUE(value(inf, -2).special.is_infinite() && value(inf, -2).special.negative);
  EXPECT_TRUE(value(inf, 0).special.is_nan());
  EXPECT_TRUE(value(-inf, 2).special.is_zero() && value(-inf, 2).special.negative);
  EXPECT_TRUE(value(-inf, inf).special.is_nan());
  EXPECT_TRUE(value(-0.0F, 2).special.is_zero() && value(-0.0F, 2).special.negative);
  // Below every format: the sign is kept, and directed rounding still sees that it is not zero.
  EXPECT_EQ(rounded(-0x1p127F, 1, std::nullopt, fp32), 0x80000000U);
  const Gated tiny = gated(number(-0x1p127F), number(1), std::nullopt);
  EXPECT_EQ(encode(fp32, tiny, RoundingMode::toward_negative, policy_of(formats::ieee, fp32)),
            0x80000001U);
  EXPECT_EQ(encode(fp32, tiny, RoundingMode::toward_positive, policy_of(formats::ieee, fp32)),
            0x80000000U);
}

Judgement judged(float g, float u, float answer, const GatedKernel& kernel = {},
                 const Bound& g_bound = {}, const Bound& u_bound = {}) {
  return judge(fp32, bits_of(answer), gated(number(g), number(u), kernel.limit),
               gated_bound(number(g), g_bound, number(u), u_bound, kernel));
}

TEST(GoldenGated, WhatFp32CannotDecideIsNotJudgeable) {
  EXPECT_EQ(judged(-inf, 2, not_a_number), Judgement::not_judgeable);
  EXPECT_EQ(judged(-inf, 2, -0.0F), Judgement::not_judgeable);
  EXPECT_EQ(judged(inf, 2, inf), Judgement::within);
  EXPECT_EQ(judged(inf, 2, -inf), Judgement::outside);
  EXPECT_EQ(judged(2, -inf, -inf), Judgement::within);
  EXPECT_EQ(judged(-200, inf, -inf), Judgement::not_judgeable) << "silu may be 0: 0 * Inf";
  const Bound loose{true, 1, ""};
  EXPECT_EQ(judged(inf, 0.5F, inf, {}, {}, loose), Judgement::not_judgeable);
  EXPECT_EQ(judged(0.5F, inf, inf, {}, loose), Judgement::not_judgeable);
  EXPECT_EQ(judged(not_a_number, 2, 0), Judgement::outside);
  EXPECT_EQ(judged(1, 2, 1, {}, {false, 0, "no bound"}), Judgement::not_judgeable);
  EXPECT_EQ(judged(0x1p100F, 0x1p100F, inf), Judgement::not_judgeable);
  GatedKernel hopeless;
  hopeless.exp_ulps = Exact::power_of_two(22).rational();
  EXPECT_EQ(judged(1, 2, 1, hopeless), Judgement::not_judgeable);
  EXPECT_EQ(judged(0, 5, 0), Judgement::within);
  EXPECT_EQ(judged(0, 5, 0x1p-149F), Judgement::outside);
}

// FP32 kernels. `exp_error` is a relative error put on the exponential.
enum class Shape { quotient_first, sigmoid_first, product_first };
float kernel(float g, float u, Shape shape, double exp_error, std::optional<float> limit) {
  if (limit) {
    g = std::min(g, *limit);
    u = std::max(std::min(u, *limit), -*limit);
  }
  const auto e = static_cast<float>(std::exp(-static_cast<double>(g)) * (1 + exp_error));
  const float d = 1.0F + e;
  switch (shape) {
    case Shape::quotient_first:
      return g / d * u;
    case Shape::sigmoid_first:
      return g * (1.0F / d) * u;
    case Shape::product_first:
      return g * u / d;
  }
  return 0;
}

struct Points {
  std::mt19937 random;
  std::normal_distribution<float> normal{0, 4};
  std::uniform_real_distribution<float> wide{-110, 110};
  int count = 0;

  explicit Points(unsigned seed) : random(seed) {}
  float gate() {
    switch (++count % 4) {
      case 0:
        return wide(random);
      case 1:
        return std::ldexp(normal(random), -count % 140);
      default:
        return normal(random);
    }
  }
};

TEST(GoldenGated, Fp32KernelsAreWithinOnAHundredThousandPoints) {
  Points points(4);
  for (int i = 0; i < 100000; ++i) {
    const float g = points.gate();
    const float u = points.gate();
    GatedKernel claim;
    if (i % 2 == 0) claim.limit = 10.0F;
    // As wrong as __expf may be: half an ulp less, for the rounding of the exponential to FP32.
    const double worst = (2 + 1.173 * std::min(std::abs(g), 90.0F)) * 0x1p-23;
    const double error = i % 3 == 0 ? worst : i % 3 == 1 ? -worst : 0;
    const float h = kernel(g, u, static_cast<Shape>(i / 2 % 3), error, claim.limit);
    ASSERT_EQ(judged(g, u, h, claim), Judgement::within) << g << ' ' << u << ' ' << h;
  }
}

TEST(GoldenGated, OnePercentInTheExponentialIsOutside) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  int outside = 0;
  for (int i = 0; i < 2000; ++i) {
    const float g = normal(random);
    const float u = normal(random);
    const float h = kernel(g, u, Shape::quotient_first, 0.01, std::nullopt);
    outside += judged(g, u, h) == Judgement::outside ? 1 : 0;
  }
  EXPECT_GT(outside, 1980);
}

TEST(GoldenGated, WrongOperandsWithinTheirBoundsAreWithin) {
  Points points(6);
  std::uniform_real_distribution<double> unit(-1, 1);
  int beyond = 0;
  for (int i = 0; i < 4000; ++i) {
    const float g = points.gate();
    const float u = points.gate();
    const double g_error = std::ldexp(1, -(i % 20));
    const double u_error = std::ldexp(1, -(i / 20 % 20));
    const Bound g_bound{true, Exact::from_double(g_error).rational(), ""};
    const Bound u_bound{true, Exact::from_double(u_error).rational(), ""};
    const auto moved = [](double x, double by) { return static_cast<float>(x + by); };
    GatedKernel claim;
    if (i % 2 == 0) claim.limit = 10.0F;
    const float h =
        kernel(moved(g, g_error * unit(points.random)), moved(u, u_error * unit(points.random)),
               Shape::quotient_first, 0, claim.limit);
    ASSERT_EQ(judged(g, u, h, claim, g_bound, u_bound), Judgement::within) << g << ' ' << u;
    const float far = kernel(g, moved(u, 3 * u_error), Shape::quotient_first, 0, std::nullopt);
    beyond += judged(g, u, far, {}, {}, u_bound) == Judgement::outside ? 1 : 0;
  }
  EXPECT_GT(beyond, 2000);
}

// T as docs/bounds.md states it, in long double.
long double stated(long double g, long double u, long double g_error, long double u_error,
                   const GatedKernel& claim) {
  const auto silu = [](long double x) { return x / (1 + std::exp(-x)); };
  const auto number_of = [](const Rational& x) { return x.convert_to<long double>(); };
  const long double v = 0x1p-24L;
  const long double a = g - g_error;
  const long double b = g + g_error;
  const long double largest = std::max(std::abs(a), std::abs(b));
  const long double eps =
      (number_of(claim.exp_ulps) + number_of(claim.exp_ulps_per_unit) * std::min(largest, 90.0L)) *
      2 * v;
  const long double w = a > 0 ? std::exp(-a) : 1;
  const long double rho = (1 + number_of(claim.division_ulps) * 2 * v) * (1 + v) * (1 + v) /
                              ((1 - w * eps - 0x1p-126L) * (1 - v)) -
                          1;
  long double least = std::min(silu(a), silu(b));
  if (a < -1.27846L && b > -1.27847L) least = std::min(least, -0.27847L);
  const long double ds = std::max(std::max(silu(a), silu(b)) - silu(g), silu(g) - least);
  const long double c = std::min(b, -87.0L);
  const long double cut_off = a <= -87 ? -c * std::exp(c) : 0;
  const long double reach = std::abs(u) + u_error;
  const long double h = claim.flush_subnormals ? 0x1p-126L : 0x1p-150L;
  return (ds + rho * (std::abs(silu(g)) + ds) + cut_off) * reach + std::abs(silu(g)) * u_error +
         3 * h * (1 + rho) * std::max(1.0L, largest) * std::max(1.0L, reach);
}

TEST(GoldenGated, TIsTheStatedOne) {
  GatedKernel accurate;
  accurate.exp_ulps_per_unit = 0;
  GatedKernel sloppy;
  sloppy.division_ulps = 2;
  int compared = 0;
  for (const GatedKernel& claim : {GatedKernel{}, accurate, sloppy}) {
    for (const float g : {-100.0F, -88.5F, -86.0F, -5.0F, -1.25F, -0.25F, 0.5F, 3.0F, 40.0F}) {
      for (const float error : {0.0F, 0x1p-10F, 1.0F}) {
        for (const float u : {0x1p-20F, 1.5F, -7.0F}) {
          GatedKernel unrounded = claim;
          unrounded.intermediate = nullptr;
          const Bound g_bound{true, Exact::from_float(error).rational(), ""};
          const Bound u_bound{true, Exact::from_float(error / 4).rational(), ""};
          const Bound t = gated_bound(number(g), g_bound, number(u), u_bound, unrounded);
          ASSERT_TRUE(t.judgeable);
          const long double expected = stated(g, u, error, error / 4, unrounded);
          const auto computed = t.error.convert_to<long double>();
          // Differences of silu cancel in long double: 2^-60 of the operands on either side.
          const long double cancelled = error == 0 ? 0 : 0x1p-60L * std::abs(g * u);
          EXPECT_LE(std::abs(computed - expected), expected * 1e-11L + cancelled) << g << ' ' << u;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, 243);
}

TEST(GoldenGated, FlushingAndBf16OperandsNeedTheClaim) {
  GatedKernel flushing;
  flushing.flush_subnormals = true;
  EXPECT_EQ(judged(0x1p-126F, 1, 0, flushing), Judgement::within);
  EXPECT_EQ(judged(0x1p-126F, 1, 0), Judgement::outside);
  GatedKernel narrow;
  narrow.intermediate = &bf16;
  const float g = 1.00390625F;  // a tie in bf16: 1
  EXPECT_EQ(judged(g, 1, kernel(1.0F, 1, Shape::quotient_first, 0, std::nullopt), narrow),
            Judgement::within);
  EXPECT_EQ(judged(g, 1, kernel(1.0F, 1, Shape::quotient_first, 0, std::nullopt)),
            Judgement::outside);
}

TEST(GoldenGated, TheCorrectlyRoundedResultIsAllowedFarOut) {
  for (const int gate : {-60, -64, -65, -68, -80}) {
    const Gated exact = gated(RationalValue::finite(gate), RationalValue::finite(14), std::nullopt);
    for (const FormatSpec* output : {&fp32, &bf16}) {
      const std::uint32_t code =
          encode(*output, exact, RoundingMode::nearest_even, policy_of(formats::ieee, *output));
      EXPECT_EQ(judge(*output, code, exact, {}), Judgement::within) << gate;
      EXPECT_EQ(judge(*output, code + 1, exact, {}), Judgement::outside) << gate;
      EXPECT_EQ(judge(*output, 0, exact, {}), Judgement::outside) << gate;
    }
  }
}

TEST(GoldenGated, OracleOfTwoProducts) {
  const std::vector<std::uint16_t> x{0x3F80, 0x4000};     // 1, 2
  const std::vector<std::uint16_t> gate{0x3F80, 0x3F80};  // 1, 1
  const std::vector<std::uint16_t> up{0x4000, 0xBF80};    // 2, -1: a product of 0
  const FactoredMatrix a = factor(bf16, x, 1, 2);
  const GatedOracle oracle = gated_oracle(gemm_oracle(a, factor(bf16, gate, 1, 2), {}, {}),
                                          gemm_oracle(a, factor(bf16, up, 1, 2), {}, {}), {});
  ASSERT_EQ(oracle.reference.size(), 1U);
  EXPECT_FALSE(oracle.reference[0].irrational);
  EXPECT_EQ(judge(fp32, 0, oracle.reference[0], oracle.bounds[0]), Judgement::within);
  const GatedOracle square = gated_oracle(gemm_oracle(a, factor(bf16, gate, 1, 2), {}, {}),
                                          gemm_oracle(a, factor(bf16, gate, 1, 2), {}, {}), {});
  const float h = kernel(3, 3, Shape::quotient_first, 0, std::nullopt);
  EXPECT_EQ(judge(fp32, bits_of(h), square.reference[0], square.bounds[0]), Judgement::within);
  EXPECT_THROW((void)gated_oracle({}, gemm_oracle(a, a, {}, {}), {}), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
