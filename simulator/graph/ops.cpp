// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/ops.h"

#include <algorithm>
#include <cmath>

namespace assay::simulator {
namespace {

double sigmoid(double z) {
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}
double softplus(double z) { return std::max(z, 0.0) + std::log1p(std::exp(-std::fabs(z))); }

}  // namespace

void swiglu_backward(const Matrix& gate, const Matrix& up, const SwigluClamp& clamp,
                     const Matrix& dy, Matrix& dgate, Matrix& dup) {
  dgate.resize(gate.rows(), gate.cols());
  dup.resize(gate.rows(), gate.cols());
  for (std::int64_t i = 0; i < gate.size(); ++i) {
    const double g = std::min(gate.data()[i], clamp.gate_max);
    const double u = std::clamp(up.data()[i], -clamp.linear_max, clamp.linear_max);
    const double s = sigmoid(g);
    const bool gate_free = gate.data()[i] <= clamp.gate_max;
    const bool up_free = std::fabs(up.data()[i]) <= clamp.linear_max;
    // silu'(g) = s + g s (1 - s)
    dgate.data()[i] = gate_free ? dy.data()[i] * u * (s + g * s * (1 - s)) : 0;
    dup.data()[i] = up_free ? dy.data()[i] * g * s : 0;
  }
}

Matrix router_scores(const Matrix& logits, ScoreFunction score) {
  switch (score) {
    case ScoreFunction::softmax:
      return log_softmax(logits).array().exp().matrix();
    case ScoreFunction::sigmoid:
      return logits.unaryExpr([](double z) { return sigmoid(z); });
    case ScoreFunction::sqrt_softplus:
      return logits.unaryExpr([](double z) { return std::sqrt(softplus(z)); });
  }
  return logits;
}

Routing route(const Matrix& logits, const Gate& gate, const std::vector<std::vector<int>>* held) {
  const Matrix scores = router_scores(logits, gate.score);
  const Matrix space = selection_space(logits, gate.score, gate.bias);
  const auto tokens = static_cast<std::size_t>(logits.rows());
  const auto experts = static_cast<std::size_t>(logits.cols());
  Routing r;
  r.choice.resize(tokens);
  r.gate.resize(tokens);
  r.rows.resize(experts);
  r.row_gate.resize(experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto row = static_cast<std::int64_t>(t);
    r.choice[t] =
        held != nullptr ? (*held)[t] : top_k({space.data() + row * space.cols(), experts}, gate.k);
    double sum = 0;
    for (const int e : r.choice[t]) sum += scores(row, e);
    const double factor = gate.scale / (gate.renormalize ? sum : 1);
    for (const int e : r.choice[t]) {
      r.gate[t].push_back(scores(row, e) * factor);
      r.rows[static_cast<std::size_t>(e)].push_back(static_cast<int>(t));
      r.row_gate[static_cast<std::size_t>(e)].push_back(r.gate[t].back());
    }
  }
  return r;
}

Matrix route_backward(const Matrix& logits, const Gate& gate, const Routing& routing,
                      const std::vector<std::vector<double>>& dgate) {
  const Matrix scores = router_scores(logits, gate.score);
  Matrix dscore = Matrix::Zero(logits.rows(), logits.cols());
  for (std::int64_t t = 0; t < logits.rows(); ++t) {
    const auto& choice = routing.choice[static_cast<std::size_t>(t)];
    const auto& dg = dgate[static_cast<std::size_t>(t)];
    double sum = 0;
    double mixed = 0;
    for (std::size_t j = 0; j < choice.size(); ++j) {
      sum += scores(t, choice[j]);
      mixed += dg[j] * scores(t, choice[j]);
    }
    for (std::size_t j = 0; j < choice.size(); ++j) {
      // g_j = scale p_j / sum p, or scale p_j.
      dscore(t, choice[j]) =
          gate.scale * (gate.renormalize ? dg[j] / sum - mixed / (sum * sum) : dg[j]);
    }
  }
  Matrix ds(logits.rows(), logits.cols());
  for (std::int64_t t = 0; t < logits.rows(); ++t) {
    const double inner = dscore.row(t).dot(scores.row(t));
    for (std::int64_t e = 0; e < logits.cols(); ++e) {
      const double p = scores(t, e);
      switch (gate.score) {
        case ScoreFunction::softmax:
          ds(t, e) = p * (dscore(t, e) - inner);
          break;
        case ScoreFunction::sigmoid:
          ds(t, e) = dscore(t, e) * p * (1 - p);
          break;
        case ScoreFunction::sqrt_softplus:
          ds(t, e) = dscore(t, e) * sigmoid(logits(t, e)) / (2 * p);
          break;
      }
    }
  }
  return ds;
}

Matrix log_softmax(const Matrix& logits) {
  Matrix y(logits.rows(), logits.cols());
  for (std::int64_t r = 0; r < logits.rows(); ++r) {
    const double largest = logits.row(r).maxCoeff();
    const double log_sum = std::log((logits.row(r).array() - largest).exp().sum()) + largest;
    y.row(r) = (logits.row(r).array() - log_sum).matrix();
  }
  return y;
}

std::vector<double> cross_entropy(const Matrix& logits, std::span<const std::int64_t> targets) {
  const Matrix lp = log_softmax(logits);
  std::vector<double> loss;
  for (std::int64_t r = 0; r < lp.rows(); ++r) {
    loss.push_back(-lp(r, targets[static_cast<std::size_t>(r)]));
  }
  return loss;
}

Matrix cross_entropy_backward(const Matrix& logits, std::span<const std::int64_t> targets) {
  Matrix d = log_softmax(logits).array().exp().matrix();
  for (std::int64_t r = 0; r < d.rows(); ++r) d(r, targets[static_cast<std::size_t>(r)]) -= 1;
  return d / static_cast<double>(d.rows());
}

Matrix rms_norm_backward(const Matrix& x, std::span<const double> weight, double eps,
                         const Matrix& dy) {
  Matrix dx(x.rows(), x.cols());
  const auto width = static_cast<double>(x.cols());
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const double inverse = 1 / std::sqrt(x.row(r).squaredNorm() / width + eps);
    double inner = 0;
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      inner += dy(r, c) * weight[static_cast<std::size_t>(c)] * x(r, c);
    }
    // J = diag(g)/r (I - x x^T / (d r^2)), r^2 = mean(x^2) + eps
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      dx(r, c) = inverse * (dy(r, c) * weight[static_cast<std::size_t>(c)] -
                            x(r, c) * inner * inverse * inverse / width);
    }
  }
  return dx;
}

