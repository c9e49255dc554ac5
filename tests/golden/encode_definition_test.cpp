// SPDX-License-Identifier: Apache-2.0
// encode against the definition of each rounding mode spelled out over the list of ALL values of a
// format: no exponents, no bits, only comparisons of exact numbers.
#include <gtest/gtest.h>

#include <compare>
#include <optional>
#include <random>
#include <vector>

#include "golden/codec.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/spec.h

struct Candidate {
  Exact number;
  std::uint32_t code;  ///< of the magnitude
  bool beyond;         ///< not in the format: the next grid point above its largest value
};

// Every finite value of the format in ascending order, and one more at each end.
std::vector<Candidate> all_candidates(const FormatSpec& spec, const Exact& next_above_max) {
  std::vector<Candidate> list;
  const std::uint32_t top = max_finite_code(spec);
  if (spec.sign_bits != 0) {
    list.push_back({-next_above_max, top + 1, true});
    for (std::uint32_t code = top; code > 0; --code)
      list.push_back({decode(spec, with_sign(spec, code, true)).number, code, false});
  }
  for (std::uint32_t code = 0; code <= top; ++code)
    list.push_back({decode(spec, code).number, code, false});
  list.push_back({next_above_max, top + 1, true});
  for (std::size_t i = 1; i < list.size(); ++i) EXPECT_LT(list[i - 1].number, list[i].number);
  return list;
}

// The candidate that the mode's definition names, or nothing where x is beyond all of them.
std::optional<Candidate> choose(const std::vector<Candidate>& list, const Exact& x,
                                RoundingMode mode) {
  std::optional<Candidate> below;  // the largest that is at most x
  std::optional<Candidate> above;  // the smallest that is at least x
  for (const Candidate& c : list) {
    if (c.number <= x) below = c;
    if (c.number >= x && !above) above = c;
  }
  if (!above) return std::nullopt;
  if (!below) return x.sign() > 0 ? above : std::nullopt;  // E8M0 below 2^-127; else beyond -max
  if (below->number == above->number) return below;
  const Candidate towards_zero = x.sign() > 0 ? *below : *above;
  const Candidate away = x.sign() > 0 ? *above : *below;
  const auto order = (x - below->number) <=> (above->number - x);
  const Candidate nearer = std::is_lt(order) ? *below : *above;
  const Candidate even = below->code % 2 == 0 ? *below : *above;
  switch (mode) {
    case RoundingMode::nearest_even:
      return std::is_eq(order) ? even : nearer;
    case RoundingMode::nearest_away:
      return std::is_eq(order) ? away : nearer;
    case RoundingMode::toward_zero:
      return towards_zero;
    case RoundingMode::toward_positive:
      return above;
    case RoundingMode::toward_negative:
      return below;
    case RoundingMode::to_odd:
      if (below->beyond || above->beyond) return towards_zero;
      return below->code % 2 == 0 ? above : below;
    case RoundingMode::stochastic:
      break;
  }
  throw std::logic_error("not a deterministic mode");
}

bool rounds_inwards(RoundingMode mode, bool negative) {
  return mode == RoundingMode::toward_zero || mode == RoundingMode::to_odd ||
         mode == (negative ? RoundingMode::toward_positive : RoundingMode::toward_negative);
}

std::uint32_t expected_code(const FormatSpec& spec, const std::vector<Candidate>& list,
                            const Exact& x, RoundingMode mode, Overflow overflow) {
  const std::uint32_t sign = x.sign() < 0 ? sign_mask(spec) : 0;
  const std::optional<Candidate> c = choose(list, x, mode);
  if (c && !c->beyond) return with_sign(spec, c->code, sign != 0);
  if (overflow == Overflow::saturate || rounds_inwards(mode, x.sign() < 0))
    return with_sign(spec, max_finite_code(spec), sign != 0);
  if (overflow == Overflow::to_nan) return canonical_nan(spec) | sign;
  return (max_finite_code(spec) + 1) | sign;  // IEEE formats: Inf follows the largest finite code
}

// Every value, every midpoint, what lies a hair beside them, and doubles of every magnitude.
std::vector<Exact> inputs(const std::vector<Candidate>& list, bool with_negatives) {
  std::vector<Exact> xs;
  const Exact hair = Exact::power_of_two(-400);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Exact& here = list[i].number;
    for (const Exact& x : {here, here + hair, here - hair}) xs.push_back(x);
    if (i == 0) continue;
    const Exact middle = (here + list[i - 1].number) * Exact::power_of_two(-1);
    for (const Exact& x : {middle, middle + hair, middle - hair}) xs.push_back(x);
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 200; ++i) {
    const auto significand = static_cast<std::int64_t>(random() >> 20);
    const auto exponent = static_cast<std::int64_t>(random() % 340) - 220;
    const Exact x(Integer(significand + 1), exponent);
    xs.push_back(x);
    xs.push_back(-x);
  }
  std::erase_if(xs,
                [&](const Exact& x) { return x.is_zero() || (x.sign() < 0 && !with_negatives); });
  return xs;
}

