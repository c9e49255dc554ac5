// SPDX-License-Identifier: Apache-2.0
#pragma once
// The error of a linear's output on its clean operands alone: D = x dW^T + e W^T, over all tokens,
// e the known error of the input or 0. Squares over tokens need no product with the tokens where
// there are more of them than columns: with G = x^T x, C = x^T e, S = e^T e and y = x W^T,
//   |D|^2   = <dW G, dW> + 2 <dW C, W> + <W S, W>
//   <D, y>  = <dW G, W> + <W C, W>
// which is exact, in double.

#include <map>
#include <utility>

#include "simulator/graph/operand_errors.h"

namespace assay::simulator {

struct OwnError {
  double power = 0.0;  ///< |D|^2
  double along = 0.0;  ///< <D, y>
};

class OwnErrors {
 public:
  OwnErrors(const Graph& graph, const Forward& clean);
  /// Of linear `node`; null: no error of that operand.
  [[nodiscard]] OwnError of(std::size_t node, const OperandError* weight,
                            const OperandError* input) const;

 private:
  const Graph& graph_;
  const Forward& clean_;
  std::map<std::pair<std::size_t, int>, Matrix> squares_;  ///< G by value and expert
};

}  // namespace assay::simulator
