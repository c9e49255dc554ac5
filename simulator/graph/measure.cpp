// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/measure.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "simulator/error_figures.h"
#include "simulator/graph/measure_training.h"
#include "simulator/graph/one_thread.h"
#include "simulator/graph/thread_clock.h"
#include "simulator/linear_replay.h"

namespace assay::simulator {
namespace {

ValueError labelled(ValueError error, const Graph& graph, std::size_t i, Role role) {
  const GraphNode& node = graph.nodes[i];
  error.op = node.id;
  error.tensor = role == Role::weight  ? node.weight_name
                 : role == Role::input ? graph.nodes[node.inputs[0]].id
                                       : node.id;
  error.role = role;
  error.kind = node.kind;
  error.tensor_class = node.tensor_class;
  error.layer = node.layer;
  error.expert = node.expert;
  return error;
}

/// Operands and outputs of every quantized linear, on the operands of the clean execution.
void measure_linears(const Graph& graph, const Forward& clean, const RecipeOperands& operands,
                     Measurement& out) {
  std::set<std::pair<std::size_t, int>> seen;  // an operand is reported once
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& node = graph.nodes[i];
    if (node.kind != OpKind::linear) continue;
    const bool weight = operands.touches(i, Role::weight);
    const bool activation = operands.touches(i, Role::input);
    if (weight) {
      out.operands.push_back(
          labelled(compare(node.weight, operands.weight(graph, i)), graph, i, Role::weight));
    }
    if (!weight && !activation) continue;
    const Matrix x = linear_input(graph, clean, i);
    if (x.rows() == 0) continue;
    Matrix x_hat = x;
    operands.activation(graph, i, nullptr, x_hat);
    if (activation && seen.insert({node.inputs[0], node.expert}).second) {
      out.operands.push_back(labelled(compare(x, x_hat), graph, i, Role::input));
    }
    Matrix y = x_hat * operands.weight(graph, i).transpose();
    if (operands.products() == Products::recipe) {
      const Matrix exact = y;
      Matrix spent = x;
      operands.multiply(graph, i, nullptr, spent, y);
      out.accumulators.push_back(labelled(compare(exact, y), graph, i, Role::output));
    }
    out.linears.push_back(labelled(compare(clean.values[i], y), graph, i, Role::output));
  }
}

/// d loss / d output of a linear as the recipe's backward products see it.
class RecipeGradients : public GradientOperands {
 public:
  RecipeGradients(const Recipe& recipe, const ReplayOptions& options, OperandFilter filter)
      : recipe_(recipe), options_(options), filter_(std::move(filter)) {}
  void output_gradient(const Graph& graph, std::size_t node, Matrix& dy) const override {
    const GraphNode& n = graph.nodes[node];
    const OperandFormat format = node_treatment(n, recipe_, options_).gradient;
    if (!quantizes(format, recipe_) || (filter_ && !filter_(node, Role::output_grad))) return;
    dy = quantized_operand(dy, format, tensor_seed(options_.seed, n.id + ".output_grad"));
  }

 private:
  const Recipe& recipe_;
  const ReplayOptions& options_;
  OperandFilter filter_;
};

/// Weight gradients of two executions, each with its own routing.
void measure_gradients(const Graph& graph, const Forward& clean, const Forward& changed,
                       const RecipeOperands& operands, const Recipe& recipe,
                       const ReplayOptions& options, const OperandFilter& filter,
                       const MeasureOptions& extra, Measurement& out) {
  const RecipeGradients gradients(recipe, options, filter);
  const std::optional<Backward> own =
      extra.clean_gradients != nullptr ? std::nullopt : std::optional(loss_gradients(graph, clean));
  const Backward& before = own ? *own : *extra.clean_gradients;
  const Matrix& logits = changed.values[graph.logits];
  const Backward after =
      run_backward(graph, operands, changed,
                   {{graph.logits, cross_entropy_backward(logits, graph.targets)}}, gradients);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Matrix& a = before.weights[i];
    const Matrix& b = after.weights[i];
    if (graph.nodes[i].kind != OpKind::linear || a.size() == 0 || a.size() != b.size()) continue;
    out.gradients.push_back(labelled(compare(a, b), graph, i, Role::output_grad));
  }
  out.training = training_range(graph, after, recipe, options, extra.learning_rate);
}

void measure_values(const Graph& graph, const Forward& clean, const Forward& changed,
                    Measurement& out) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& node = graph.nodes[i];
    if (clean.values[i].size() == 0) continue;
    if (node.routing == kNone) {
      out.values.push_back(
          labelled(compare(clean.values[i], changed.values[i]), graph, i, Role::output));
      continue;
    }
    std::vector<int> a;
    std::vector<int> b;
    for (const auto& [x, y] : common_rows(*rows_of(graph, clean, i), *rows_of(graph, changed, i))) {
      a.push_back(x);
      b.push_back(y);
    }
    if (a.empty()) continue;
    out.values.push_back(labelled(compare(gather(clean.values[i], a), gather(changed.values[i], b)),
                                  graph, i, Role::output));
  }
}

}  // namespace

ValueError compare(const Matrix& y, const Matrix& changed) {
  ValueError out;
  const auto size = static_cast<std::size_t>(y.size());
  out.error = error_figures({y.data(), size}, {changed.data(), size});
  const double largest = y.cwiseAbs().maxCoeff();
  if (largest > 0) out.worst = (changed - y).cwiseAbs().maxCoeff() / largest;
  const double norms = y.norm() * changed.norm();
  if (norms > 0) out.cosine = y.cwiseProduct(changed).sum() / norms;
  return out;
}

std::vector<std::pair<int, int>> common_rows(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<std::pair<int, int>> both;  // rows ascend
  std::size_t j = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    while (j < b.size() && b[j] < a[i]) ++j;
    if (j < b.size() && b[j] == a[i]) {
      both.emplace_back(static_cast<int>(i), static_cast<int>(j));
    }
  }
  return both;
}

Measurement measure(const Graph& graph, const Forward& clean, const Recipe& recipe,
                    const ReplayOptions& options, const OperandFilter& filter,
                    const MeasureOptions& extra) {
  const OneThread one;
  const ThreadClock clock;
  Measurement out;
  out.products = extra.products;
  const RecipeOperands operands(graph, recipe, options, filter, extra.products);
  const Forward changed = run_forward(graph, operands);
  measure_linears(graph, clean, operands, out);
  measure_values(graph, clean, changed, out);
  out.routers = measure_routers(graph, clean, changed);
  out.loss = measure_loss(graph, clean, changed);
  out.seconds = clock.seconds();
  measure_gradients(graph, clean, changed, operands, recipe, options, filter, extra, out);
  out.experts = expert_diversity(graph, changed, operands);
  out.use = utilisation(graph, changed);
  out.all_seconds = clock.seconds();
  return out;
}

}  // namespace assay::simulator
