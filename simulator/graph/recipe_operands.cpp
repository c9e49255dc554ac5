// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/recipe_operands.h"

#include "simulator/fake_quantize.h"
#include "simulator/linear_replay.h"

namespace assay::simulator {

Treatment node_treatment(const GraphNode& node, const Recipe& recipe,
                         const ReplayOptions& options) {
  return recipe.treatment(node.tensor_class, node.expert, options.step, {node.layer, node.layers});
}

Matrix quantized_operand(const Matrix& x, const OperandFormat& format, std::uint64_t seed) {
  std::vector<float> narrow(static_cast<std::size_t>(x.size()));
  for (std::size_t i = 0; i < narrow.size(); ++i) narrow[i] = static_cast<float>(x.data()[i]);
  return fake_quantize(narrow, x.rows(), x.cols(), format, seed).values;
}

RecipeOperands::RecipeOperands(const Graph& graph, const Recipe& recipe,
                               const ReplayOptions& options, const OperandFilter& filter,
                               Products products)
    : seed_(options.seed),
      products_(products),
      high_precision_(recipe.high_precision),
      choices_(graph.nodes.size()),
      weights_(graph.nodes.size()),
      units_(products == Products::recipe ? graph.nodes.size() : 0) {
  const auto wanted = [&](std::size_t i, Role role) { return !filter || filter(i, role); };
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& node = graph.nodes[i];
    if (node.kind != OpKind::linear) continue;
    Choice& choice = choices_[i];
    choice.treatment = node_treatment(node, recipe, options);
    choice.weight = quantizes(choice.treatment.weight, recipe) && wanted(i, Role::weight);
    choice.activation = quantizes(choice.treatment.activation, recipe) && wanted(i, Role::input);
    if (choice.weight) {
      weights_[i] = quantized_operand(node.weight, choice.treatment.weight,
                                      tensor_seed(seed_, node.weight_name));
    }
    if (products == Products::recipe) {
      units_[i] =
          unit_operand(node.weight, choice.weight ? choice.treatment.weight : high_precision_,
                       tensor_seed(seed_, node.weight_name));
    }
  }
}

const Matrix& RecipeOperands::weight(const Graph& graph, std::size_t node) const {
  return choices_[node].weight ? weights_[node] : graph.nodes[node].weight;
}

bool RecipeOperands::touches(std::size_t node, Role role) const {
  return role == Role::weight ? choices_[node].weight : choices_[node].activation;
}

void RecipeOperands::multiply(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                              Matrix& x, Matrix& out) const {
  if (products_ == Products::exact) {
    Operands::multiply(graph, node, rows, x, out);
    return;
  }
  const Choice& choice = choices_[node];
  const std::string& id = graph.nodes[graph.nodes[node].inputs[0]].id;
  const UnitOperand operand = unit_operand(
      x, choice.activation ? choice.treatment.activation : high_precision_, tensor_seed(seed_, id));
  out = unit_product(operand, units_[node], choice.treatment.accumulator);
  round_to_format(out, high_precision_);
}

void RecipeOperands::activation(const Graph& graph, std::size_t node,
                                const std::vector<int>* /*rows*/, Matrix& x) const {
  if (!choices_[node].activation) return;
  const GraphNode& n = graph.nodes[node];
  const OperandFormat& format = choices_[node].treatment.activation;
  if (last_input_ == n.inputs[0] && last_expert_ == n.expert &&
      last_format_ == format.format_name() && last_in_.rows() == x.rows() && last_in_ == x) {
    x = last_out_;
    return;
  }
  last_in_ = x;
  x = quantized_operand(x, format, tensor_seed(seed_, graph.nodes[n.inputs[0]].id));
  last_input_ = n.inputs[0];
  last_expert_ = n.expert;
  last_format_ = format.format_name();
  last_out_ = x;
}

}  // namespace assay::simulator
