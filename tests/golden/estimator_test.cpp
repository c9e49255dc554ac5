// SPDX-License-Identifier: Apache-2.0
// The estimators against what their papers differentiate: exact difference quotients of PACT's
// clip, EWGS written out, DGE's own function; and FP32 evaluations against their bounds.
#include "golden/estimator.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "golden/estimator_bounds.h"

namespace assay::golden {
namespace {

using boost::multiprecision::abs;
using formats::e2m1;
using formats::fp32;

constexpr std::array<float, 8> grid{0, 0.5F, 1, 1.5F, 2, 3, 4, 6};

float nearest(float u) {
  float best = 0;
  for (const float q : grid) {
    if (std::abs(std::abs(u) - q) < std::abs(std::abs(u) - best)) best = q;
  }
  return std::copysign(best, u);
}
EstimatedWeight weight(float w, float s) {
  return {value_of(w), value_of(nearest(w / s)), value_of(s), &e2m1};
}
Value gradient(float g) { return value_of(g); }

TEST(GoldenEstimator, PactIsTheDerivativeOfItsClip) {
  const auto clip = [](const Rational& w, const Rational& s) {
    const Rational level = 6 * abs(s);
    return w > level ? level : w < -level ? Rational(-level) : w;
  };
  const Rational h(1, Integer(1) << 60);
  for (const float s : {0.25F, -0.25F, 0.3F}) {
    for (const float u : {0.0F, 0.1F, 5.9F, 6.0F, 6.5F, -3.0F, -6.0F, -7.0F}) {
      const float w = u * s;
      const EstimatedWeight at = weight(w, s);
      const bool boundary = abs(Rational(w)) == 6 * abs(Rational(s));
      // At the boundary: outwards in w, and as seen from a smaller clip level.
      const Rational dw = w < 0 ? Rational(-h) : h;
      const Rational ds = s < 0 ? h : Rational(-h);
      EXPECT_EQ(
          Rational((clip(Rational(w) + dw, Rational(s)) - clip(Rational(w), Rational(s))) / dw),
          passes(at, GradientMask::open, 0) ? 1 : 0)
          << w;
      const ScaleTerm term = scale_term(at, ScaleDerivative::pact);
      EXPECT_EQ(
          Rational((clip(Rational(w), Rational(s) + ds) - clip(Rational(w), Rational(s))) / ds),
          term.counts ? term.derivative.number : Rational(0))
          << w;
      EXPECT_EQ(passes(at, GradientMask::closed, 0), boundary || passes(at, GradientMask::open, 0));
    }
  }
  EXPECT_FALSE(
      scale_term({value_of(0.0F), value_of(0.0F), value_of(0.0F), &e2m1}, ScaleDerivative::pact)
          .counts)
      << "sign(0) = 0";
}

TEST(GoldenEstimator, EwgsIsItsFormula) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> in_range(-6, 6);
  for (int i = 0; i < 500; ++i) {
    const float s = i % 3 == 0 ? -0.7F : 0.7F;
    const EstimatedWeight at = weight(in_range(random) * s, s);
    const float delta = 0.3F;
    const Rational difference =
        at.w.number.rational() / at.s.number.rational() - at.q.number.rational();
    for (const float g : {1.5F, -2.5F}) {
      // Through x in units of the scale: dL/dx_q = s g, dL/dw = dL/dx / s.
      const Rational to_q = Rational(s) * Rational(g);
      const Rational sign = to_q > 0 ? 1 : -1;
      const Rational to_x = to_q * (1 + Rational(delta) * sign * difference);
      EXPECT_EQ(estimate(at, GradientFactor::ewgs, gradient(g), delta).sum.number,
                Rational(to_x / Rational(s)));
      EXPECT_EQ(estimate(at, GradientFactor::ewgs, gradient(g), 0).sum.number, Rational(g));
    }
  }
  // At a code, and at w = 0 even with a zero scale, the gradient passes as it is.
  EXPECT_EQ(estimate(weight(3, 1), GradientFactor::ewgs, gradient(2), 1).sum.number, 2);
  EXPECT_EQ(estimate({value_of(0.0F), value_of(0.0F), value_of(0.0F), &e2m1}, GradientFactor::ewgs,
                     gradient(2), 1)
                .sum.number,
            2);
}

// f(x) of arXiv 2501.17116, section 3.1: within a bin of width d from lo.
long double dge_function(long double t, long double d) {
  const long double y = 2 * t / d - 1;
  return d / 2 * (1 + std::copysign(std::pow(std::abs(y), 1.0L / 5), y));
}

TEST(GoldenEstimator, DgeIsTheDerivativeOfItsFunction) {
  int checked = 0;
  for (std::size_t bin = 0; bin + 1 < grid.size(); ++bin) {
    const float d = grid[bin + 1] - grid[bin];
    for (int i = 1; i < 64; ++i) {
      const float t = d * static_cast<float>(i) / 64;
      const EstimatedWeight at = weight(-(grid[bin] + t), 1);
      const auto [low, high] =
          magnitude_enclosure(estimate(at, GradientFactor::dge, gradient(1), 0), 64);
      const auto slope = low.convert_to<long double>();
      EXPECT_LE(high - low, low / (Integer(1) << 60));
      if (i >= 31 && i <= 33) {
        EXPECT_EQ(low, 3) << "capped: |2t/d - 1| <= 15^(-5/4) = 0.0338...";
        continue;
      }
      const long double h = 1e-7L * d;
      const long double quotient = (dge_function(t + h, d) - dge_function(t - h, d)) / (2 * h);
      EXPECT_NEAR(static_cast<double>(slope / quotient), 1, 1e-9) << grid[bin] << ' ' << i;
      ++checked;
    }
    for (const float edge : {grid[bin], grid[bin + 1]}) {
      const auto ends =
          magnitude_enclosure(estimate(weight(edge, 1), GradientFactor::dge, gradient(1), 0), 64);
      EXPECT_EQ(ends.first, Rational(1, 5)) << edge;
      EXPECT_EQ(ends.second, Rational(1, 5)) << edge;
    }
    const EstimatedWeight midpoint = weight(grid[bin] + d / 2, 1);
    EXPECT_EQ(estimate(midpoint, GradientFactor::dge, gradient(-4), 0).sum.number, -12);
  }
  EXPECT_EQ(checked, 7 * 60);
}

// z^4 15^5 <= 1 decides the cap exactly: z = 2^-4 is above it, 2^-5 below, and between the two
// fractions nearest to 15^(-5/4) with denominator 2^40 it changes.
TEST(GoldenEstimator, TheCapOfDgeIsDecidedExactly) {
  EXPECT_FALSE(dge_capped(Rational(1, 16)));
  EXPECT_TRUE(dge_capped(Rational(1, 32)));
  EXPECT_TRUE(dge_capped(0));
  const Integer unit = Integer(1) << 40;
  Integer below = 0, above = unit;
  while (above - below > 1) {
    const Integer middle = (below + above) / 2;
    (dge_capped(Rational(middle, unit)) ? below : above) = middle;
  }
  EXPECT_NEAR(Rational(below, unit).convert_to<double>(), std::pow(15.0, -1.25), 1e-11);
  // Just above, the slope is just below the cap.
  const auto slope = magnitude_enclosure(dge_slope(Rational(above, unit)), 64);
  EXPECT_TRUE(slope.second < 3);
  EXPECT_TRUE(slope.first > Rational(29999, 10000));
}

// One rounding of a fifth root: the fifth powers of the midpoints around the code enclose it.
TEST(GoldenEstimator, AFifthRootIsRoundedOnce) {
  const Policy policy = policy_of(formats::ieee, fp32);
  const auto fifth = [](const Rational& x) { return Rational(x * x * x * x * x); };
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    const float u = static_cast<float>(random() % 100000) / 99999.0F * 6.0F;
    const Radical exact = estimate(weight(u, 1), GradientFactor::dge, gradient(1), 0);
    const std::uint32_t code = encode(fp32, exact, RoundingMode::nearest_even, policy);
    const auto value = [](std::uint32_t c) { return decode(fp32, c).number.rational(); };
    const Rational whole =
        exact.index == 5 ? Rational(Rational(1, 3125) / exact.radicand) : Rational(243);
    EXPECT_LE(fifth((value(code - 1) + value(code)) / 2), whole);
    EXPECT_GE(fifth((value(code + 1) + value(code)) / 2), whole);
  }
}

