// SPDX-License-Identifier: Apache-2.0
// The theorem of golden/lossless_nvfp4.h by enumeration, in integers and without golden's codec:
// every FP32 factor that any set of codes allows, every pair of sets at every distance of scales,
// and every pair of scale codes.
#include "golden/lossless_nvfp4.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "golden/codec.h"
#include "golden/layout.h"
#include "golden/quantize.h"

namespace assay::golden {
namespace {

using formats::BlockScaledTensor;

constexpr std::array<std::int64_t, 8> doubled{0, 1, 2, 3, 4, 6, 8, 12};  // E2M1 magnitudes
constexpr unsigned threes = 1U << 3 | 1U << 5 | 1U << 7;                 // 1.5, 3, 6

// UE4M3's positive numbers, times 2^9.
std::vector<std::int64_t> scale_units() {
  std::vector<std::int64_t> units;
  for (std::int64_t m = 1; m < 8; ++m) units.push_back(m);
  for (int e = 1; e < 16; ++e) {
    for (std::int64_t m = 0; m < (e == 15 ? 7 : 8); ++m) units.push_back((8 + m) << (e - 1));
  }
  return units;
}

struct Fraction {
  std::int64_t num, den;
  Fraction(std::int64_t n, std::int64_t d) : num(n / std::gcd(n, d)), den(d / std::gcd(n, d)) {}
  friend auto operator<=>(const Fraction&, const Fraction&) = default;
};

// odd * 2^exponent.
using Factor = std::pair<std::int64_t, int>;
Factor parts(Fraction g) {
  int exponent = 0;
  while (g.num % 2 == 0) {
    g.num /= 2;
    ++exponent;
  }
  while (g.den % 2 == 0) {
    g.den /= 2;
    --exponent;
  }
  EXPECT_EQ(g.den, 1);
  return {g.num, exponent};
}

bool on_grid(std::int64_t num, std::int64_t den) {
  return num % den == 0 && std::find(doubled.begin(), doubled.end(), num / den) != doubled.end();
}

// Every g = odd 2^exponent that serves the magnitudes in `mask` at E = 0. A g that serves a
// magnitude is c / (q s) for one of its q and an s, so this is all of them.
std::set<Factor> factors_of(unsigned mask) {
  static const std::vector<std::int64_t> units = scale_units();
  std::set<Factor> result;
  const unsigned first = static_cast<unsigned>(__builtin_ctz(mask));
  for (std::size_t q = 1; q < 8; ++q) {
    for (const std::int64_t unit : units) {
      const Fraction g(doubled[first] << 9, doubled[q] * unit);
      if ((g.den & (g.den - 1)) != 0) continue;  // no FP32 number
      // c / (s g) = c q / first, in doubled magnitudes.
      bool serves = true;
      for (unsigned m = first; m < 8; ++m) {
        if ((mask >> m & 1U) != 0)
          serves = serves && on_grid(doubled[m] * doubled[q], doubled[first]);
      }
      if (serves) result.insert(parts(g));
    }
  }
  return result;
}

std::set<int> shifts(unsigned mask, bool thirds) {
  std::set<int> result;
  for (int i = -4; i <= 4; ++i) {
    bool fits = true;
    for (unsigned m = 1; m < 8; ++m) {
      if ((mask >> m & 1U) == 0) continue;
      const std::int64_t raised = doubled[m] << (i + 4);
      fits = fits && on_grid(raised, thirds ? 48 : 16);
    }
    if (fits) result.insert(i);
  }
  return result;
}

TEST(GoldenLosslessNvfp4, EveryFactorOfEverySetOfCodes) {
  ASSERT_EQ(scale_units().size(), 126U);
  for (unsigned mask = 2; mask < 256; mask += 2) {
    std::set<Factor> expected;
    const std::set<int> i = shifts(mask, false);
    ASSERT_EQ(i.size(), static_cast<std::size_t>(*i.rbegin() - *i.begin() + 1)) << "an interval";
    ASSERT_TRUE(i.count(0));
    for (int j = -*i.rbegin() - 8; j <= -*i.begin() + 9; ++j) expected.insert({1, j});
    if ((mask & ~threes) == 0) {
      const std::set<int> thirds = shifts(mask, true);
      ASSERT_EQ(thirds.size(), static_cast<std::size_t>(*thirds.rbegin() - *thirds.begin() + 1));
      for (int j = -*thirds.rbegin() - 8; j <= -*thirds.begin() + 9; ++j) expected.insert({3, j});
    }
    EXPECT_EQ(factors_of(mask), expected) << mask;
  }
}

// Two half-blocks, one below the other, with the magnitudes of a mask each.
BlockScaledTensor two_blocks(unsigned top, std::uint32_t top_scale, unsigned low,
                             std::uint32_t low_scale) {
  BlockScaledTensor t;
  t.format = &formats::mxfp4_rceil;
  t.rows = 2;
  t.cols = 8;
  t.codes.assign(8, 0);
  t.scales = {static_cast<std::uint8_t>(top_scale), static_cast<std::uint8_t>(low_scale)};
  for (std::uint32_t m = 0; m < 8; ++m) {
    if ((top >> m & 1U) != 0) store_code(t, 0, m, m);
    if ((low >> m & 1U) != 0) store_code(t, 1, m, m | 8U);
  }
  return t;
}

bool same_values(const BlockScaledTensor& a, const BlockScaledTensor& b) {
  const std::vector<Value> x = dequantize(a);
  const std::vector<Value> y = dequantize(b);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i].is_nan() != y[i].is_nan()) return false;
    if (!x[i].is_nan() && (!(x[i] == y[i]) || x[i].negative != y[i].negative)) return false;
  }
  return x.size() == y.size();
}