void attention_backward(Matrix q, Matrix k, const Matrix& v, const AttentionShape& shape,
                        const Matrix& dy, Matrix& dq, Matrix& dk, Matrix& dv) {
  const std::int64_t d = shape.head_dim;
  rotate_positions(q, shape.heads, shape, 1);
  rotate_positions(k, shape.kv_heads, shape, 1);
  const double factor = 1 / std::sqrt(static_cast<double>(d));
  dq = Matrix::Zero(q.rows(), q.cols());
  dk = Matrix::Zero(k.rows(), k.cols());
  dv = Matrix::Zero(v.rows(), v.cols());
  const std::int64_t n = shape.length;
  for (std::int64_t first = 0; first < q.rows(); first += n) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      const std::int64_t g = h / (shape.heads / shape.kv_heads);
      const auto qh = q.block(first, h * d, n, d);
      const auto kh = k.block(first, g * d, n, d);
      const auto vh = v.block(first, g * d, n, d);
      const auto dyh = dy.block(first, h * d, n, d);
      Matrix p = Matrix::Zero(n, n);
      const Matrix scores = qh * kh.transpose() * factor;
      for (std::int64_t t = 0; t < n; ++t) {
        const double largest = scores.row(t).head(t + 1).maxCoeff();
        p.row(t).head(t + 1) = (scores.row(t).head(t + 1).array() - largest).exp().matrix();
        p.row(t) /= p.row(t).sum();
      }
      dv.block(first, g * d, n, d) += p.transpose() * dyh;
      Matrix ds = dyh * vh.transpose();
      for (std::int64_t t = 0; t < n; ++t) {
        const double inner = ds.row(t).dot(p.row(t));
        ds.row(t) = (p.row(t).array() * (ds.row(t).array() - inner)).matrix() * factor;
      }
      dq.block(first, h * d, n, d) += ds * kh;
      dk.block(first, g * d, n, d) += ds.transpose() * qh;
    }
  }
  rotate_positions(dq, shape.heads, shape, -1);
  rotate_positions(dk, shape.kv_heads, shape, -1);
}

}  // namespace assay::simulator
