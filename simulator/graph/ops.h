// SPDX-License-Identifier: Apache-2.0
#pragma once
// The operations of a mixture-of-experts transformer in double, each with its exact derivative:
// what a recorded graph computes. Matrices are rows x width; a row is a token. `dy` is d loss / d
// output. Where a function is bent (the clamp of SwiGLU) the derivative is the one of the side that
// the value lies on; the choice of experts is held, as every training code does.

#include <cstdint>
#include <span>
#include <vector>

#include "simulator/network.h"

namespace assay::simulator {

using MatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// How a router turns logits into chosen experts and their factors.
struct Gate {
  int k = 1;
  ScoreFunction score = ScoreFunction::softmax;
  bool renormalize = true;   ///< the factors of a token sum to `scale`
  double scale = 1.0;        ///< of all factors
  std::vector<double> bias;  ///< empty, or one per expert: added to the score for the choice only
};

/// What a router decided. Expert e is given the tokens rows[e] with the factors row_gate[e].
struct Routing {
  std::vector<std::vector<int>> choice;  ///< per token, best first
  std::vector<std::vector<double>> gate;
  std::vector<std::vector<int>> rows;
  std::vector<std::vector<double>> row_gate;
};

/// Scores of all experts: softmax over the row, or sigmoid or sqrt(softplus) of each logit.
[[nodiscard]] Matrix router_scores(const Matrix& logits, ScoreFunction score);
/// `held`: the choice of every token, or null for the best k by score + bias.
[[nodiscard]] Routing route(const Matrix& logits, const Gate& gate,
                            const std::vector<std::vector<int>>* held);

/// Mean over rows of -log softmax(logits)[target]; also row by row.
[[nodiscard]] std::vector<double> cross_entropy(const Matrix& logits,
                                                std::span<const std::int64_t> targets);
/// log softmax, row by row.
[[nodiscard]] Matrix log_softmax(const Matrix& logits);

// Derivatives. Each returns d loss / d input.
[[nodiscard]] Matrix rms_norm_backward(const Matrix& x, std::span<const double> weight, double eps,
                                       const Matrix& dy);
void swiglu_backward(const Matrix& gate, const Matrix& up, const SwigluClamp& clamp,
                     const Matrix& dy, Matrix& dgate, Matrix& dup);
void attention_backward(Matrix q, Matrix k, const Matrix& v, const AttentionShape& shape,
                        const Matrix& dy, Matrix& dq, Matrix& dk, Matrix& dv);
/// `dgate`: d loss / d factor, per token and slot of routing.choice.
[[nodiscard]] Matrix route_backward(const Matrix& logits, const Gate& gate, const Routing& routing,
                                    const std::vector<std::vector<double>>& dgate);
/// Of the mean over rows.
[[nodiscard]] Matrix cross_entropy_backward(const Matrix& logits,
                                            std::span<const std::int64_t> targets);

}  // namespace assay::simulator