TEST(GoldenEstimator, TrustMaskHasItsBoundaryInside) {
  const auto trusted = [](float w, float s, float q, float t) {
    return passes({value_of(w), value_of(q), value_of(s), &e2m1}, GradientMask::trust, t);
  };
  EXPECT_TRUE(trusted(7, 1, 6, 1));
  EXPECT_FALSE(trusted(std::nextafter(7.0F, 8.0F), 1, 6, 1));
  EXPECT_TRUE(trusted(-1.75F, 0.25F, -6, 1)) << "T is in units of the scale";
  EXPECT_FALSE(trusted(-1.875F, 0.25F, -6, 1));
  EXPECT_TRUE(trusted(5, 1, 4, 1)) << "a tie, one away from both codes";
  EXPECT_FALSE(trusted(5, 1, 4, 0.5F));
  EXPECT_TRUE(trusted(0, 0, 0, 0));
  EXPECT_FALSE(passes({value_of(1.0F), Value::nan(), Value::nan(), &e2m1}, GradientMask::trust, 1));
}

TEST(GoldenEstimator, RowsAreInTheOrderOfTheirNumbers) {
  EXPECT_EQ(rule_of(Estimator::identity).name, "identity");
  EXPECT_EQ(rule_of(Estimator::trust_mask).name, "trust_mask");
  EXPECT_EQ(rule_of(Estimator::dge).factor, GradientFactor::dge);
  EXPECT_EQ(rule_of(Estimator::pact).scale, ScaleDerivative::pact);
}

