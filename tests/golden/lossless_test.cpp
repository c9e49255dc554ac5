// SPDX-License-Identifier: Apache-2.0
// The theorem of golden/lossless.h by enumeration: every pair of scale codes, every code. What E4M3
// can hold is enumerated here from its definition, without golden's codec.
#include "golden/lossless.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "golden/codec.h"
#include "golden/layout.h"
#include "golden/quantize.h"

namespace assay::golden {
namespace {

using formats::BlockScaledTensor;

// Doubled E2M1 magnitudes.
constexpr int doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};

// E4M3 magnitudes times 2^9: subnormals M, normals (8 + M) 2^(E - 1), without the NaN at E = 15, M
// = 7.
std::set<std::int64_t> e4m3_units() {
  std::set<std::int64_t> units;
  for (int m = 0; m < 8; ++m) units.insert(m);
  for (int e = 1; e < 16; ++e) {
    for (int m = 0; m < (e == 15 ? 7 : 8); ++m) units.insert(std::int64_t{8 + m} << (e - 1));
  }
  return units;
}

// Whether code * 2^shift is an E4M3 number: doubled * 2^(shift - 1) * 2^9 units.
bool representable(int magnitude_code, int shift, const std::set<std::int64_t>& units) {
  const double in_units = std::ldexp(doubled[magnitude_code], shift - 1 + 9);
  if (in_units != std::floor(in_units) || in_units > 1e6) return false;
  return units.count(static_cast<std::int64_t>(in_units)) == 1;
}

// Two sub-blocks, one above the other: the first holds 6 at scale code `top`, the second `code` at
// `low`.
BlockScaledTensor two_blocks(std::uint32_t top, std::uint32_t low, std::uint32_t code) {
  BlockScaledTensor t;
  t.format = &formats::mxfp4_rceil;
  t.rows = 2;
  t.cols = 1;
  t.codes = {0x7, static_cast<std::uint8_t>(code)};
  t.scales = {static_cast<std::uint8_t>(top), static_cast<std::uint8_t>(low)};
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

TEST(GoldenLossless, EveryCodeAtEveryPairOfScales) {
  const std::set<std::int64_t> units = e4m3_units();
  ASSERT_EQ(units.size(), 127U);
  std::map<int, int>
      largest_difference;  // per magnitude code, where the target scale is not clamped
  std::map<int, int> smallest_lost;
  std::int64_t cases = 0;
  for (std::uint32_t top = 0; top < 255; ++top) {
    for (std::uint32_t low = 0; low <= top; ++low) {
      for (std::uint32_t code = 0; code < 16; ++code) {
        const int magnitude = static_cast<int>(code & 7);
        const BlockScaledTensor t = two_blocks(top, low, code);
        const LosslessE4m3 result = lossless_e4m3(t, formats::fp8_deepseek_v4_weight);
        const int target = top < 6 ? 0 : static_cast<int>(top) - 6;
        const bool expected = representable(magnitude, static_cast<int>(low) - target, units) &&
                              representable(7, static_cast<int>(top) - target, units);
        ++cases;
        ASSERT_EQ(result.lossless, expected) << top << ' ' << low << ' ' << code;
        const int difference = static_cast<int>(top - low);
        if (expected) {
          ASSERT_TRUE(same_values(t, result.tensor)) << top << ' ' << low << ' ' << code;
          if (top >= 6) {
            largest_difference[magnitude] = std::max(largest_difference[magnitude], difference);
          }
        } else {
          ASSERT_EQ(result.lost_row, 1);
          ASSERT_GE(top, 6U) << "a clamped target scale never loses";
          const auto [at, is_new] = smallest_lost.try_emplace(magnitude, difference);
          if (!is_new) at->second = std::min(at->second, difference);
        }
      }
    }
  }
  EXPECT_EQ(cases, 255 * 256 / 2 * 16);
  int threshold = 1 << 20;
  for (int magnitude = 1; magnitude < 8; ++magnitude) {
    const int limit = lossless_exponent_difference_of_code[magnitude];
    EXPECT_EQ(largest_difference[magnitude], limit) << magnitude;
    EXPECT_EQ(smallest_lost[magnitude], limit + 1) << magnitude;
    threshold = std::min(threshold, limit);
  }
  EXPECT_EQ(smallest_lost.count(0), 0U) << "zeros are never lost";
  EXPECT_EQ(threshold, lossless_exponent_difference);
}

TEST(GoldenLossless, AWholeBlockAtTheThresholdAndOneAbove) {
  BlockScaledTensor t;
  t.format = &formats::deepseek_v4;
  t.rows = 130;
  t.cols = 160;
  t.codes.assign(130 * 80, 0);
  t.scales.assign(130 * 5, 0);
  std::mt19937 random(1);
  for (auto& byte : t.codes) byte = static_cast<std::uint8_t>(random());
  for (auto& scale : t.scales)
    scale = static_cast<std::uint8_t>(100 + random() % 15);  // ratio 2^14
  t.scales[0] = 114;
  t.codes[0] = 0x77;
  const LosslessE4m3 ok = lossless_e4m3(t, formats::fp8_deepseek_v4_weight);
  ASSERT_TRUE(ok.lossless);
  EXPECT_TRUE(same_values(t, ok.tensor));
  t.scales[5] = 99;          // row 1, columns 0..31: 2^15 below
  store_code(t, 1, 3, 0x9);  // -0.5
  for (int col = 0; col < 3; ++col) store_code(t, 1, col, 0x2);
  const LosslessE4m3 lost = lossless_e4m3(t, formats::fp8_deepseek_v4_weight);
  EXPECT_FALSE(lost.lossless);
  EXPECT_EQ(lost.lost_row, 1);
  EXPECT_EQ(lost.lost_col, 3);
}

TEST(GoldenLossless, ZeroBlocksDoNotCountAndNanStaysNan) {
  BlockScaledTensor t = two_blocks(254, 0, 0x8);  // a block of -0 at 2^-127
  const LosslessE4m3 zeros = lossless_e4m3(t, formats::fp8_deepseek_v4_weight);
  ASSERT_TRUE(zeros.lossless);
  EXPECT_EQ(zeros.tensor.codes[1], 0x80);
  t = two_blocks(0xFF, 100, 0x1);
  const LosslessE4m3 nan = lossless_e4m3(t, formats::fp8_deepseek_v4_weight);
  ASSERT_TRUE(nan.lossless);
  EXPECT_EQ(nan.tensor.codes[0], 0x7F);
  EXPECT_EQ(nan.tensor.scales[0], 94);
}

TEST(GoldenLossless, RejectsWhatTheTheoremIsNotAbout) {
  const BlockScaledTensor t = two_blocks(127, 127, 1);
  EXPECT_THROW((void)lossless_e4m3(t, formats::mxfp4_floor), std::invalid_argument);
  BlockScaledTensor nvfp4 = t;
  nvfp4.format = &formats::nvfp4;
  EXPECT_THROW((void)lossless_e4m3(nvfp4, formats::fp8_deepseek_v4_weight), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