TEST(GoldenLosslessNvfp4, EveryPairOfSetsAtEveryDistance) {
  std::map<unsigned, std::set<Factor>> known;
  for (unsigned mask = 2; mask < 256; mask += 2) known[mask] = factors_of(mask);
  int widest_always = 1000;
  int widest = 0;
  std::int64_t cases = 0;
  for (unsigned top = 2; top < 256; top += 2) {
    for (unsigned low = 2; low < 256; low += 2) {
      int reach = -1;
      for (int distance = 0; distance <= 26; ++distance) {
        bool expected = false;
        for (const auto& [odd, j] : known[top])
          expected = expected || known[low].count({odd, j + distance}) == 1;
        ++cases;
        if (!expected) break;
        reach = distance;
      }
      // The definition at the last distance that works and at the next one.
      for (const int distance : {reach, reach + 1}) {
        const BlockScaledTensor t =
            two_blocks(top, 150, low, static_cast<std::uint32_t>(150 - distance));
        const LosslessNvfp4 result = lossless_nvfp4(t);
        ASSERT_EQ(result.lossless, distance == reach) << top << ' ' << low << ' ' << distance;
        if (result.lossless)
          ASSERT_TRUE(same_values(t, result.tensor)) << top << ' ' << low << ' ' << distance;
        else
          ASSERT_EQ(result.lost_row, 1);
      }
      widest_always = std::min(widest_always, reach);
      widest = std::max(widest, reach);
    }
  }
  EXPECT_GT(cases, 127 * 127 * 18);
  EXPECT_EQ(widest_always, nvfp4_spread_always);
  EXPECT_EQ(widest, nvfp4_spread_at_most);
}

TEST(GoldenLosslessNvfp4, EveryPairOfScalesWithEveryPairOfCodes) {
  std::map<unsigned, std::set<Factor>> known;
  for (unsigned m = 1; m < 8; ++m) known[m] = factors_of(1U << m);
  std::int64_t lossless = 0;
  for (int top = 0; top < 255; ++top) {
    for (int low = std::max(0, top - 25); low <= top; ++low) {
      for (unsigned a = 1; a < 8; ++a) {
        for (unsigned b = 1; b < 8; ++b) {
          bool expected = false;
          for (const auto& [odd, j] : known[a])
            expected = expected || known[b].count({odd, j + top - low}) == 1;
          const BlockScaledTensor t = two_blocks(1U << a, static_cast<std::uint32_t>(top), 1U << b,
                                                 static_cast<std::uint32_t>(low));
          const LosslessNvfp4 result = lossless_nvfp4(t);
          ASSERT_EQ(result.lossless, expected) << top << ' ' << low << ' ' << a << ' ' << b;
          if (!expected) continue;
          ++lossless;
          ASSERT_GE(result.tensor.tensor_scale, 0x1p-126F);
          ASSERT_TRUE(same_values(t, result.tensor)) << top << ' ' << low << ' ' << a << ' ' << b;
        }
      }
    }
  }
  EXPECT_GT(lossless, 200000);
}

