// SPDX-License-Identifier: Apache-2.0
#pragma once
// The operands of a graph's linears under a recipe: weights quantized once, activations when they
// are met. A value that several linears read in one format (q, k and v; gate and up) is quantized
// once.

#include <functional>
#include <string>
#include <vector>

#include "simulator/graph/accumulate.h"
#include "simulator/graph/forward.h"
#include "simulator/replay.h"

namespace assay::simulator {

/// True for the operands that are to be quantized: node and role (weight or input).
using OperandFilter = std::function<bool(std::size_t, Role)>;

/// How a linear multiplies what the recipe's quantizers give it.
enum class Products : std::uint8_t {
  exact,   ///< in double; an operand in high precision as it is, outputs as they are
  recipe,  ///< accumulate.h, on every linear; outputs rounded to the recipe's high precision
};

/// What the recipe says of linear `node` at the options' step.
[[nodiscard]] Treatment node_treatment(const GraphNode& node, const Recipe& recipe,
                                       const ReplayOptions& options);

/// x as the recipe's quantizer leaves it: rounded to FP32 first, as a kernel's epilogue would.
[[nodiscard]] Matrix quantized_operand(const Matrix& x, const OperandFormat& format,
                                       std::uint64_t seed);

/// One object per thread: the last quantized activation is kept.
class RecipeOperands : public Operands {
 public:
  RecipeOperands(const Graph& graph, const Recipe& recipe, const ReplayOptions& options,
                 const OperandFilter& filter = {}, Products products = Products::exact);
  [[nodiscard]] const Matrix& weight(const Graph& graph, std::size_t node) const override;
  void activation(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                  Matrix& x) const override;
  void multiply(const Graph& graph, std::size_t node, const std::vector<int>* rows, Matrix& x,
                Matrix& out) const override;
  [[nodiscard]] bool touches(std::size_t node, Role role) const;
  [[nodiscard]] Products products() const { return products_; }

 private:
  struct Choice {
    Treatment treatment;
    bool weight = false, activation = false;
  };
  std::uint64_t seed_;
  Products products_;
  OperandFormat high_precision_;
  std::vector<Choice> choices_;     ///< by op
  std::vector<Matrix> weights_;     ///< by op; empty: not quantized
  std::vector<UnitOperand> units_;  ///< by op, weights; of Products::recipe
  mutable std::size_t last_input_ = kNone;
  mutable int last_expert_ = -1;
  mutable std::string_view last_format_;
  mutable Matrix last_in_, last_out_;
};

}  // namespace assay::simulator
