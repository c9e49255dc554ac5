// SPDX-License-Identifier: Apache-2.0
// The bound of class fp32_any_order against real FP32 arithmetic: random associations, FMA, scale
// factors on elements, on group sums and at the end; and that it is not so wide that a wrong kernel
// passes.
#include "golden/bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace assay::golden {
namespace {

using formats::fp32;

// sum_g sa_g sb_g (sum_i a_gi b_gi) * ga * gb * alpha + beta c + bias, groups of equal size.
struct Problem {
  std::size_t group = 16;
  std::vector<float> a, b, sa, sb;  // sa, sb: one per group
  float ga = 1, gb = 1, alpha = 1, beta = 0, c = 0, bias = 0;

  [[nodiscard]] std::vector<Term> products() const {
    std::vector<Term> terms;
    for (std::size_t i = 0; i < a.size(); ++i) {
      Term term;
      for (const float f : {a[i], b[i], sa[i / group], sb[i / group], ga, gb, alpha}) {
        term.factors.push_back(Exact::from_float(f));
      }
      terms.push_back(std::move(term));
    }
    return terms;
  }
  [[nodiscard]] std::vector<Term> addends() const {
    return {{{Exact::from_float(beta), Exact::from_float(c)}, 0}, {{Exact::from_float(bias)}, 0}};
  }
};

Exact exact_sum(const std::vector<Term>& products, const std::vector<Term>& addends) {
  Exact sum = 0;
  for (const auto* terms : {&products, &addends}) {
    for (const Term& t : *terms) {
      Exact product = 1;
      for (const Exact& f : t.factors) product = product * f;
      sum = sum + product;
    }
  }
  return sum;
}

using Rng = std::mt19937;

// Adds in a random association: repeatedly two random entries by their sum.
float random_tree(std::vector<float> v, Rng& rng) {
  if (v.empty()) return 0.0F;
  while (v.size() > 1) {
    std::swap(v[rng() % v.size()], v.back());
    const float x = v.back();
    v.pop_back();
    float& y = v[rng() % v.size()];
    y = x + y;
  }
  return v.front();
}

float fma_chain(const std::vector<float>& x, const std::vector<float>& y, float acc) {
  for (std::size_t i = 0; i < x.size(); ++i) acc = std::fma(x[i], y[i], acc);
  return acc;
}

// One permitted evaluation, chosen by `rng`.
float evaluate(const Problem& p, Rng& rng) {
  const std::size_t n = p.a.size();
  const int where = static_cast<int>(rng() % 4);
  const bool tree = rng() % 2 == 0;
  float total = 0;
  if (where == 0) {  // everything on the elements, the whole factor on A
    std::vector<float> x(n);
    std::vector<float> y(n);
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = p.a[i] * (p.alpha * (p.sa[i / p.group] * p.ga));
      y[i] = (p.b[i] * p.sb[i / p.group]) * p.gb;
    }
    if (tree) {
      for (std::size_t i = 0; i < n; ++i) x[i] = x[i] * y[i];
      total = random_tree(x, rng);
    } else {
      total = fma_chain(x, y, 0.0F);
    }
  } else {
    std::vector<float> sums;
    for (std::size_t g = 0; g * p.group < n; ++g) {
      std::vector<float> x;
      std::vector<float> y;
      for (std::size_t i = g * p.group; i < std::min(n, (g + 1) * p.group); ++i) {
        x.push_back(p.a[i]);
        y.push_back(where == 1 ? p.b[i] * p.sb[g] : p.b[i]);
      }
      float sum = 0;
      if (tree) {
        std::vector<float> xy;
        for (std::size_t i = 0; i < x.size(); ++i) xy.push_back(x[i] * y[i]);
        sum = random_tree(xy, rng);
      } else {
        sum = fma_chain(x, y, 0.0F);
      }
      if (where == 1) sum *= p.sa[g];
      if (where == 2) sum *= p.sa[g] * p.sb[g];
      if (where == 3) sum = (sum * p.sa[g] * p.ga) * (p.sb[g] * p.gb);
      sums.push_back(sum);
    }
    total = random_tree(sums, rng);
    if (where == 3) total *= p.alpha;
    if (where != 3) total *= (p.ga * p.gb) * p.alpha;
  }
  if (rng() % 2 == 0) return std::fma(p.beta, p.c, total) + p.bias;
  return (total + p.bias) + p.beta * p.c;
}