TEST(GoldenLosslessNvfp4, CodesAreKeptWhereTheyCanBe) {
  const LosslessNvfp4 near = lossless_nvfp4(two_blocks(254, 127, 254, 110));
  ASSERT_TRUE(near.lossless);
  EXPECT_EQ(near.tensor.codes, two_blocks(254, 127, 254, 110).codes);
  EXPECT_EQ(near.tensor.tensor_scale, 0x1p-8F);
  EXPECT_EQ(near.tensor.scales[0], 0x78);  // 256
  EXPECT_EQ(near.tensor.scales[1], 0x01);  // 2^-9
  const LosslessNvfp4 far = lossless_nvfp4(two_blocks(1U << 1, 127, 254, 109));
  ASSERT_TRUE(far.lossless);
  EXPECT_NE(far.tensor.codes[0], 0x10) << "0.5 becomes 1 or more";
}

TEST(GoldenLosslessNvfp4, ZerosNanAndPartialBlocks) {
  BlockScaledTensor t = two_blocks(0, 254, 254, 0);
  const LosslessNvfp4 zeros = lossless_nvfp4(t);
  ASSERT_TRUE(zeros.lossless) << "zeros have no condition";
  EXPECT_TRUE(same_values(t, zeros.tensor));
  t = two_blocks(254, 0xFF, 254, 100);
  const LosslessNvfp4 nan = lossless_nvfp4(t);
  ASSERT_TRUE(nan.lossless);
  EXPECT_EQ(nan.tensor.scales[0], 0x7F);
  EXPECT_TRUE(same_values(t, nan.tensor));
  t = two_blocks(1, 3, 1, 200);
  EXPECT_EQ(lossless_nvfp4(t).tensor.tensor_scale, 1);

  BlockScaledTensor wide;
  wide.format = &formats::mxfp4_floor;
  wide.rows = 3;
  wide.cols = 53;  // a block and a part of one; four half-blocks
  wide.codes.assign(3 * 27, 0);
  wide.scales.assign(6, 0);
  std::mt19937 random(2);
  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t c = 0; c < 53; ++c) store_code(wide, r, c, random() % 16);
  }
  for (auto& scale : wide.scales) scale = static_cast<std::uint8_t>(120 + random() % 18);
  const LosslessNvfp4 ok = lossless_nvfp4(wide);
  ASSERT_TRUE(ok.lossless);
  EXPECT_TRUE(same_values(wide, ok.tensor));
  wide.scales[0] = 137;
  wide.scales[3] = 119;  // row 1, columns 32..52
  const LosslessNvfp4 lost = lossless_nvfp4(wide);
  EXPECT_FALSE(lost.lossless);
  EXPECT_EQ(lost.lost_row, 1);
  EXPECT_EQ(lost.lost_col, 32);
}

// What a W4A16 kernel multiplies: code times scale factor is exact in FP16 and in bf16.
TEST(GoldenLosslessNvfp4, CodeTimesScaleIsExactInHalfPrecision) {
  for (std::uint32_t scale = 0; scale < 0x7F; ++scale) {
    for (std::uint32_t code = 0; code < 16; ++code) {
      const Value product = decode(formats::ue4m3, scale) * decode(formats::e2m1, code);
      for (const formats::FormatSpec* half : {&formats::fp16, &formats::bf16}) {
        const std::uint32_t rounded =
            encode(*half, product, RoundingMode::toward_zero, policy_of(formats::ieee, *half));
        const Value back = decode(*half, rounded);
        EXPECT_TRUE(back == product && back.negative == product.negative) << scale << ' ' << code;
      }
    }
  }
}

TEST(GoldenLosslessNvfp4, RejectsWhatTheTheoremIsNotAbout) {
  const BlockScaledTensor t = two_blocks(2, 127, 2, 127);
  EXPECT_THROW((void)lossless_nvfp4(t, formats::mxfp4_floor), std::invalid_argument);
  BlockScaledTensor nvfp4 = t;
  nvfp4.format = &formats::nvfp4;
  EXPECT_THROW((void)lossless_nvfp4(nvfp4), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
