// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/own_errors.h"

namespace assay::simulator {
namespace {

double product(const Matrix& a, const Matrix& b) { return a.cwiseProduct(b).sum(); }

}  // namespace

OwnErrors::OwnErrors(const Graph& graph, const Forward& clean) : graph_(graph), clean_(clean) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& n = graph.nodes[i];
    if (n.kind != OpKind::linear || clean.values[i].rows() < n.weight.cols()) continue;
    Matrix& g = squares_[{n.inputs[0], n.expert}];
    if (g.size() > 0) continue;
    const Matrix x = linear_input(graph, clean, i);
    g.noalias() = x.transpose() * x;
  }
}

OwnError OwnErrors::of(std::size_t node, const OperandError* weight,
                       const OperandError* input) const {
  OwnError out;
  const GraphNode& n = graph_.nodes[node];
  const Matrix& w = n.weight;
  const Matrix dw = weight != nullptr ? weight->error.cast<double>().eval() : Matrix();
  if (weight != nullptr) {
    const auto g = squares_.find({n.inputs[0], n.expert});
    if (g != squares_.end()) {
      const Matrix a = dw * g->second;
      out = {product(a, dw), product(a, w)};
    } else {
      const Matrix d = linear_input(graph_, clean_, node) * dw.transpose();
      out = {d.squaredNorm(), product(d, clean_.values[node])};
    }
  }
  if (input != nullptr) {
    const Matrix c = w * input->with;
    out.power += product(w * input->square, w);
    out.along += product(c, w);
    if (weight != nullptr) out.power += 2 * product(dw * input->with, w);
  }
  return out;
}

}  // namespace assay::simulator
