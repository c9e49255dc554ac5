// SPDX-License-Identifier: Apache-2.0
// The bounds are exactly those that docs/bounds.md states, computed here a second time from the
// statement. A bound that is a little too wide never fails a right kernel, so only an equality
// notices it.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "golden/bounds.h"
#include "tests/golden/statement.h"

namespace assay::golden {
namespace {

using formats::bf16;
using formats::fp32;
using namespace statement;  // NOLINT: small and local

// Section fp32_any_order, points 2 to 5. The terms are not 0.
struct Statement {
  Rational t;
  Rational largest_result;
};
Statement stated(const std::vector<Term>& terms) {
  std::int64_t rounding_factors = 0;
  Rational sum_of_magnitudes = 0, carried = 0, sum_of_f = 0, underflow = 0;
  for (const Term& term : terms) {
    const auto p = static_cast<std::int64_t>(term.factors.size()) - 1;
    std::int64_t not_powers = 0;
    int negative_exponents = 0;
    Rational product = 1, f = 1, others = 1;
    for (std::size_t j = 0; j < term.factors.size(); ++j) {
      const bool uncertain = j == 0 && term.error != 0;
      Rational x = magnitude(term.factors[j]);
      if (uncertain) x += term.error;
      if (j > 0) others *= x;
      product *= x;
      f *= std::max(x, Rational(1));
      not_powers += uncertain || !is_power_of_two(term.factors[j]) ? 1 : 0;
      negative_exponents += uncertain ? -149 : std::min(0, last_bit(term.factors[j]));
    }
    rounding_factors = std::max(rounding_factors, std::min(p, not_powers));
    sum_of_magnitudes += product;
    carried += term.error * others;
    sum_of_f += f;
    if (negative_exponents < -149) underflow += two_to(-150) * p * f;
  }
  const auto leaves = static_cast<std::int64_t>(terms.size());
  const Rational growth = roundings(leaves - 1 + rounding_factors);
  return {growth * sum_of_magnitudes + carried + (1 + growth) * underflow,
          (1 + growth) * (sum_of_f + underflow)};
}

using Rng = std::mt19937;

Exact random_factor(Rng& rng, int lowest, int highest) {
  const int bits = static_cast<int>(rng() % 3) * 8;  // powers of two among them
  const auto significand = static_cast<std::int64_t>((1U << bits) + rng() % (1U << bits));
  const auto exponent = lowest + static_cast<int>(rng() % (highest - lowest + 1));
  return Exact(rng() % 2 == 0 ? significand : -significand) * Exact::power_of_two(exponent - bits);
}

TEST(GoldenBoundsFormula, TOfFp32InAnyOrder) {
  Rng rng(31);
  int exact = 0, bounded = 0, refused = 0, with_underflow = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    // Ranges in which the bound is relative, underflows, or overflows.
    constexpr int ranges[][2] = {{-3, 3}, {-60, -20}, {-100, -60}, {20, 45}, {0, 0}};
    const auto& range = ranges[trial % 5];
    const std::size_t factors = 1 + rng() % 4;
    std::vector<Term> products(1 + rng() % 5);
    std::vector<Term> addends(rng() % 3);
    for (Term& t : products) {
      for (std::size_t j = 0; j < factors; ++j)
        t.factors.push_back(random_factor(rng, range[0], range[1]));
      if (trial % 7 == 0 && rng() % 2 == 0) t.error = two_to(range[0] - 10);
    }
    for (Term& t : addends) {
      for (std::size_t j = 0; j < 1 + rng() % 2; ++j)
        t.factors.push_back(random_factor(rng, range[0], range[1]));
    }
    std::vector<Term> all = products;
    all.insert(all.end(), addends.begin(), addends.end());
    const Statement statement = stated(all);
    // Zero terms are no leaves.
    if (trial % 3 == 0) {
      products.push_back(products.front());
      products.back().factors.back() = 0;
      products.back().error = 0;
    }
    const Bound bound = fp32_any_order(products, addends);
    if (bound.judgeable && bound.error == 0) {
      ++exact;
      continue;
    }
    const bool fits = statement.largest_result < two_to(128) - two_to(103);
    ASSERT_EQ(bound.judgeable, fits) << trial;
    fits ? ++bounded : ++refused;
    if (!fits) continue;
    EXPECT_EQ(bound.error, statement.t) << trial;
    with_underflow += statement.t > 0 && !is_multiple(statement.t, -149) ? 1 : 0;
  }
  EXPECT_GT(exact, 50);
  EXPECT_GT(bounded, 500);
  EXPECT_GT(refused, 20);
  EXPECT_GT(with_underflow, 100);
}

// Point 5, at its edge: n = 1, (1 + gamma(1)) (2^127 + x) reaches 2^128 - 2^103 at
// x = (2^128 - 2^103)(1 - 2^-24) - 2^127.
TEST(GoldenBoundsFormula, OverflowIsPossibleFromTheThresholdOn) {
  const auto power = [](int e) { return Exact::power_of_two(e); };
  const Exact edge = power(127) - power(103) - power(104) + power(79);
  for (const Exact& beyond : {Exact(0), power(60)})
    EXPECT_FALSE(
        fp32_any_order(std::vector<Term>{{{power(127)}, 0}, {{edge + beyond}, 0}}).judgeable);
  EXPECT_TRUE(
      fp32_any_order(std::vector<Term>{{{power(127)}, 0}, {{edge - power(60)}, 0}}).judgeable);
}

// Point 6. A 24-bit sum is exact, one of 25 bits is not; multiples of 2^-149 are, 2^-150 is not.
TEST(GoldenBoundsFormula, WhereFp32IsExactInAnyOrder) {
  const auto t_of = [](std::initializer_list<std::initializer_list<Exact>> rows) {
    std::vector<Term> terms;
    for (const auto& row : rows) terms.push_back({row, 0});
    return fp32_any_order(terms);
  };
  const auto power = [](int e) { return Exact::power_of_two(e); };
  EXPECT_EQ(t_of({{power(23)}, {1}}).error, 0);  // at most 2 * 2^23 = 2^24 units
  EXPECT_GT(t_of({{power(23)}, {1}, {1}}).error, 0) << "3 * 2^23 may exceed 2^24";
  EXPECT_GT(t_of({{power(24)}, {1}}).error, 0);
  EXPECT_EQ(t_of({{power(-149)}, {power(-149)}}).error, 0);
  EXPECT_EQ(t_of({{power(-100), power(-49)}}).error, 0);
  EXPECT_GT(t_of({{power(-100), power(-50)}}).error, 0);
  EXPECT_EQ(t_of({{power(126)}, {power(126)}}).error, 0);
  EXPECT_TRUE(t_of({{power(126)}, {power(126)}}).judgeable);
  EXPECT_FALSE(t_of({{power(127)}, {power(127)}}).judgeable);
  // The whole is 2^-60 and exact, the part 2^-80 * 2^-80 is not.
  EXPECT_GT(t_of({{power(-80), power(-80), power(100)}}).error, 0);
  // The same among the factors of an addend.
  const std::vector<Term> one{{{1}, 0}};
  const std::vector<Term> deep{{{power(-80), power(-80), power(100)}, 0}};
  const std::vector<Term> shallow{{{power(-40), power(40)}, 0}};
  EXPECT_GT(fp32_any_order({}, deep).error, 0);
  EXPECT_EQ(fp32_any_order(one, shallow).error, 0);
  EXPECT_EQ(fp32_any_order({}, shallow).error, 0);
  EXPECT_EQ(fp32_any_order({}).error, 0);
  EXPECT_GT(fp32_any_order(std::vector<Term>{{{1}, Rational(1, 1000)}}).error, 0);
  EXPECT_GT(fp32_any_order(one, std::vector<Term>{{{1}, Rational(1, 1000)}}).error, 0);
  EXPECT_THROW((void)fp32_any_order(std::vector<Term>{{{}, 0}}), std::invalid_argument);
  const std::vector<Exact> sixteen(16, Exact(3));
  std::vector<Exact> seventeen(17, Exact(3));
  EXPECT_TRUE(fp32_any_order(std::vector<Term>{{sixteen, 0}}).judgeable);
  EXPECT_THROW((void)fp32_any_order(std::vector<Term>{{seventeen, 0}}), std::invalid_argument);
}

// |computed - exact| <= T + half an ulp at |exact| + T: the last number inside, the first outside.
TEST(GoldenBoundsFormula, TheEdgeOfTheInequality) {
  using enum Judgement;
  using enum RoundingMode;
  const auto rule = [](const FormatSpec& f, std::uint32_t code, const Rational& exact,
                       const Rational& t, RoundingMode mode = nearest_even) {
    return judge(f, code, RationalValue::finite(exact), {true, t, ""}, mode);
  };
  const Rational t(1, 1000), tiny = two_to(-200);
  const Rational one = 1;
  // bf16 just below 2: ulp 2^-7, half of it 2^-8. Code 0x3F80 is 1.0.
  const Rational edge = one + t + two_to(-8);
  EXPECT_EQ(rule(bf16, 0x3F80, edge, t), within);
  EXPECT_EQ(rule(bf16, 0x3F80, edge + tiny, t), outside);
  EXPECT_EQ(rule(bf16, 0xBF80, -edge, t), within);
  EXPECT_EQ(rule(bf16, 0xBF80, -edge - tiny, t), outside);
  EXPECT_EQ(rule(bf16, 0x3F80, edge, t, nearest_away), within);
  EXPECT_EQ(rule(bf16, 0x3F80, edge + tiny, t, nearest_away), outside);
  for (const RoundingMode mode : {toward_zero, toward_positive, toward_negative, to_odd}) {
    const Rational whole = one + t + two_to(-7);  // a whole ulp
    EXPECT_EQ(rule(bf16, 0x3F80, whole, t, mode), within);
    EXPECT_EQ(rule(bf16, 0x3F80, whole + tiny, t, mode), outside);
  }
  // The ulp is that at |exact| + T: 2 - 2^-9 + T reaches 2, where it doubles.
  const Rational below_two = 2 - two_to(-9);
  EXPECT_EQ(rule(bf16, 0x3FFF, below_two, two_to(-9)), within);
  EXPECT_EQ(rule(bf16, 0x3FFF, below_two, two_to(-9) - tiny), outside);
  // Subnormal numbers keep the smallest exponent: fp32 ulp 2^-149.
  EXPECT_EQ(rule(fp32, 1, two_to(-150) - two_to(-160), two_to(-160)), within);
  EXPECT_EQ(rule(fp32, 1, two_to(-150) - two_to(-160) - tiny, two_to(-160)), outside);
  EXPECT_EQ(rule(fp32, 0x7F800000, two_to(130), t), within);
  EXPECT_EQ(rule(fp32, 0xFF800000, -two_to(130), t), within);
  EXPECT_EQ(rule(fp32, 0x7F800000, -two_to(130), t), outside);
}

// Section truncating, known steps: the numbers of the two additions per step, by hand.
TEST(GoldenBoundsFormula, TOfKnownSteps) {
  const TruncatingUnit f25{25, 2, 0};
  const auto product = [](int e) { return UnitProduct{Exact::power_of_two(e), e}; };
  const auto t_of = [](std::vector<UnitProduct> p, const TruncatingUnit& u) {
    return truncating_chain(p, u);
  };
  // 2^-25 is a multiple of 2^(0 - 25), and the sum has more than 24 bits: one ulp at 1, 2^-23.
  EXPECT_EQ(t_of({product(0), product(-25)}, f25).error, two_to(-23));
  // 2^-26 is cut: A = 1.
  const Rational first = two_to(-25) + two_to(-23);
  EXPECT_EQ(t_of({product(0), product(-26)}, f25).error, first);
  // Then c is uncertain, A = 1 of 2^(0 - 25); |z| < 4 and >= 2: an ulp of 2^-22.
  EXPECT_EQ(t_of({product(0), product(-26), product(0)}, f25).error,
            first + two_to(-25) + two_to(-22));
  // A known accumulator that the next step cuts: c = 1 + 2^-23, E = 3, 2^(3 - 25) = 2^-22. The sum
  // 9 + 2^-23 is known to within that, ulp at 9: 2^-20.
  EXPECT_EQ(t_of({product(0), product(-23), product(3)}, f25).error, two_to(-22) + two_to(-20));
  // Nothing is cut, nothing is lost.
  EXPECT_EQ(t_of({product(0), product(-10), product(3), product(-10)}, f25).error, 0);
  // F = 13 keeps 14 significant bits between steps: 1 + 2^-14 is cut at 2^-13 twice.
  const TruncatingUnit f13{13, 2, 0};
  EXPECT_EQ(t_of({product(0), product(-13)}, f13).error, 0);
  EXPECT_EQ(t_of({product(0), product(-14)}, f13).error, two_to(-13) + two_to(-13));
  // A zero accumulator takes the zero exponent: products below 2^(-131 - F) are cut.
  const TruncatingUnit zero{25, 1, 0};
  EXPECT_EQ(t_of({product(-149)}, zero).error, 0);
  const UnitProduct deep{Exact::power_of_two(-157), -157};  // < 2^(-131 - 25)
  EXPECT_EQ(t_of({deep}, zero).error, two_to(-156) + two_to(-149));
  // Subnormal accumulators: floor(log2) at least -126, last bit 2^-149.
  EXPECT_EQ(t_of({product(-150)}, zero).error, two_to(-149));
  EXPECT_TRUE(t_of({product(127)}, f25).judgeable);
  EXPECT_FALSE(t_of({product(127), product(127)}, f25).judgeable);
  EXPECT_FALSE(t_of({product(128)}, f25).judgeable);
  EXPECT_EQ(t_of({}, f25).error, 0);
  for (const TruncatingUnit wrong :
       {TruncatingUnit{0, 1, 0}, TruncatingUnit{1, -1, 0}, TruncatingUnit{1, 1, -1}})
    EXPECT_THROW((void)t_of({}, wrong), std::invalid_argument);
  EXPECT_NO_THROW((void)t_of({}, TruncatingUnit{1, 1, 0}));
}

// Section truncating, grouping unknown: 2 N 2^(E - F) + N 2^(Z - min(F, 23)).
TEST(GoldenBoundsFormula, TOfUnknownSteps) {
  const auto product = [](int e) { return UnitProduct{Exact::power_of_two(e), e}; };
  const auto t_of = [](std::vector<UnitProduct> p, int f) {
    return truncating_chain(p, TruncatingUnit{f, 0, 0});
  };
  // M = 1 + 2^-30, Z = floor(log2 2M) = 1 = E, N = 2; a zero product does not count.
  EXPECT_EQ(t_of({product(0), product(-30)}, 25).error, 4 * two_to(-24) + 2 * two_to(-22));
  EXPECT_EQ(t_of({product(0), {Exact(0), 7}, product(-30)}, 25).error,
            4 * two_to(-24) + 2 * two_to(-22));
  EXPECT_EQ(t_of({product(0), product(-30)}, 13).error, 4 * two_to(-12) + 2 * two_to(-12));
  // An undecoded exponent above the value's own: E = 4.
  EXPECT_EQ(t_of({{Exact(1), 4}, product(-30)}, 25).error, 4 * two_to(-21) + 2 * two_to(-22));
  // All multiples of 2^g: g >= E - F and g >= floor(log2 M) - min(F, 23), here M in [1, 2).
  EXPECT_EQ(t_of({product(0), product(-23)}, 25).error, 0);
  EXPECT_GT(t_of({product(0), product(-24)}, 25).error, 0);
  EXPECT_EQ(t_of({product(0), product(-13)}, 13).error, 0);
  EXPECT_GT(t_of({product(0), product(-14)}, 13).error, 0);
  EXPECT_EQ(t_of({{Exact(1), 25}}, 25).error, 0);
  EXPECT_GT(t_of({{Exact(1), 22}, product(-5)}, 25).error, 0);
  EXPECT_EQ(t_of({{Exact(0), 5}}, 25).error, 0);
  EXPECT_TRUE(t_of({product(126)}, 25).judgeable);
  EXPECT_FALSE(t_of({product(126), product(126)}, 25).judgeable);
  // T > M: three products of 2^-10 whose exponents cut everything.
  const UnitProduct cut{Exact::power_of_two(-10), 16};
  EXPECT_FALSE(t_of({cut, cut, cut}, 25).judgeable);
}

}  // namespace
}  // namespace assay::golden