struct Case {
  const FormatSpec* spec;
  double next_above_max;  ///< by hand: where the grid would continue
};

class EncodeDefinition : public testing::TestWithParam<Case> {};

TEST_P(EncodeDefinition, HoldsForEveryModeAndOverflow) {
  const FormatSpec& spec = *GetParam().spec;
  const auto list = all_candidates(spec, Exact::from_double(GetParam().next_above_max));
  const NanRule nan = has_nan(spec) ? NanRule::canonical : NanRule::max_finite;
  for (const Exact& x : inputs(list, spec.sign_bits != 0))
    for (const RoundingMode mode :
         {RoundingMode::nearest_even, RoundingMode::nearest_away, RoundingMode::toward_zero,
          RoundingMode::toward_positive, RoundingMode::toward_negative, RoundingMode::to_odd})
      for (const Overflow overflow :
           {Overflow::saturate, Overflow::to_infinity, Overflow::to_nan}) {
        const Policy policy{overflow, nan, UnsignedRule::clamp};
        if (!expressible(spec, policy)) continue;
        const std::uint32_t want = expected_code(spec, list, x, mode, overflow);
        ASSERT_EQ(encode(spec, Value::finite(x), mode, policy), want)
            << approximate(x) << " mode " << static_cast<int>(mode);
        ASSERT_EQ(encode(spec, RationalValue::finite(x.rational()), mode, policy), want);
      }
}

// A row that spec.h does not have: adding a format must not need more than a row.
constexpr FormatSpec e3m3{"e3m3", 8, 1, 3, 3, 3, true, Specials::none, "test"};
constexpr FormatSpec e4m2_ieee{"e4m2", 8, 1, 4, 2, 7, true, Specials::ieee, "test"};

INSTANTIATE_TEST_SUITE_P(Formats, EncodeDefinition,
                         testing::Values(Case{&e2m1, 8}, Case{&e4m3, 480}, Case{&ue4m3, 480},
                                         Case{&e8m0, 0x1p128}, Case{&e2m3, 8}, Case{&e3m2, 32},
                                         Case{&e5m2, 65536}, Case{&int4, 8}, Case{&e3m3, 32},
                                         Case{&e4m2_ieee, 256}),
                         [](const auto& c) { return std::string(c.param.spec->name); });

TEST(StochasticRounding, ProbabilityIsExactlyTheTruncatedFraction) {
  // x between the E4M3 neighbours 1 (0x38) and 1.125 (0x39), at the fraction p/64 of the way.
  const Policy policy = policy_of(saturating, e4m3);
  for (int bits = 1; bits <= 8; ++bits)
    for (std::uint32_t p = 0; p < 64; ++p)
      for (const bool negative : {false, true}) {
        const Exact x = Exact(1) + Exact(Integer(p), -9);
        std::uint32_t ups = 0;
        for (std::uint32_t word = 0; word < 1U << bits; ++word) {
          const std::uint32_t code = encode(e4m3, Value::finite(negative ? -x : x),
                                            RoundingMode::stochastic, policy, {bits, word});
          const std::uint32_t sign = negative ? 0x80 : 0;
          ASSERT_TRUE(code == (0x38 | sign) || code == (0x39 | sign));
          ups += code & 1;
        }
        ASSERT_EQ(ups, (p << bits) / 64) << bits << " " << p;
      }
}

TEST(StochasticRounding, QuotientsSubnormalsAndOverflow) {
  const auto count_up = [](const FormatSpec& spec, const RationalValue& x, const Policy& policy,
                           std::uint32_t low) {
    std::uint32_t ups = 0;
    for (std::uint32_t word = 0; word < 1U << 16; ++word)
      ups += encode(spec, x, RoundingMode::stochastic, policy, {16, word}) != low ? 1 : 0;
    return ups;
  };
  // 1/3 of the way from 4 to 6; and 1/6 is a third of the way from 0 to the smallest value 0.5.
  const Policy e2m1_policy = policy_of(saturating, e2m1);
  EXPECT_EQ(count_up(e2m1, RationalValue::finite(Rational(14, 3)), e2m1_policy, 0x6), 65536U / 3);
  EXPECT_EQ(count_up(e2m1, RationalValue::finite(Rational(1, 6)), e2m1_policy, 0x0), 65536U / 3);
  // 456 is a quarter of the way to 480, which overflows to NaN.
  const Policy to_nan = policy_of(ieee, e4m3);
  EXPECT_EQ(count_up(e4m3, RationalValue::finite(456), to_nan, 0x7E), 65536U / 4);
  EXPECT_EQ(count_up(e4m3, RationalValue::finite(480), to_nan, 0x7F), 0U);
  // Below the smallest E8M0 there is nothing to round down to.
  EXPECT_EQ(count_up(e8m0, RationalValue::finite(Rational(Exact(Integer(3), -130).rational())),
                     policy_of(saturating, e8m0), 0x00),
            0U);
}

}  // namespace
}  // namespace assay::golden
