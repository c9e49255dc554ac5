// SPDX-License-Identifier: Apache-2.0
// The figures of a replay on numbers worked out by hand: errors of a tensor, noise at a router, and
// the shapes that the recomputed operations refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "simulator/error_figures.h"
#include "simulator/router_noise.h"
#include "tests/simulator/tiny_recording.h"

namespace assay::simulator {
namespace {

TEST(ErrorFigures, GainNoiseAndRelativeError) {
  const std::vector<double> x{3, 4}, y{3, 5};
  const auto f = error_figures(x, y);
  EXPECT_DOUBLE_EQ(f.gain, 29.0 / 25);
  EXPECT_NEAR(f.nsr, (std::pow(3 - 3 * 1.16, 2) + std::pow(5 - 4 * 1.16, 2)) / 25, 1e-15);
  EXPECT_DOUBLE_EQ(f.relative_mse, 1.0 / 25);
  const auto doubled = error_figures(x, std::vector<double>{6, 8});
  EXPECT_DOUBLE_EQ(doubled.gain, 2);
  EXPECT_NEAR(doubled.nsr, 0, 1e-15);
  EXPECT_DOUBLE_EQ(doubled.relative_mse, 1);
  const auto nothing = error_figures(std::vector<double>{0, 0}, std::vector<double>{1, 1});
  EXPECT_EQ(nothing.nsr, ErrorFigures{}.nsr);
  EXPECT_EQ(nothing.gain, ErrorFigures{}.gain);
}

// mxfp4-rceil on rows of 2: the scale is 2^ceil(log2(amax / 6)).
TEST(ErrorFigures, CountsOfATensor) {
  TinyRecording tiny;
  tiny.w = {6, 0.2F, 0, 0};  // scale 1: 0.2 is flushed; a block of zeros has no error
  const auto recording = Recording::open(tiny.write());
  const auto t = replay(recording, load_recipe("mxfp4-rceil")).tensors.at(0);
  EXPECT_EQ(t.flushed, 1U);
  EXPECT_EQ(t.clipped, 0U);
  EXPECT_EQ(t.worst_block, 0);
  EXPECT_NEAR(t.worst_block_error, 0.04 / 36.04, 1e-8);
  EXPECT_EQ(t.codes[0], 3U);
  EXPECT_EQ(t.codes[7], 1U);
  const auto& bins = t.histogram.bins;
  EXPECT_EQ(std::accumulate(bins.begin(), bins.end(), t.histogram.below + t.histogram.above), 4U);
  EXPECT_EQ(t.histogram.below + t.histogram.above, 0U);
  // Errors over the root mean square sqrt(36.04 / 4): three zeros and -0.0666, below them.
  const auto bin = [](double e) {
    return static_cast<std::size_t>((e + kErrorRange) / (2 * kErrorRange) * kErrorBins);
  };
  EXPECT_LT(bin(-0.2 / std::sqrt(9.01)), bin(0));
  EXPECT_EQ(bins[bin(0)], 3U);
  EXPECT_EQ(bins[bin(-0.2 / std::sqrt(9.01))], 1U);
}

TEST(ErrorFigures, FloorScalesClip) {
  TinyRecording tiny;
  tiny.w = {7.5F, 1, 1, 1};  // floor: scale 2^(2 - 2) = 1, 7.5 > 6; the other row has scale 1/4
  const auto recording = Recording::open(tiny.write());
  const auto t = replay(recording, load_recipe("mxfp4-floor")).tensors.at(0);
  EXPECT_EQ(t.clipped, 1U);
  EXPECT_EQ(t.flushed, 0U);
}

TEST(LinearFigures, TheWorstRowIsThatOfTheLargestRelativeError) {
  TinyRecording tiny;
  const auto recording = Recording::open(tiny.write());
  const auto l = replay(recording, load_recipe("mxfp4-rceil")).linears.at(0);
  double worst = 0;
  std::int64_t row = 0;
  // Only the second column of W changes, by -1/16 and -1/4.
  for (std::size_t r = 0; r < 3; ++r) {
    double power = 0;
    for (std::size_t o = 0; o < 2; ++o)
      power += std::pow(tiny.x[2 * r] * tiny.w[2 * o] + tiny.x[2 * r + 1] * tiny.w[2 * o + 1], 2);
    const double e = std::pow(tiny.x[2 * r + 1], 2) * (1.0 / 256 + 1.0 / 16) / power;
    if (e > worst) {
      worst = e;
      row = static_cast<std::int64_t>(r);
    }
  }
  EXPECT_EQ(l.worst_row, row);
  EXPECT_NEAR(l.worst_row_error, worst, 1e-14);
  EXPECT_EQ(l.rows, 3);
  EXPECT_EQ(l.in, 2);
  EXPECT_EQ(l.out, 2);
  EXPECT_EQ(l.layer, 0);
  EXPECT_EQ(l.op, "lin");
}

TEST(RouterNoise, FiguresOfTwoTokensByHand) {
  Matrix clean(2, 3), noisy(2, 3);
  clean << 3, 2, 0, 0, 1, 5;
  noisy << 3.5, 4, 0.5, 0, 1, 5;  // token 0: changes 0.5, 2, 0.5 of mean 1
  const Selection one{1, ScoreFunction::softmax, {}};
  const RouterNoise n = router_noise(clean, noisy, one);
  EXPECT_EQ(n.flipped, (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(n.flips(), 1U);
  EXPECT_DOUBLE_EQ(n.token_noise.at(0), 1);  // |2 - 1|
  EXPECT_EQ(n.token_noise.at(1), 0);
  EXPECT_DOUBLE_EQ(n.noise_sd, std::sqrt((0.25 + 4 + 0.25) / 6));
  EXPECT_DOUBLE_EQ(n.centred_noise_sd, std::sqrt((0.25 + 1 + 0.25) / 6));
  // The last chosen against the first not chosen: (0.5 - 2) of token 0, 0 of token 1.
  const double sd = std::sqrt(1.5 * 1.5 / 2);
  EXPECT_DOUBLE_EQ(n.difference_sd, sd);
  EXPECT_EQ(margins(clean, one), (std::vector<double>{1, 4}));
  const auto phi = [&](double margin) { return std::erfc(margin / sd / std::sqrt(2.0)) / 2; };
  EXPECT_DOUBLE_EQ(n.expected_flips, phi(1) + phi(4));
  // Of two experts the set counts, not the order.
  const RouterNoise two = router_noise(clean, noisy, {2, ScoreFunction::softmax, {}});
  EXPECT_EQ(two.flips(), 0U);
  // Where all are chosen nothing can flip.
  const RouterNoise all = router_noise(clean, noisy, {3, ScoreFunction::softmax, {}});
  EXPECT_EQ(all.flips(), 0U);
  EXPECT_EQ(all.difference_sd, 0);
  EXPECT_EQ(all.expected_flips, 0);
  EXPECT_EQ(margins(clean, {3, ScoreFunction::softmax, {}}).at(0),
            std::numeric_limits<double>::infinity());
}

TEST(Network, AttentionRefusesEveryShapeThatDoesNotFit) {
  const auto zero = [](std::int64_t r, std::int64_t c) { return Matrix(Matrix::Zero(r, c)); };
  // 2 query heads and 1 key head of dimension 2, sequences of 3.
  const AttentionShape good{2, 1, 2, 0, 3};
  EXPECT_NO_THROW((void)attention(zero(6, 4), zero(6, 2), zero(6, 2), good));
  EXPECT_THROW((void)attention(zero(6, 6), zero(6, 2), zero(6, 2), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(6, 4), zero(6, 4), zero(6, 2), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(6, 4), zero(6, 4), zero(6, 4), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(6, 4), zero(6, 2), zero(6, 4), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(6, 4), zero(3, 2), zero(6, 2), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(6, 4), zero(6, 2), zero(3, 2), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(6, 4), zero(3, 2), zero(3, 2), good), std::invalid_argument);
  EXPECT_THROW((void)attention(zero(4, 4), zero(4, 2), zero(4, 2), good), std::invalid_argument);
  for (const AttentionShape& wrong : {AttentionShape{0, 1, 2, 0, 3}, AttentionShape{2, 0, 2, 0, 3},
                                      AttentionShape{3, 2, 2, 0, 3}, AttentionShape{2, 1, 2, 0, 0}})
    EXPECT_THROW((void)attention(zero(6, 4), zero(6, 2), zero(6, 2), wrong), std::invalid_argument);
}

TEST(Network, GroupedHeadsReadTheirKeyHead) {
  // 4 query heads, 2 key heads of dimension 1; equal scores: every head answers its values' mean.
  const AttentionShape shape{4, 2, 1, 0, 2};
  const Matrix q = Matrix::Zero(2, 4);
  const Matrix k = Matrix::Zero(2, 2);
  Matrix v(2, 2);
  v << 1, 10, 3, 30;
  Matrix expected(2, 4);
  expected << 1, 1, 10, 10, 2, 2, 20, 20;
  EXPECT_EQ(attention(q, k, v, shape), expected);
}

}  // namespace
}  // namespace assay::simulator
