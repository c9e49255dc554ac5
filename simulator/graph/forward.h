// SPDX-License-Identifier: Apache-2.0
#pragma once
// One forward execution of a graph in double. What the matrix products see of their operands is the
// caller's: nothing changed, quantized by a recipe, or with noise added.

#include <vector>

#include "simulator/graph/graph.h"

namespace assay::simulator {

/// The operands of linears as the matrix products see them. The default changes nothing.
class Operands {
 public:
  Operands() = default;
  Operands(const Operands&) = default;
  Operands& operator=(const Operands&) = default;
  virtual ~Operands() = default;
  /// The weight of linear `node`.
  [[nodiscard]] virtual const Matrix& weight(const Graph& graph, std::size_t node) const {
    return graph.nodes[node].weight;
  }
  /// The activation of linear `node`, in place; `rows`: the tokens that its rows are (null: all).
  virtual void activation(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                          Matrix& x) const;
  /// `out` = the product of linear `node` with its input x, which is spent. The default multiplies
  /// the two operands above in double.
  virtual void multiply(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                        Matrix& x, Matrix& out) const;
};

struct Forward {
  std::vector<Matrix> values;    ///< by op; empty for top_k and loss
  std::vector<Routing> routing;  ///< by op; of top_k
  std::vector<double> token_loss;
  double loss = 0;  ///< mean over tokens
};

struct ForwardOptions {
  /// Tokens keep the experts of this execution (their factors still follow the logits); null: every
  /// router chooses.
  const Forward* held = nullptr;
  /// Overrides the choice of one router: node, and the choice of each token.
  std::size_t swapped = kNone;
  const std::vector<std::vector<int>>* swap = nullptr;
  /// Ops before `first` have the values of `base`, which then must be given.
  std::size_t first = 0;
  const Forward* base = nullptr;
};

[[nodiscard]] Forward run_forward(const Graph& graph, const Operands& operands,
                                  const ForwardOptions& options = {});

/// The value of op `i`: its own, or that of the base it was started from.
[[nodiscard]] const Matrix& value_of(const Forward& run, const ForwardOptions& options,
                                     std::size_t i);

/// Rows `rows` of x, in double or FP32.
template <class M>
[[nodiscard]] M gather(const M& x, const std::vector<int>& rows) {
  M y(static_cast<std::int64_t>(rows.size()), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    y.row(static_cast<std::int64_t>(i)) = x.row(rows[i]);
  }
  return y;
}

/// The input of linear `node` in `run`, gathered where it gathers.
[[nodiscard]] Matrix linear_input(const Graph& graph, const Forward& run, std::size_t node);
/// The tokens of the rows of `node`'s value; null: all, in order.
[[nodiscard]] const std::vector<int>* rows_of(const Graph& graph, const Forward& run,
                                              std::size_t node);

}  // namespace assay::simulator
