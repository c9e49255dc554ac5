// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operands with noise or with another gain on one group (responses.h). Private to the responses.

#include <map>

#include "simulator/graph/responses.h"

namespace assay::simulator {

/// Noise of NSR 1 on every operand of a group.
class GroupNoise {
 public:
  GroupNoise(const Graph& graph, const Forward& clean, const OperandGroup& group,
             std::uint64_t seed);
  /// Null: `node` is not in the group.
  [[nodiscard]] const Matrix* weight(std::size_t node) const;
  [[nodiscard]] const Matrix* activation(std::size_t value) const;
  [[nodiscard]] const OperandGroup& group() const { return group_; }

 private:
  const OperandGroup& group_;
  std::map<std::size_t, Matrix> weights_;      ///< by linear
  std::map<std::size_t, Matrix> activations_;  ///< by the value that linears read
};

/// Operands with `amplitude` times the noise.
class NoiseOperands : public Operands {
 public:
  NoiseOperands(const GroupNoise& noise, double amplitude) : noise_(noise), amplitude_(amplitude) {}
  [[nodiscard]] const Matrix& weight(const Graph& graph, std::size_t node) const override;
  void activation(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                  Matrix& x) const override;

 private:
  const GroupNoise& noise_;
  double amplitude_;
  mutable Matrix changed_;  ///< the weight last asked for
};

/// Operands of the group times `factor`.
class GainOperands : public Operands {
 public:
  GainOperands(const Graph& graph, const OperandGroup& group, double factor);
  [[nodiscard]] const Matrix& weight(const Graph& graph, std::size_t node) const override;
  void activation(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                  Matrix& x) const override;

 private:
  std::vector<bool> in_group_;  ///< by op
  Role role_;
  double factor_;
  mutable Matrix changed_;
};

}  // namespace assay::simulator
