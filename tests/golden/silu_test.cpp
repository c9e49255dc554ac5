// SPDX-License-Identifier: Apache-2.0
// exp and silu against long double, and against what is known of them without it.
#include "golden/silu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace assay::golden {
namespace {

// A long double is a sum of two doubles here: 64 bits of significand.
Rational exactly(long double x) {
  const auto high = static_cast<double>(x);
  const auto low = static_cast<double>(x - static_cast<long double>(high));
  return Exact::from_double(high).rational() + Exact::from_double(low).rational();
}

Rational ratio(std::int64_t a, std::int64_t b) { return Rational(a) / b; }
Rational power(std::int64_t e) { return Exact::power_of_two(e).rational(); }

bool narrow(const Enclosure& e, int bits) {
  const Rational size = boost::multiprecision::abs(e.lower);
  return e.lower <= e.upper && e.upper - e.lower <= 2 * size * power(-bits);
}

TEST(GoldenSilu, ExpHoldsLongDoubleWithinItsError) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(-700, 700);
  for (int i = 0; i < 5000; ++i) {
    const double x = i % 2 == 0 ? uniform(random) : std::ldexp(uniform(random), -(i % 40) - 9);
    const Enclosure e = exp_enclosure(Exact::from_double(x).rational(), 80);
    ASSERT_TRUE(narrow(e, 79)) << x;
    const Rational slack = e.upper * power(-60);
    const Rational reference = exactly(std::exp(static_cast<long double>(x)));
    ASSERT_TRUE(e.lower - slack <= reference && reference <= e.upper + slack) << x;
  }
}

TEST(GoldenSilu, ExpObeysItsFunctionalEquationToThreeHundredBits) {
  const Rational x = ratio(22, 7);
  const Rational y = ratio(-355, 113);
  const Enclosure a = exp_enclosure(x, 300);
  const Enclosure b = exp_enclosure(y, 300);
  const Enclosure both = exp_enclosure(x + y, 300);
  EXPECT_TRUE(a.lower * b.lower <= both.upper && both.lower <= a.upper * b.upper);
  EXPECT_TRUE(narrow(both, 300));
  const Enclosure zero = exp_enclosure(0, 10);
  EXPECT_TRUE(zero.lower == 1 && zero.upper == 1);
  EXPECT_THROW((void)exp_enclosure(power(21), 10), std::invalid_argument);
}

TEST(GoldenSilu, EnclosuresAreNestedOrOverlapAndAgreeWithLongDouble) {
  std::mt19937 random(2);
  std::normal_distribution<double> normal(0, 12);
  for (int i = 0; i < 3000; ++i) {
    const double x = normal(random);
    const Rational exact = Exact::from_double(x).rational();
    const Enclosure coarse = silu_enclosure(exact, 64);
    const Enclosure fine = silu_enclosure(exact, 200);
    ASSERT_TRUE(narrow(coarse, 63) && narrow(fine, 199)) << x;
    ASSERT_TRUE(coarse.lower <= fine.upper && fine.lower <= coarse.upper) << x;
    const auto wide = static_cast<long double>(x);
    const Rational reference = exactly(wide / (1 + std::exp(-wide)));
    const Rational slack = boost::multiprecision::abs(fine.lower) * power(-58);
    ASSERT_TRUE(fine.lower - slack <= reference && reference <= fine.upper + slack) << x;
  }
}

TEST(GoldenSilu, FallsThenRises) {
  Enclosure last = silu_enclosure(Rational(-60), 160);
  for (int i = -6000 + 1; i <= 4000; ++i) {
    const Enclosure now = silu_enclosure(ratio(i, 100), 160);
    if (i <= -128) {
      ASSERT_TRUE(now.upper < last.lower) << i;
    } else if (i > -127) {
      ASSERT_TRUE(now.lower > last.upper) << i;
    }
    last = now;
  }
}

TEST(GoldenSilu, FarOutItIsXOrNothing) {
  const Rational huge = power(127);
  const Enclosure right = silu_enclosure(huge, 100);
  EXPECT_TRUE(right.upper == huge && right.lower < huge && narrow(right, 100));
  const Enclosure left = silu_enclosure(-huge, 100);
  EXPECT_TRUE(left.upper == 0 && left.lower < 0 && left.lower >= -100 * power(-100));
  EXPECT_TRUE(silu_enclosure(0, 64).upper == 0);
}

TEST(GoldenSilu, TheRangeHoldsTheLeastValue) {
  const Enclosure inside = silu_range(Rational(-3), Rational(1), 64);
  for (int i = -300; i <= 100; ++i) {
    const Enclosure at = silu_enclosure(ratio(i, 100), 64);
    EXPECT_TRUE(inside.lower <= at.lower && at.upper <= inside.upper) << i;
  }
  EXPECT_TRUE(inside.lower > ratio(-2785, 10000));
  EXPECT_TRUE(silu_range(Rational(-1), Rational(1), 64).lower > ratio(-27, 100));
  // The signs that place x*: x + 1 + exp(x) rises through 0 there.
  EXPECT_TRUE(exp_enclosure(ratio(-127847, 100000), 64).upper < ratio(27847, 100000));
  EXPECT_TRUE(exp_enclosure(ratio(-127846, 100000), 64).lower > ratio(27846, 100000));
}

}  // namespace
}  // namespace assay::golden
