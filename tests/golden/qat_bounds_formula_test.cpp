// SPDX-License-Identifier: Apache-2.0
// The bound of d scale is exactly the one that docs/bounds.md states, see bounds_formula_test.cpp.
#include <gtest/gtest.h>

#include "formats/presets.h"
#include "golden/qat_bounds.h"
#include "tests/golden/statement.h"

namespace assay::golden {
namespace {

using namespace statement;  // NOLINT: small and local

// N = 6 elements of E2M1 make R = Q N = 36, whose root is rational.
struct ScaleStep {
  float s = 0.5F;
  std::vector<float> w{1.25F, -0.5F, 2.75F, 9, -9, 0x1p-149F};
  std::vector<float> x{1.1F, -2.3F, 3, 1.7F, 2, 1.3F, 2.2F, 1, -1.9F, 3.1F, 1.6F, 1};  // 2 x 6
  std::vector<float> dy{2.7F, -3.3F};                                                  // 2 x 1

  [[nodiscard]] Bound bound() const {
    const std::vector<float> scales{s};
    QatLayer layer;
    layer.m = 2;
    layer.n = 1;
    layer.k = static_cast<std::int64_t>(w.size());
    layer.x = x;
    layer.w = w;
    layer.scales = scales;
    layer.weight_format = &formats::article;
    layer.estimator = Estimator::lsq;
    return qat_backward_bounds(layer, dy).dscale.at(0);
  }
};

TEST(GoldenBoundsFormula, TOfTheScaleGradient) {
  for (const float s : {0.5F, 0.3F, -0.5F, -0.3F, 2.0F, 3.0F, 0x1p126F, 0x1p-127F}) {
    ScaleStep step;
    step.s = s;
    const Exact exact_s = Exact::from_float(s);
    Rational carried = 0, size = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      const std::vector<Term> rows{
          {{Exact::from_float(step.dy[0]), Exact::from_float(step.x[i])}, 0},
          {{Exact::from_float(step.dy[1]), Exact::from_float(step.x[6 + i])}, 0}};
      const Bound rows_bound = fp32_any_order(rows);  // E_i; tested above
      Rational g = 0;
      for (const Term& t : rows) g += t.factors[0].rational() * t.factors[1].rational();
      g = boost::multiprecision::abs(g);
      const Rational u = boost::multiprecision::abs(Rational(step.w[i])) / magnitude(exact_s);
      Rational dv = 6;
      Rational e = 0;
      if (u <= 6) {
        const std::uint32_t q =
            encode(formats::e2m1, RationalValue::finite(u), RoundingMode::nearest_even,
                   policy_of(formats::saturating, formats::e2m1));
        dv = boost::multiprecision::abs(decode(formats::e2m1, q).number.rational() - u);
        if (!is_power_of_two(exact_s)) e = roundings(2) * u + two_to(-150);
        if (is_power_of_two(exact_s) && !is_multiple(u, -149)) e = two_to(-150);
      }
      carried += rows_bound.error * (dv + e) + g * e;
      size += (g + rows_bound.error) * (dv + e);
    }
    const Rational growth = roundings(6 + 5);
    const Bound bound = step.bound();
    ASSERT_TRUE(bound.judgeable) << s << bound.reason;
    EXPECT_EQ(bound.error,
              (carried + growth * size) / 6 + (1 + growth) * two_to(-150) * (6 + 2 + size))
        << s;
  }
}

TEST(GoldenBoundsFormula, WhereTheScaleGradientHasNoBound) {
  const auto judgeable = [](float s, float w, float dy = 1) {
    ScaleStep step;
    step.s = s;
    step.w.assign(6, w);
    step.x.assign(12, 1.0F);
    step.dy = {dy, 0};
    return step.bound().judgeable;
  };
  // In general s lies in [2^-125, 2^125].
  for (const float sign : {1.0F, -1.0F}) {
    EXPECT_TRUE(judgeable(sign * 0x1.8p-125F, 0x1p-125F));
    EXPECT_FALSE(judgeable(sign * 0x1.8p-126F, 0x1p-126F));
    EXPECT_TRUE(judgeable(sign * 0x1.8p124F, 0x1p124F));
    EXPECT_FALSE(judgeable(sign * 0x1.8p125F, 0x1p125F));
    // A power of two from 2^-127 to 2^127.
    EXPECT_TRUE(judgeable(sign * 0x1p-127F, 0x1.8p-127F));
    EXPECT_FALSE(judgeable(sign * 0x1p-128F, 0x1.8p-128F));
    EXPECT_TRUE(judgeable(sign * 0x1p127F, 0x1.8p127F));
    // A zero weight: from 2^-127 on, and for s = 0.
    EXPECT_TRUE(judgeable(sign * 0x1.8p-127F, 0));
    EXPECT_FALSE(judgeable(sign * 0x1.8p-128F, 0));
    EXPECT_TRUE(judgeable(sign * 0.0F, 0));
  }
  // Outside, dv = Q = 6 and S = 6 * 6 |dy|: 36 * 2^121 < 2^127 <= 36 * 2^122.
  EXPECT_TRUE(judgeable(1, 100, 0x1p121F));
  EXPECT_FALSE(judgeable(1, 100, 0x1p122F));
}

// n = N + 5 with the root of a radicand that FP32 holds; S = N Q |G| where all weights are outside.
TEST(GoldenBoundsFormula, TOfAScaleGradientIsWithinItsRootsEnclosure) {
  ScaleStep step;
  step.w.assign(4, 100.0F);  // R = 24, irrational root
  step.x.assign(8, 1.0F);
  step.dy = {1, 0};
  const Rational growth = roundings(4 + 5);
  const Rational without_root = growth * 24;
  const Rational underflow = (1 + growth) * two_to(-150) * (4 + 2 + 24);
  const Rational root_part = step.bound().error - underflow;
  // (root_part / without_root)^2 = 1 / 24, rounded up by 2^-64 at most.
  const Rational square = root_part * root_part / (without_root * without_root) * 24;
  EXPECT_GE(square, 1);
  EXPECT_LE(square, 1 + two_to(-62));
}

TEST(GoldenBoundsFormula, ZeroGradientsAreExactlyZero) {
  ScaleStep step;
  step.dy = {0, 0};
  EXPECT_TRUE(step.bound().judgeable);
  EXPECT_EQ(step.bound().error, 0);
}

}  // namespace
}  // namespace assay::golden