constexpr float e2m1[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};

// exponent_spread: of the FP32 factors; tiny: products deep in the subnormal range.
Problem random_problem(Rng& rng, std::size_t n, int exponent_spread, bool tiny, bool cancelling) {
  std::normal_distribution<float> normal;
  Problem p;
  for (std::size_t i = 0; i < n; ++i) {
    p.a.push_back(e2m1[rng() % 16]);
    p.b.push_back(e2m1[rng() % 16]);
    if (cancelling && i % 2 == 1) {
      p.a[i] = -p.a[i - 1];
      p.b[i] = p.b[i - 1];
    }
  }
  const auto factor = [&](int low) {
    const int exponent =
        low + static_cast<int>(rng() % (2 * exponent_spread + 1)) - exponent_spread;
    return std::ldexp(1.0F + std::abs(normal(rng)), exponent);
  };
  for (std::size_t g = 0; g * p.group < n; ++g) {
    p.sa.push_back(std::ldexp(8.0F + static_cast<float>(rng() % 8), -static_cast<int>(rng() % 10)));
    p.sb.push_back(factor(0));
  }
  p.ga = factor(tiny ? -75 : -5);
  p.gb = factor(tiny ? -70 : 3);
  p.alpha = factor(0);
  p.beta = rng() % 2 == 0 ? 0.0F : factor(tiny ? -10 : 0);
  p.c = tiny ? std::ldexp(normal(rng), -130) : normal(rng);
  p.bias = rng() % 2 == 0 ? 0.0F : (tiny ? std::ldexp(normal(rng), -140) : normal(rng));
  return p;
}

Judgement rule(float computed, const Exact& exact, const Bound& bound) {
  return judge(fp32, std::bit_cast<std::uint32_t>(computed), to_rational(Value::finite(exact)),
               bound);
}

TEST(GoldenBounds, EveryPermittedEvaluationIsWithin) {
  Rng rng(11);
  int inexact = 0;
  for (int trial = 0; trial < 400; ++trial) {
    const std::size_t n = 1 + rng() % 100;
    const Problem p =
        random_problem(rng, n, trial % 3 == 0 ? 12 : 1, trial % 4 == 0, trial % 5 == 0);
    const std::vector<Term> products = p.products();
    const std::vector<Term> addends = p.addends();
    const Bound bound = fp32_any_order(products, addends);
    ASSERT_TRUE(bound.judgeable) << bound.reason;
    const Exact exact = exact_sum(products, addends);
    for (int i = 0; i < 20; ++i) {
      const float computed = evaluate(p, rng);
      const Rational difference = Exact::from_float(computed).rational() - exact.rational();
      // Without the output's half ulp: these results are FP32 already.
      EXPECT_LE(boost::multiprecision::abs(difference), bound.error) << trial;
      inexact += difference != 0 ? 1 : 0;
      EXPECT_EQ(rule(computed, exact, bound), Judgement::within);
    }
  }
  EXPECT_GT(inexact, 4000) << "the trials must exercise rounding";
}

