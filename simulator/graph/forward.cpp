// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/forward.h"

#include <numeric>

namespace assay::simulator {
namespace {

class Runner {
 public:
  Runner(const Graph& graph, const Operands& operands, const ForwardOptions& options)
      : graph_(graph), operands_(operands), options_(options) {
    run_.values.resize(graph.nodes.size());
    run_.routing.resize(graph.nodes.size());
  }

  Forward run() {
    for (std::size_t i = options_.first; i < graph_.nodes.size(); ++i) evaluate(i);
    run_.loss = std::accumulate(run_.token_loss.begin(), run_.token_loss.end(), 0.0) /
                static_cast<double>(graph_.token_count());
    return std::move(run_);
  }

 private:
  const Matrix& input(std::size_t i, std::size_t j) const {
    return value_of(run_, options_, graph_.nodes[i].inputs[j]);
  }
  const Routing& routing(std::size_t top_k) const {
    return top_k >= options_.first ? run_.routing[top_k] : options_.base->routing[top_k];
  }
  const std::vector<int>* rows(std::size_t i) const {
    const GraphNode& node = graph_.nodes[i];
    if (node.routing == kNone) return nullptr;
    return &routing(node.routing).rows[static_cast<std::size_t>(node.expert)];
  }

  void evaluate(std::size_t i) {
    const GraphNode& node = graph_.nodes[i];
    Matrix& out = run_.values[i];
    switch (node.kind) {
      case OpKind::embedding:
        out.resize(static_cast<std::int64_t>(graph_.token_count()), node.width);
        for (std::size_t t = 0; t < graph_.token_count(); ++t) {
          out.row(static_cast<std::int64_t>(t)) = node.weight.row(graph_.tokens[t]);
        }
        return;
      case OpKind::rmsnorm:
        out = rms_norm(input(i, 0), node.norm, node.eps);
        return;
      case OpKind::linear: {
        Matrix x = node.source != kNone ? gather(input(i, 0), *rows(i)) : input(i, 0);
        if (x.rows() > 0) {
          operands_.multiply(graph_, i, rows(i), x, out);
        } else {
          out.resize(0, node.width);
        }
        return;
      }
      case OpKind::attention:
        out = attention(input(i, 0), input(i, 1), input(i, 2), node.attention);
        return;
      case OpKind::top_k: {
        const auto* held = i == options_.swapped      ? options_.swap
                           : options_.held != nullptr ? &options_.held->routing[i].choice
                                                      : nullptr;
        run_.routing[i] = route(input(i, 0), node.gate, held);
        return;
      }
      case OpKind::swiglu:
        out = swiglu(input(i, 0), input(i, 1), node.clamp);
        return;
      case OpKind::combine:
        combine(node, out);
        return;
      case OpKind::add:
        out = input(i, 0);
        for (std::size_t j = 1; j < node.inputs.size(); ++j) out += input(i, j);
        return;
      case OpKind::loss:
        run_.token_loss = cross_entropy(input(i, 0), graph_.targets);
        return;
    }
  }

  void combine(const GraphNode& node, Matrix& out) const {
    out = Matrix::Zero(static_cast<std::int64_t>(graph_.token_count()), node.width);
    for (const std::size_t j : node.inputs) {
      const GraphNode& expert = graph_.nodes[j];
      const Matrix& y = value_of(run_, options_, j);
      if (expert.routing == kNone) {  // a shared expert: every token, factor 1
        out += y;
        continue;
      }
      const auto e = static_cast<std::size_t>(expert.expert);
      const Routing& r = routing(expert.routing);
      for (std::size_t n = 0; n < r.rows[e].size(); ++n) {
        out.row(r.rows[e][n]) += r.row_gate[e][n] * y.row(static_cast<std::int64_t>(n));
      }
    }
  }

  const Graph& graph_;
  const Operands& operands_;
  const ForwardOptions& options_;
  Forward run_;
};

}  // namespace

void Operands::activation(const Graph& /*graph*/, std::size_t /*node*/,
                          const std::vector<int>* /*rows*/, Matrix& /*x*/) const {}

void Operands::multiply(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                        Matrix& x, Matrix& out) const {
  activation(graph, node, rows, x);
  out.noalias() = x * weight(graph, node).transpose();
}

Forward run_forward(const Graph& graph, const Operands& operands, const ForwardOptions& options) {
  return Runner(graph, operands, options).run();
}

const Matrix& value_of(const Forward& run, const ForwardOptions& options, std::size_t i) {
  return i >= options.first ? run.values[i] : options.base->values[i];
}

Matrix linear_input(const Graph& graph, const Forward& run, std::size_t node) {
  const GraphNode& n = graph.nodes[node];
  const Matrix& x = run.values[n.inputs[0]];
  return n.source != kNone ? gather(x, *rows_of(graph, run, node)) : x;
}

const std::vector<int>* rows_of(const Graph& graph, const Forward& run, std::size_t node) {
  const GraphNode& n = graph.nodes[node];
  if (n.routing == kNone) return nullptr;
  return &run.routing[n.routing].rows[static_cast<std::size_t>(n.expert)];
}

}  // namespace assay::simulator
