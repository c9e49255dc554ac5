// SPDX-License-Identifier: Apache-2.0
#include "golden/exact.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "golden/value.h"

namespace assay::golden {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Exact, IsNormalised) {
  const Exact x(Integer(-48), 3);
  EXPECT_EQ(x.significand.compare(-3), 0);
  EXPECT_EQ(x.exponent, 7);
  EXPECT_EQ(Exact(Integer(0), 99).exponent, 0);
  EXPECT_EQ(Exact(12), Exact(Integer(3), 2));
}

TEST(Exact, EndsOfDouble) {
  const Exact tiny = Exact::from_double(std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(tiny, Exact::power_of_two(-1074));
  const Exact huge = Exact::from_double(std::numeric_limits<double>::max());
  EXPECT_EQ(huge, Exact::power_of_two(1024) - Exact::power_of_two(971));
  EXPECT_EQ(huge + tiny - huge, tiny);
  EXPECT_THROW((void)Exact::from_double(inf), std::invalid_argument);
  EXPECT_THROW((void)Exact::from_double(nan), std::invalid_argument);
}

TEST(Exact, ArithmeticAgreesWithIntegersAndRationals) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000; ++i) {
    const auto p = static_cast<std::int64_t>(random()) >> 33;
    const auto q = static_cast<std::int64_t>(random()) >> 33;
    const auto e = static_cast<std::int64_t>(random() % 40) - 20;
    const Exact a(Integer(p), e);
    const Exact b(Integer(q), -e);
    EXPECT_EQ((a + b).rational().compare(a.rational() + b.rational()), 0);
    EXPECT_EQ((a - b).rational().compare(a.rational() - b.rational()), 0);
    EXPECT_EQ((a * b).rational().compare(a.rational() * b.rational()), 0);
    EXPECT_EQ(a < b, a.rational().compare(b.rational()) < 0);
    EXPECT_EQ(Exact(p) * Exact(q), Exact(p * q));
  }
}

TEST(Exact, FloorLog2) {
  EXPECT_EQ(floor_log2(1, 1), 0);
  EXPECT_EQ(floor_log2(7, 1), 2);
  EXPECT_EQ(floor_log2(8, 1), 3);
  EXPECT_EQ(floor_log2(1, 3), -2);
  EXPECT_EQ(floor_log2(1, 4), -2);
  EXPECT_EQ(floor_log2(7, 8), -1);
  EXPECT_EQ(floor_log2(9, 8), 0);
}

TEST(Exact, ApproximateIsExactWhereADoubleIs) {
  for (const double x : {0.0, 1.0, -0.375, 0x1p-1074, -0x1.fffffffffffffp1023})
    EXPECT_EQ(approximate(Exact::from_double(x)), x);
  EXPECT_EQ(approximate(Exact::power_of_two(5000)), inf);
}

TEST(Value, ArithmeticAgreesWithTheProcessorOnSpecials) {
  // Small integers, zeros, infinities and NaN: sums and products of these are exact in double.
  const double xs[] = {0.0, -0.0, 1.0, -1.0, 3.0, -0.5, inf, -inf, nan};
  for (const double x : xs)
    for (const double y : xs) {
      const Value sum = value_of(x) + value_of(y);
      const Value product = value_of(x) * value_of(y);
      const auto same = [](const Value& v, double z) {
        if (v.is_nan()) return z != z;
        return v == value_of(z) && v.negative == value_of(z).negative;
      };
      EXPECT_TRUE(same(sum, x + y)) << x << " + " << y;
      EXPECT_TRUE(same(product, x * y)) << x << " * " << y;
      EXPECT_EQ(less(value_of(x), value_of(y)), x < y) << x << " < " << y;
      EXPECT_EQ(value_of(x) == value_of(y), x == y) << x << " == " << y;
      if (y != 0) {  // division by zero follows OpCode::divide, not IEEE
        const RationalValue quotient = to_rational(value_of(x)) / to_rational(value_of(y));
        EXPECT_EQ(quotient.is_nan(), (x / y) != (x / y)) << x << " / " << y;
        EXPECT_EQ(quotient.is_infinite(), (x / y) == inf || (x / y) == -inf);
      }
    }
}

TEST(Value, DivisionByZeroKeepsTheSignOfTheDividend) {
  const auto at = [](double x) { return to_rational(value_of(x)); };
  EXPECT_TRUE((at(1.0) / at(0.0)).is_infinite() && !(at(1.0) / at(-0.0)).negative);
  EXPECT_TRUE((at(-1.0) / at(0.0)).negative);
  EXPECT_TRUE((at(0.0) / at(0.0)).is_nan());
}

}  // namespace
}  // namespace assay::golden