// What a wrong kernel does must show. Scale factors of one binade, as within a tensor's typical
// block.
TEST(GoldenBounds, ADroppedProductIsOutside) {
  Rng rng(12);
  int tried = 0;
  int caught = 0;
  for (int trial = 0; trial < 200; ++trial) {
    const std::size_t n = 16 + rng() % 500;
    Problem p = random_problem(rng, n, 1, false, false);
    for (float& s : p.sa) s = 1.0F + 0.125F * static_cast<float>(rng() % 8);
    for (float& s : p.sb) s = 1.0F + 0.125F * static_cast<float>(rng() % 8);
    const std::vector<Term> products = p.products();
    const Bound bound = fp32_any_order(products, p.addends());
    const Exact exact = exact_sum(products, p.addends());
    Problem wrong = p;
    const std::size_t dropped = rng() % n;
    if (wrong.a[dropped] * wrong.b[dropped] == 0) continue;
    wrong.a[dropped] = 0;
    ++tried;
    caught += rule(evaluate(wrong, rng), exact, bound) == Judgement::outside ? 1 : 0;
  }
  EXPECT_GT(tried, 100);
  EXPECT_EQ(caught, tried);
}

// The bound is nearly attained: a one followed by halves of its last bit, which sequential addition
// loses one by one. A bound a quarter as wide would be wrong.
TEST(GoldenBounds, IsNearlyAttained) {
  const std::size_t n = 1000;
  std::vector<Term> terms{{{Exact(1)}, 0}};
  float acc = 1.0F;
  for (std::size_t i = 1; i < n; ++i) {
    terms.push_back({{Exact::power_of_two(-24)}, 0});
    acc += 0x1p-24F;
  }
  const Bound bound = fp32_any_order(terms);
  const Rational error = exact_sum(terms, {}).rational() - Exact::from_float(acc).rational();
  EXPECT_LE(error, bound.error);
  EXPECT_GE(error, bound.error * 99 / 100);
}

TEST(GoldenBounds, ProductUnderflowIsCharged) {
  // 2^-80 * 2^-80 rounds to zero, then alpha = 2^100 asks for 2^-60.
  const std::vector<Term> terms{
      {{Exact::power_of_two(-80), Exact::power_of_two(-80), Exact::power_of_two(100)}, 0}};
  const Bound bound = fp32_any_order(terms);
  ASSERT_TRUE(bound.judgeable);
  const float flushed = 0x1p-80F * 0x1p-80F * 0x1p100F;
  ASSERT_EQ(flushed, 0.0F);
  EXPECT_EQ(rule(flushed, Exact::power_of_two(-60), bound), Judgement::within);
  // The same product with room below: any evaluation is exact.
  const Bound none = fp32_any_order(std::vector<Term>{
      {{Exact::power_of_two(-60), Exact::power_of_two(-60), Exact::power_of_two(60)}, 0}});
  EXPECT_EQ(none.error, 0);
}

TEST(GoldenBounds, OverflowIsNotJudgeable) {
  // 2^100 * 2^100 * 2^-150 is 2^50, but a permitted order overflows.
  const std::vector<Term> terms{
      {{Exact::power_of_two(100), Exact::power_of_two(100), Exact::power_of_two(-150)}, 0}};
  const Bound bound = fp32_any_order(terms);
  EXPECT_FALSE(bound.judgeable);
  EXPECT_EQ(rule(std::numeric_limits<float>::infinity(), Exact::power_of_two(50), bound),
            Judgement::not_judgeable);
  // FLT_MAX + FLT_MAX - FLT_MAX.
  const Exact max = max_finite(fp32);
  EXPECT_FALSE(fp32_any_order(std::vector<Term>{{{max}, 0}, {{max}, 0}, {{-max}, 0}}).judgeable);
}

