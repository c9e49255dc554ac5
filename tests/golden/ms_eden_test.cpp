// SPDX-License-Identifier: Apache-2.0
#include "golden/ms_eden.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <stdexcept>

#include "formats/presets.h"
#include "golden/layout.h"
#include "golden/philox.h"
#include "golden/quantize.h"
#include "golden/stochastic.h"

namespace assay::golden {
namespace {

using formats::BlockScaledTensor;

const FormatSpec& e4m3 = *formats::nvfp4.scale;

std::vector<float> normal(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> x(count);
  for (float& v : x) v = distribution(random);
  return x;
}

Rational exact(float x) { return Exact::from_float(x).rational(); }
Rational scale_of(const BlockScaledTensor& t, std::int64_t row, std::int64_t b) {
  return decode(e4m3, load_scale(t, row, b)).number.rational();
}
Rational element_of(const BlockScaledTensor& t, std::int64_t row, std::int64_t col) {
  return decode(*t.format->element, load_code(t, row, col)).number.rational();
}

/// The mean of the stochastic rounding of `x` with unlimited random bits.
Rational mean_scale(const Rational& x) {
  const StochasticOutcome o = ideal_stochastic_outcome(e4m3, RationalValue::finite(x),
                                                       policy_of(formats::saturating, e4m3));
  const Rational down = decode(e4m3, o.down).number.rational();
  return down + o.up_probability * (decode(e4m3, o.up).number.rational() - down);
}

TEST(GoldenMsEden, ABlockByHand) {
  // clip 6, top 256, amax 6: g = 6 / 1536 = 2^-8, s = 256, u = x. 5 is a tie, to the even code of
  // 4: S = (36 + 25) / (36 + 20).
  std::vector<float> x(16);
  x[0] = 6;
  x[1] = -5;
  x[2] = -0.0F;
  const MsEden how{.clip = 6, .top = 256, .group = 16};
  const MsEdenNearest n = ms_eden_nearest(x, 1, 16, how);
  EXPECT_EQ(n.tensor.tensor_scale, 0x1p-8F);
  EXPECT_EQ(load_scale(n.tensor, 0, 0), 0x78U);  // 256
  EXPECT_EQ(load_code(n.tensor, 0, 0), 0x7U);
  EXPECT_EQ(load_code(n.tensor, 0, 1), 0xEU);
  EXPECT_EQ(load_code(n.tensor, 0, 2), 0x8U);
  ASSERT_EQ(n.corrected.size(), 1U);
  EXPECT_EQ(n.corrected[0], Rational(256 * 61, 56));
  // 256 * 61/56 = 278.9 lies 5/7 of the way from 256 to 288: with 16 bits floor(5/7 2^16) words go
  // up.
  int up = 0;
  for (std::uint64_t seed = 0; seed < 512; ++seed) {
    const BlockScaledTensor t = ms_eden(x, 1, 16, seed, 16, how);
    EXPECT_EQ(t.codes, n.tensor.codes);
    const bool goes_up = random_of(seed, 0, 16).word + 65536 * 5 / 7 >= 65536;
    ASSERT_EQ(load_scale(t, 0, 0), goes_up ? 0x79U : 0x78U) << seed;
    up += goes_up ? 1 : 0;
  }
  EXPECT_GT(up, 0);
  EXPECT_LT(up, 512);
}

// The reason for the rule, for every grouping of the sources: sum u E[x'] / (s g) = sum u^2.
TEST(GoldenMsEden, TheMeanKeepsTheProjectionOfEveryGroup) {
  for (const std::int64_t group : {16, 128, 256}) {
    for (const std::int64_t cols : {256, 200}) {
      const std::vector<float> x = normal(static_cast<std::size_t>(3 * cols), 7);
      MsEden how;
      how.group = group;
      if (group != 16) how.top = Rational(25599, 100);
      const MsEdenNearest n = ms_eden_nearest(x, 3, cols, how);
      const Rational g = exact(n.tensor.tensor_scale);
      const std::int64_t across = (cols + 15) / 16;
      int nearest_loses = 0;
      for (std::int64_t row = 0; row < 3; ++row)
        for (std::int64_t first = 0; first < cols; first += group) {
          Rational kept = 0;
          Rational nearest = 0;
          Rational squares = 0;
          for (std::int64_t col = first; col < std::min(cols, first + group); ++col) {
            const Rational s = scale_of(n.tensor, row, col / 16);
            const Rational u = exact(x[static_cast<std::size_t>(row * cols + col)]) / (s * g);
            const Rational q = element_of(n.tensor, row, col);
            const Rational& wanted = n.corrected[static_cast<std::size_t>(row * across + col / 16)];
            ASSERT_LE(wanted, 448);
            kept += u * q * mean_scale(wanted) / s;
            nearest += u * q;
            squares += u * u;
          }
          ASSERT_EQ(kept, squares) << group << ' ' << row << ' ' << first;
          nearest_loses += nearest == squares ? 0 : 1;
        }
      EXPECT_GT(nearest_loses, 0);
    }
  }
}

// "More than 2x lower quantization error than SR" (the paper's abstract), on N(0, 1).
TEST(GoldenMsEden, HalfTheErrorOfStochasticRounding) {
  constexpr std::int64_t rows = 32;
  constexpr std::int64_t cols = 128;
  const std::vector<float> x = normal(rows * cols, 3);
  const auto error = [&](const BlockScaledTensor& t) {
    const std::vector<Value> back = dequantize(t);
    Rational sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Rational e = back[i].number.rational() - exact(x[i]);
      sum += e * e;
    }
    return sum;
  };
  QuantizeOptions options;
  options.rounding = RoundingMode::stochastic;
  const Rational stochastic = error(quantize(x, rows, cols, formats::nvfp4_sr, options));
  EXPECT_LT(2 * error(ms_eden(x, rows, cols, 1, 16)), stochastic);
}

TEST(GoldenMsEden, NothingIsNothing) {
  const BlockScaledTensor t = ms_eden(std::vector<float>(32), 2, 16, 5, 16);
  EXPECT_EQ(t.tensor_scale, 1.0F);
  EXPECT_EQ(t.codes, std::vector<std::uint8_t>(16));
  EXPECT_EQ(t.scales, std::vector<std::uint8_t>(2, 0x38));  // 1
}

TEST(GoldenMsEden, BadInputsAreRefused) {
  const std::vector<float> x(32, 1.0F);
  EXPECT_THROW((void)ms_eden(x, 1, 16, 0, 16), std::invalid_argument);
  EXPECT_THROW((void)ms_eden(x, 0, 16, 0, 16), std::invalid_argument);
  EXPECT_THROW((void)ms_eden(x, 1, 32, 0, 17), std::invalid_argument);
  for (const std::int64_t group : {0, 8, 24})
    EXPECT_THROW((void)ms_eden(x, 1, 32, 0, 16, {.group = group}), std::invalid_argument);
  EXPECT_THROW((void)ms_eden(x, 1, 32, 0, 16, {.clip = 0}), std::invalid_argument);
  EXPECT_THROW((void)ms_eden(x, 1, 32, 0, 16, {.top = -1}), std::invalid_argument);
  std::vector<float> bad = x;
  bad[3] = std::numeric_limits<float>::infinity();
  EXPECT_THROW((void)ms_eden(bad, 1, 32, 0, 16), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
