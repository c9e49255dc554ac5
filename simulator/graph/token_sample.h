// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sample of a recording's tokens: whole sequences, since attention joins the tokens of one. What
// is the same for every recipe is known for all tokens; what a recipe costs, its derivative and its
// draws of final logits, is taken on the sample, so that it does not grow with the recording.

#include <cstddef>
#include <vector>

#include "simulator/graph/forward.h"

namespace assay::simulator {

struct TokenSample {
  std::vector<int> rows;   ///< the tokens in it, ascending
  std::vector<int> place;  ///< [token of the graph]: its place in rows, or -1
};

/// At one router, who in the sample stands in for a token outside it: one of the eight with the
/// nearest margin, at random, its expert of rank i for that of rank i. What decides about a flip,
/// the errors of the experts next to the margin and how they go with it, is then as in the sample.
struct StandIns {
  std::vector<int> place;  ///< [token of the graph]: its own place in the sample, or the stand-in's
  std::vector<int> order;  ///< [token of the graph x expert]: experts, best first
  std::int64_t experts = 0;

  /// A matrix of the sample (tokens x experts) for all tokens of the graph.
  [[nodiscard]] MatrixF spread(const TokenSample& sample, const MatrixF& x) const;
};

/// `space`: where all tokens' experts are when k are chosen.
[[nodiscard]] StandIns stand_ins(const Matrix& space, int k, const TokenSample& sample);

/// Sequences at even distances with at most `tokens` tokens together, but at least one.
[[nodiscard]] TokenSample sample_tokens(const Graph& graph, std::size_t tokens);

/// The rows of an execution that belong to the sample, numbered as in it.
[[nodiscard]] Forward restricted(const Graph& graph, const Forward& run, const TokenSample& sample);

}  // namespace assay::simulator