TEST(GoldenBounds, ExactWhereEveryOrderIs) {
  // E2M1 products are multiples of 1/4 up to 36: 2^16 of them stay below 2^22.
  Rng rng(13);
  Problem p = random_problem(rng, 4000, 1, false, false);
  p.ga = p.gb = p.alpha = 1;
  p.beta = p.bias = 0;
  for (std::size_t g = 0; g < p.sa.size(); ++g) p.sa[g] = p.sb[g] = 0x1p-3F;
  const std::vector<Term> products = p.products();
  const Bound bound = fp32_any_order(products, p.addends());
  EXPECT_TRUE(bound.judgeable);
  EXPECT_EQ(bound.error, 0);
  const Exact exact = exact_sum(products, p.addends());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(rule(evaluate(p, rng), exact, bound), Judgement::within);
  const float off = std::nextafter(evaluate(p, rng), 1e9F);
  EXPECT_EQ(rule(off, exact, bound), Judgement::outside);
  // A scale of 5/4 still fits; 24 significant bits do not.
  p.sa[0] = 1.25F;
  EXPECT_EQ(fp32_any_order(p.products(), p.addends()).error, 0);
  p.sa[0] = 1.0F + 0x1p-23F;
  EXPECT_GT(fp32_any_order(p.products(), p.addends()).error, 0);
}

TEST(GoldenBounds, AnUncertainFirstFactorCarriesItsError) {
  const Term plain{{Exact(3), Exact(5)}, 0};
  Term uncertain = plain;
  uncertain.error = Rational(1, 7);
  const Bound bound = fp32_any_order(std::vector<Term>{uncertain});
  EXPECT_GE(bound.error, Rational(5, 7));
  EXPECT_LT(bound.error, Rational(5, 7) + Rational(1, 100000));
}

TEST(GoldenBounds, JudgeRulesOnSpecialsAndOnTheLastHalfUlp) {
  const Bound exact_class;
  const auto value = [](std::int64_t n, std::int64_t d) {
    return RationalValue::finite(Rational(n, d));
  };
  using enum Judgement;
  // 1 + 2^-9 is a tie in bf16: only the even neighbour is the correct rounding.
  const RationalValue tie = value(513, 512);
  EXPECT_EQ(judge(formats::bf16, 0x3F80, tie, exact_class), within);
  EXPECT_EQ(judge(formats::bf16, 0x3F81, value(257, 256), exact_class), outside);
  EXPECT_EQ(judge(formats::bf16, 0x3F80, value(257, 256), exact_class), within);
  const Bound small{true, Rational(1, 1 << 20), ""};
  EXPECT_EQ(judge(formats::bf16, 0x3F81, value(257, 256), small), within) << "either side of a tie";
  EXPECT_EQ(judge(formats::bf16, 0x3F82, value(257, 256), small), outside);
  EXPECT_EQ(judge(fp32, 0x7FC00000, RationalValue::nan(), exact_class), within);
  EXPECT_EQ(judge(fp32, 0x3F800000, RationalValue::nan(), exact_class), outside);
  EXPECT_EQ(judge(fp32, 0x7FC00000, value(1, 1), small), outside);
  EXPECT_EQ(judge(fp32, 0x7F800000, value(1, 1), small), outside);
  EXPECT_EQ(judge(fp32, 0x7F800000, RationalValue::infinity(false), small), within);
  EXPECT_EQ(judge(fp32, 0xFF800000, RationalValue::infinity(false), small), outside);
  EXPECT_EQ(judge(fp32, 0x80000000, value(0, 1), exact_class), within) << "either zero";
  // fp16 overflows at 65520; T decides which side the computed sum was on.
  const Bound wide{true, 8, ""};
  EXPECT_EQ(judge(formats::fp16, 0x7C00, value(65515, 1), wide), within);
  EXPECT_EQ(judge(formats::fp16, 0x7C00, value(65500, 1), wide), outside);
  EXPECT_EQ(judge(formats::fp16, 0xFC00, value(65515, 1), wide), outside);
}

TEST(GoldenBounds, GammaAndItsDomain) {
  EXPECT_EQ(gamma(0), 0);
  EXPECT_EQ(gamma(1), Rational(1, (1 << 24) - 1));
  EXPECT_THROW((void)gamma(1 << 24), std::invalid_argument);
  EXPECT_THROW((void)fp32_any_order(std::vector<Term>{{{1}, 0}, {{1, 1}, 0}}),
               std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
