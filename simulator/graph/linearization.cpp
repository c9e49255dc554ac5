// SPDX-License-Identifier: Apache-2.0
// What the derivatives of a clean execution need of it, once for all of them.
#include <cmath>

#include "simulator/graph/tangent.h"

namespace assay::simulator {

Linearization::Linearization(const Graph& graph, const Forward& clean)
    : graph_(graph), routing_(clean.routing), points_(graph.nodes.size()) {
  for (const Matrix& v : clean.values) values_.push_back(v.cast<float>());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& node = graph.nodes[i];
    Point& p = points_[i];
    if (node.kind == OpKind::linear) linear(i, clean);
    if (node.kind == OpKind::attention) attention(i, clean);
    if (node.kind == OpKind::top_k) top_k(i, clean);
    if (node.kind == OpKind::rmsnorm) {
      p.norm.assign(node.norm.begin(), node.norm.end());
      const Matrix& x = clean.values[node.inputs[0]];
      for (std::int64_t r = 0; r < x.rows(); ++r) {
        p.inverse.push_back(static_cast<float>(
            1 / std::sqrt(x.row(r).squaredNorm() / static_cast<double>(x.cols()) + node.eps)));
      }
    }
    if (node.kind == OpKind::swiglu) {
      const Matrix& gate = clean.values[node.inputs[0]];
      Matrix d_gate;
      Matrix d_up;
      swiglu_backward(gate, clean.values[node.inputs[1]], node.clamp,
                      Matrix::Ones(gate.rows(), gate.cols()), d_gate, d_up);
      p.d_gate = d_gate.cast<float>();
      p.d_up = d_up.cast<float>();
    }
  }
}

void Linearization::linear(std::size_t i, const Forward& clean) {
  const GraphNode& node = graph_.nodes[i];
  Point& p = points_[i];
  p.weight = node.weight.transpose().cast<float>();
  if (node.source == kNone) return;
  for (std::size_t j = 0; j < i; ++j) {  // gate and up of an expert read the same rows
    const GraphNode& other = graph_.nodes[j];
    if (points_[j].input != kNone && other.inputs[0] == node.inputs[0] &&
        other.routing == node.routing && other.expert == node.expert) {
      p.input = points_[j].input;
      return;
    }
  }
  p.input = inputs_.size();
  inputs_.push_back(linear_input(graph_, clean, i).cast<float>());
}

void Linearization::attention(std::size_t i, const Forward& clean) {
  const GraphNode& node = graph_.nodes[i];
  const AttentionShape& shape = node.attention;
  Point& p = points_[i];
  const std::int64_t n = shape.length;
  const std::int64_t d = shape.head_dim;
  Matrix turn = Matrix::Zero(n, d);  // (1, 0) turned: the cosine and the sine of every position
  turn.leftCols(d / 2).setOnes();
  rotate_positions(turn, 1, shape, 1);
  p.cosine = turn.leftCols(d / 2).cast<float>();
  p.sine = turn.rightCols(d - d / 2).cast<float>();
  Matrix q = clean.values[node.inputs[0]];
  Matrix k = clean.values[node.inputs[1]];
  rotate_positions(q, shape.heads, shape, 1);
  rotate_positions(k, shape.kv_heads, shape, 1);
  const double factor = 1 / std::sqrt(static_cast<double>(d));
  for (std::int64_t h = 0; h < shape.heads; ++h) {
    const std::int64_t g = h / (shape.heads / shape.kv_heads);
    MatrixF& all = p.probability.emplace_back(MatrixF::Zero(q.rows(), n));
    for (std::int64_t first = 0; first < q.rows(); first += n) {
      const Matrix scores =
          q.block(first, h * d, n, d) * k.block(first, g * d, n, d).transpose() * factor;
      for (std::int64_t t = 0; t < n; ++t) {
        const auto row = scores.row(t).head(t + 1).array();
        const Eigen::Array<double, 1, Eigen::Dynamic> e = (row - row.maxCoeff()).exp();
        all.row(first + t).head(t + 1) = (e / e.sum()).cast<float>().matrix();
      }
    }
  }
  p.q = q.cast<float>();
  p.keys = k.transpose().cast<float>();
}

void Linearization::top_k(std::size_t i, const Forward& clean) {
  const GraphNode& node = graph_.nodes[i];
  const Matrix& logits = clean.values[node.inputs[0]];
  const Matrix score = router_scores(logits, node.gate.score);
  Matrix slope = score;
  if (node.gate.score == ScoreFunction::sigmoid) {
    slope = (score.array() * (1 - score.array())).matrix();
  } else if (node.gate.score == ScoreFunction::sqrt_softplus) {
    // d sqrt(softplus(z)) = sigmoid(z) / (2 score)
    slope = logits.binaryExpr(score,
                              [](double z, double s) { return 1 / (1 + std::exp(-z)) / (2 * s); });
  }
  points_[i].score = score.cast<float>();
  points_[i].slope = slope.cast<float>();
}

}  // namespace assay::simulator
