// SPDX-License-Identifier: Apache-2.0
#pragma once
// The exact gradient of a forward execution: reverse through every op, the choice of experts held.

#include <map>
#include <vector>

#include "simulator/graph/forward.h"

namespace assay::simulator {

struct Backward {
  std::vector<Matrix> values;   ///< d loss / d value, by op; empty where nothing arrives
  std::vector<Matrix> weights;  ///< d loss / d weight, by op; of linears
};

/// What the backward products of a linear see; the default changes nothing.
class GradientOperands {
 public:
  GradientOperands() = default;
  GradientOperands(const GradientOperands&) = default;
  GradientOperands& operator=(const GradientOperands&) = default;
  virtual ~GradientOperands() = default;
  /// d loss / d output of linear `node`, in place.
  virtual void output_gradient(const Graph& graph, std::size_t node, Matrix& dy) const;
};

/// Of the mean loss of a clean execution.
[[nodiscard]] Backward loss_gradients(const Graph& graph, const Forward& clean);

/// `seeds`: d loss / d value of some ops (the logits of the loss, or a router's). The operands are
/// those of the forward execution: the gradient is that of the operations it carried out, with an
/// identity straight-through estimator at each operand.
[[nodiscard]] Backward run_backward(const Graph& graph, const Operands& operands,
                                    const Forward& forward,
                                    const std::map<std::size_t, Matrix>& seeds,
                                    const GradientOperands& gradients = {});

}  // namespace assay::simulator