// FP32, as a kernel would write it; `bug` spoils it.
enum class Bug { none, reciprocal, no_sign, next_bin, no_cap };

float ewgs(float w, float s, float q, float g, float delta, Bug bug) {
  const float u = bug == Bug::reciprocal ? w * (1.0F / s) : w / s;
  const float difference = delta * (u - q);
  const bool negative = bug != Bug::no_sign && (g < 0) != (s < 0);
  return (negative ? 1.0F - difference : 1.0F + difference) * g;
}
float dge(float w, float s, float g, Bug bug) {
  const float u = std::abs(bug == Bug::reciprocal ? w * (1.0F / s) : w / s);
  std::size_t bin = 0;
  while (bin + 2 < grid.size() && u > grid[bin + 1]) ++bin;
  if (bug == Bug::next_bin) bin = std::min<std::size_t>(bin + 1, 6);
  const float z = std::abs(2.0F * (u - grid[bin]) / (grid[bin + 1] - grid[bin]) - 1.0F);
  const float slope = std::pow(z, -0.8F) / 5.0F;
  return g * (bug == Bug::no_cap ? slope : std::min(3.0F, slope));
}

struct Count {
  int judged = 0, outside = 0;
};
Count count(GradientFactor factor, Bug bug) {
  Count result;
  std::mt19937 random(7);
  std::uniform_real_distribution<float> u(-6, 6);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 3000; ++i) {
    const float s = 0.1F + std::abs(normal(random));
    // Every third weight is next to a code or a midpoint.
    float w = u(random) * s;
    if (i % 3 == 0) w = std::round(4 * w / s) / 4 * s;
    const EstimatedWeight at = weight(w, s);
    if (!passes(at, GradientMask::closed, 0)) continue;
    const float g = normal(random);
    const float answer = factor == GradientFactor::ewgs ? ewgs(w, s, nearest(w / s), g, 0.3F, bug)
                                                        : dge(w, s, g, bug);
    const Bound bound = estimate_bound(at, factor, gradient(g), {}, 0.3F);
    const Judgement verdict = judge(fp32, std::bit_cast<std::uint32_t>(answer),
                                    estimate(at, factor, gradient(g), 0.3F), bound);
    ++result.judged;
    result.outside += verdict == Judgement::outside ? 1 : 0;
  }
  return result;
}

TEST(GoldenEstimatorBounds, FP32IsWithinAndPlantedBugsAreOutside) {
  for (const auto factor : {GradientFactor::ewgs, GradientFactor::dge}) {
    for (const Bug bug : {Bug::none, Bug::reciprocal}) {
      const Count c = count(factor, bug);
      EXPECT_EQ(c.outside, 0);
      EXPECT_GT(c.judged, 2900);
    }
  }
  EXPECT_GT(count(GradientFactor::ewgs, Bug::no_sign).outside, 900);
  EXPECT_GT(count(GradientFactor::dge, Bug::next_bin).outside, 900);
  EXPECT_GT(count(GradientFactor::dge, Bug::no_cap).outside, 90);
}

TEST(GoldenEstimatorBounds, WhatFP32HoldsIsDemandedToTheBit) {
  const Bound exact = estimate_bound(weight(2.5F, 1), GradientFactor::ewgs, gradient(3), {}, 0.5F);
  EXPECT_TRUE(exact.judgeable);
  EXPECT_EQ(exact.error, 0);
  EXPECT_EQ(estimate_bound(weight(2.5F, 1), GradientFactor::dge, gradient(3), {}, 0).error, 0);
  EXPECT_GT(estimate_bound(weight(2.6F, 1), GradientFactor::dge, gradient(3), {}, 0).error, 0);
  EXPECT_GT(estimate_bound(weight(2.5F, 1), GradientFactor::ewgs, gradient(3), {}, 0.3F).error, 0);
}

TEST(GoldenEstimatorBounds, InfinitiesNeedAFactorOfCertainSign) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(
      estimate_bound(weight(2.4F, 1), GradientFactor::ewgs, gradient(inf), {}, 1).judgeable);
  // 1 - 4 * 0.25 = 0.
  EXPECT_FALSE(
      estimate_bound(weight(1.25F, 1), GradientFactor::ewgs, gradient(-inf), {}, 4).judgeable);
  EXPECT_TRUE(
      estimate_bound(weight(1.25F, 1), GradientFactor::dge, gradient(inf), {}, 0).judgeable);
  EXPECT_FALSE(
      estimate_bound(weight(0x1p-127F, 0x1.8p-127F), GradientFactor::dge, gradient(1), {}, 0)
          .judgeable);
}

}  // namespace
}  // namespace assay::golden
