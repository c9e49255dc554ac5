// SPDX-License-Identifier: Apache-2.0
#include "simulator/network.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace assay::simulator {

Matrix rms_norm(const Matrix& x, std::span<const double> weight, double eps) {
  Matrix y(x.rows(), x.cols());
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < x.cols(); ++c) sum += x(r, c) * x(r, c);
    const double inverse = 1 / std::sqrt(sum / static_cast<double>(x.cols()) + eps);
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      y(r, c) = x(r, c) * inverse * weight[static_cast<std::size_t>(c)];
    }
  }
  return y;
}

Matrix swiglu(const Matrix& gate, const Matrix& up, const SwigluClamp& clamp) {
  return gate.binaryExpr(up, [&](double g, double u) {
    g = std::min(g, clamp.gate_max);
    return g / (1 + std::exp(-g)) * std::clamp(u, -clamp.linear_max, clamp.linear_max);
  });
}

void rotate_positions(Matrix& x, std::int64_t heads, const AttentionShape& shape,
                      double direction) {
  if (shape.rope_theta <= 0) return;
  const std::int64_t half = shape.head_dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double frequency =
        std::pow(shape.rope_theta, -static_cast<double>(i) / static_cast<double>(half));
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      const double angle = static_cast<double>(r % shape.length) * frequency;
      const double c = std::cos(angle);
      const double s = direction * std::sin(angle);
      for (std::int64_t h = 0; h < heads; ++h) {
        double& a = x(r, h * shape.head_dim + i);
        double& b = x(r, h * shape.head_dim + i + half);
        const double a0 = a;
        a = a0 * c - b * s;
        b = a0 * s + b * c;
      }
    }
  }
}

Matrix attention(Matrix q, Matrix k, const Matrix& v, const AttentionShape& shape) {
  const std::int64_t d = shape.head_dim;
  if (shape.heads < 1 || shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0 ||
      shape.length < 1 || q.cols() != shape.heads * d || k.cols() != shape.kv_heads * d ||
      v.cols() != k.cols() || q.rows() != k.rows() || q.rows() != v.rows() ||
      q.rows() % shape.length != 0) {
    throw std::invalid_argument("attention: the shapes of q, k and v do not fit the heads.");
  }
  rotate_positions(q, shape.heads, shape, 1);
  rotate_positions(k, shape.kv_heads, shape, 1);
  const double factor = 1 / std::sqrt(static_cast<double>(d));
  Matrix y = Matrix::Zero(q.rows(), q.cols());
  std::vector<double> p(static_cast<std::size_t>(shape.length));
  for (std::int64_t first = 0; first < q.rows(); first += shape.length) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      const std::int64_t g = h / (shape.heads / shape.kv_heads);
      const Matrix scores = q.block(first, h * d, shape.length, d) *
                            k.block(first, g * d, shape.length, d).transpose() * factor;
      for (std::int64_t t = 0; t < shape.length; ++t) {
        const double largest = scores.row(t).head(t + 1).maxCoeff();
        double sum = 0;
        for (std::int64_t j = 0; j <= t; ++j) {
          const auto i = static_cast<std::size_t>(j);
          p[i] = std::exp(scores(t, j) - largest);
          sum += p[i];
        }
        for (std::int64_t j = 0; j <= t; ++j) {
          y.row(first + t).segment(h * d, d) +=
              p[static_cast<std::size_t>(j)] / sum * v.row(first + j).segment(g * d, d);
        }
      }
    }
  }
  return y;
}

Matrix selection_space(const Matrix& logits, ScoreFunction score, std::span<const double> bias) {
  if (bias.empty()) return logits;
  Matrix s = logits;
  for (std::int64_t r = 0; r < s.rows(); ++r) {
    switch (score) {
      case ScoreFunction::softmax: {
        const double largest = s.row(r).maxCoeff();
        double sum = 0;
        for (std::int64_t c = 0; c < s.cols(); ++c) sum += std::exp(s(r, c) - largest);
        for (std::int64_t c = 0; c < s.cols(); ++c) s(r, c) = std::exp(s(r, c) - largest) / sum;
        break;
      }
      case ScoreFunction::sigmoid:
        for (std::int64_t c = 0; c < s.cols(); ++c) s(r, c) = 1 / (1 + std::exp(-s(r, c)));
        break;
      case ScoreFunction::sqrt_softplus:
        for (std::int64_t c = 0; c < s.cols(); ++c) {
          const double z = s(r, c);  // log(1 + e^z) without overflow
          s(r, c) = std::sqrt(std::max(z, 0.0) + std::log1p(std::exp(-std::fabs(z))));
        }
        break;
    }
    for (std::int64_t c = 0; c < s.cols(); ++c) s(r, c) += bias[static_cast<std::size_t>(c)];
  }
  return s;
}

std::vector<int> top_k(std::span<const double> row, int k) {
  std::vector<int> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int a, int b) {
    const double x = row[static_cast<std::size_t>(a)];
    const double y = row[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  order.resize(static_cast<std::size_t>(k));
  return order;
}

}  // namespace assay::simulator
