// SPDX-License-Identifier: Apache-2.0
// The recomputed operations against small cases worked out by hand.
#include "simulator/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace assay::simulator {
namespace {

TEST(Network, RmsNorm) {
  Matrix x(1, 2);
  x << 3, 4;
  const std::vector<double> weight{2, 1};
  const Matrix y = rms_norm(x, weight, 0);
  EXPECT_DOUBLE_EQ(y(0, 0), 2 * 3 / std::sqrt(12.5));
  EXPECT_DOUBLE_EQ(y(0, 1), 4 / std::sqrt(12.5));
}

TEST(Network, SwiGluIsSiluTimesUp) {
  Matrix gate(1, 2);
  Matrix up(1, 2);
  gate << 0, 1;
  up << 5, 3;
  const Matrix y = swiglu(gate, up);
  EXPECT_EQ(y(0, 0), 0);
  EXPECT_DOUBLE_EQ(y(0, 1), 3 / (1 + std::exp(-1.0)));
}

TEST(Network, AttentionIsCausalAndAveragesEqualKeys) {
  const AttentionShape shape{1, 1, 2, 0, 2};
  Matrix q = Matrix::Ones(4, 2);
  const Matrix k = Matrix::Zero(4, 2);
  Matrix v(4, 2);
  v << 1, 2, 3, 4, 10, 20, 30, 40;
  const Matrix y = attention(q, k, v, shape);
  EXPECT_DOUBLE_EQ(y(0, 0), 1);   // the first token sees itself only
  EXPECT_DOUBLE_EQ(y(1, 0), 2);   // equal scores: the mean of 1 and 3
  EXPECT_DOUBLE_EQ(y(2, 1), 20);  // a new sequence starts
  EXPECT_DOUBLE_EQ(y(3, 1), 30);
}

TEST(Network, RotaryScoresDependOnTheDistanceOnly) {
  // Equal q and k at every position: the score of token t with token 0 is cos(t) + cos(0.1 t) for
  // head_dim 4 and theta 100, so the softmax weights follow from it.
  const AttentionShape shape{1, 1, 4, 100, 3};
  Matrix q = Matrix::Zero(3, 4);
  for (int t = 0; t < 3; ++t) q(t, 0) = q(t, 1) = 1;
  Matrix v = Matrix::Zero(3, 4);
  v(0, 0) = 1;
  const Matrix y = attention(q, q, v, shape);
  const auto score = [](double t) { return (std::cos(t) + std::cos(0.1 * t)) / 2; };
  const double sum = std::exp(score(2)) + std::exp(score(1)) + std::exp(score(0));
  EXPECT_NEAR(y(2, 0), std::exp(score(2)) / sum, 1e-14);
}

TEST(Network, AttentionRefusesShapesThatDoNotFit) {
  const Matrix m = Matrix::Zero(3, 4);
  EXPECT_THROW((void)attention(m, m, m, {1, 1, 4, 0, 2}), std::invalid_argument);
  EXPECT_THROW((void)attention(m, m, m, {3, 2, 2, 0, 3}), std::invalid_argument);
}

TEST(Network, SelectionSpaceAddsTheBiasToTheScore) {
  Matrix logits(1, 2);
  logits << 0, 1;
  EXPECT_EQ(selection_space(logits, ScoreFunction::sigmoid, {}), logits);
  const std::vector<double> bias{0.5, 0};
  EXPECT_DOUBLE_EQ(selection_space(logits, ScoreFunction::sigmoid, bias)(0, 0), 1);
  EXPECT_DOUBLE_EQ(selection_space(logits, ScoreFunction::softmax, bias)(0, 0),
                   0.5 + 1 / (1 + std::exp(1.0)));
  EXPECT_DOUBLE_EQ(selection_space(logits, ScoreFunction::sqrt_softplus, bias)(0, 0),
                   0.5 + std::sqrt(std::log(2.0)));
}

TEST(Network, TopKBreaksTiesByIndex) {
  const std::vector<double> row{1, 3, 3, 2};
  EXPECT_EQ(top_k(row, 3), (std::vector<int>{1, 2, 3}));
}

}  // namespace
}  // namespace assay::simulator
