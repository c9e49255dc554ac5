// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a format does to operands that are known before anything is executed under it: the weights,
// and values that depend on no linear (the norm of an embedding). The rounding error Q(x) - x of
// such an operand is one fixed matrix, a statistic of the operand and the format, kept and shared
// by all recipes that have that format. Held in FP32: as much memory as the operands, once for
// every format met.

#include <map>
#include <string>
#include <utility>

#include "simulator/graph/block_statistics.h"
#include "simulator/graph/forward.h"

namespace assay::simulator {

struct OperandError {
  MatrixF error;             ///< Q(x) - x, as x lies
  PredictedOperand figures;  ///< exact: its gain, NSR and the noise by column, no uncertainty
  Matrix with, square;       ///< of an input: x^T e and e^T e
};

/// Equal for formats that round alike.
[[nodiscard]] std::string rounding_key(const OperandFormat& format, std::uint64_t seed);

class OperandErrors {
 public:
  OperandErrors(const Graph& graph, const Forward& clean);
  /// True where the rounding error is known: every weight, and inputs that depend on no linear.
  [[nodiscard]] bool known(std::size_t node, Role role) const {
    return role == Role::weight ||
           (graph_.nodes[node].source == kNone && untouched_[graph_.nodes[node].inputs[0]]);
  }
  /// Of the weight or the input of linear `node`, which must be known, in `format`, as `seed`
  /// rounds it where rounding is stochastic. References stay valid.
  const OperandError& of(std::size_t node, Role role, const OperandFormat& format,
                         std::uint64_t seed);

 private:
  const Graph& graph_;
  const Forward& clean_;
  std::vector<bool> untouched_;  ///< by op: no linear before it
  std::map<std::pair<std::size_t, std::string>, OperandError> errors_;
};

}  // namespace assay::simulator
