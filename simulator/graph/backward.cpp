// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/backward.h"

namespace assay::simulator {
namespace {

class Reverse {
 public:
  Reverse(const Graph& graph, const Operands& operands, const Forward& forward,
          const GradientOperands& gradients)
      : graph_(graph), operands_(operands), forward_(forward), gradients_(gradients) {
    out_.values.resize(graph.nodes.size());
    out_.weights.resize(graph.nodes.size());
  }

  Backward run(const std::map<std::size_t, Matrix>& seeds) {
    for (const auto& [node, seed] : seeds) add(node, seed);
    for (std::size_t i = graph_.nodes.size(); i-- > 0;) {
      if (graph_.nodes[i].kind == OpKind::top_k) {
        reverse_top_k(i);
      } else if (out_.values[i].size() > 0) {
        reverse(i);
      }
    }
    return std::move(out_);
  }

 private:
  void add(std::size_t i, const Matrix& d) {
    if (out_.values[i].size() == 0) {
      out_.values[i] = d;
    } else {
      out_.values[i] += d;
    }
  }
  const Matrix& value(std::size_t i, std::size_t j) const {
    return forward_.values[graph_.nodes[i].inputs[j]];
  }

  void reverse(std::size_t i) {
    const GraphNode& node = graph_.nodes[i];
    const Matrix& dy = out_.values[i];
    switch (node.kind) {
      case OpKind::rmsnorm:
        add(node.inputs[0], rms_norm_backward(value(i, 0), node.norm, node.eps, dy));
        return;
      case OpKind::linear:
        return reverse_linear(i);
      case OpKind::attention: {
        Matrix dq;
        Matrix dk;
        Matrix dv;
        attention_backward(value(i, 0), value(i, 1), value(i, 2), node.attention, dy, dq, dk, dv);
        add(node.inputs[0], dq);
        add(node.inputs[1], dk);
        add(node.inputs[2], dv);
        return;
      }
      case OpKind::swiglu: {
        Matrix dgate;
        Matrix dup;
        swiglu_backward(value(i, 0), value(i, 1), node.clamp, dy, dgate, dup);
        add(node.inputs[0], dgate);
        add(node.inputs[1], dup);
        return;
      }
      case OpKind::combine:
        return reverse_combine(i);
      case OpKind::add:
        for (const std::size_t j : node.inputs) add(j, dy);
        return;
      case OpKind::embedding:
      case OpKind::top_k:
      case OpKind::loss:
        return;
    }
  }

  void reverse_linear(std::size_t i) {
    const GraphNode& node = graph_.nodes[i];
    const auto* rows = rows_of(graph_, forward_, i);
    Matrix dy = out_.values[i];
    Matrix x = linear_input(graph_, forward_, i);
    if (x.rows() == 0) return;
    operands_.activation(graph_, i, rows, x);
    gradients_.output_gradient(graph_, i, dy);
    out_.weights[i].noalias() = dy.transpose() * x;
    const Matrix dx = dy * operands_.weight(graph_, i);
    if (node.source == kNone) {
      add(node.inputs[0], dx);
      return;
    }
    Matrix& target = out_.values[node.source];
    if (target.size() == 0) {
      const Matrix& source = forward_.values[node.source];
      target = Matrix::Zero(source.rows(), source.cols());
    }
    for (std::size_t n = 0; n < rows->size(); ++n) {
      target.row((*rows)[n]) += dx.row(static_cast<std::int64_t>(n));
    }
  }

  void reverse_combine(std::size_t i) {
    const Matrix& dy = out_.values[i];
    for (const std::size_t j : graph_.nodes[i].inputs) {
      const GraphNode& expert = graph_.nodes[j];
      if (expert.routing == kNone) {
        add(j, dy);
        continue;
      }
      const Routing& r = forward_.routing[expert.routing];
      auto& dgate = gate_gradient(expert.routing);
      const auto e = static_cast<std::size_t>(expert.expert);
      Matrix d(static_cast<std::int64_t>(r.rows[e].size()), dy.cols());
      for (std::size_t n = 0; n < r.rows[e].size(); ++n) {
        const auto row = static_cast<std::int64_t>(n);
        const auto t = static_cast<std::size_t>(r.rows[e][n]);
        d.row(row) = r.row_gate[e][n] * dy.row(r.rows[e][n]);
        for (std::size_t slot = 0; slot < r.choice[t].size(); ++slot) {
          if (r.choice[t][slot] == expert.expert) {
            dgate[t][slot] += dy.row(r.rows[e][n]).dot(forward_.values[j].row(row));
          }
        }
      }
      add(j, d);
    }
  }

  std::vector<std::vector<double>>& gate_gradient(std::size_t top_k) {
    auto& d = gates_[top_k];
    if (d.empty()) {
      for (const auto& g : forward_.routing[top_k].gate) d.emplace_back(g.size(), 0.0);
    }
    return d;
  }

  void reverse_top_k(std::size_t i) {
    const auto found = gates_.find(i);
    if (found == gates_.end()) return;
    add(graph_.nodes[i].inputs[0],
        route_backward(value(i, 0), graph_.nodes[i].gate, forward_.routing[i], found->second));
  }

  const Graph& graph_;
  const Operands& operands_;
  const Forward& forward_;
  const GradientOperands& gradients_;
  std::map<std::size_t, std::vector<std::vector<double>>> gates_;
  Backward out_;
};

}  // namespace

void GradientOperands::output_gradient(const Graph& /*graph*/, std::size_t /*node*/,
                                       Matrix& /*dy*/) const {}

Backward run_backward(const Graph& graph, const Operands& operands, const Forward& forward,
                      const std::map<std::size_t, Matrix>& seeds,
                      const GradientOperands& gradients) {
  return Reverse(graph, operands, forward, gradients).run(seeds);
}

Backward loss_gradients(const Graph& graph, const Forward& clean) {
  return run_backward(
      graph, {}, clean,
      {{graph.logits, cross_entropy_backward(clean.values[graph.logits], graph.targets)}});
}

}  // namespace assay::simulator
