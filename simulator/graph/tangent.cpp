// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/tangent.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "simulator/graph/product.h"

namespace assay::simulator {
namespace {

constexpr std::int64_t kQueries = 32;  // of attention at a time: their scores stay in cache

/// Turns the pair (i, i + half) of each head by the angle of the row's position.
void rotate(MatrixF& x, std::int64_t heads, const MatrixF& cosine, const MatrixF& sine) {
  const std::int64_t half = cosine.cols();
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const auto c = cosine.row(r % cosine.rows()).array();
    const auto s = sine.row(r % sine.rows()).array();
    for (std::int64_t h = 0; h < heads; ++h) {
      auto a = x.row(r).segment(2 * h * half, half).array();
      auto b = x.row(r).segment((2 * h + 1) * half, half).array();
      const Eigen::Array<float, 1, Eigen::Dynamic> before = a;
      a = before * c - b * s;
      b = before * s + b * c;
    }
  }
}

void add_to(MatrixF& sum, const MatrixF& d) {
  if (d.size() == 0) return;
  if (sum.size() == 0) {
    sum = d;
  } else {
    sum += d;
  }
}

}  // namespace

/// One derivative, op after op.
class Linearization::Walk {
 public:
  Walk(const Linearization& at, const OperandShift& shift)
      : at_(at), shift_(shift), d_gates_(at.graph_.nodes.size()) {
    out_.values.resize(at.graph_.nodes.size());
  }

  Tangent run() {
    for (std::size_t i = 0; i < at_.graph_.nodes.size(); ++i) evaluate(i);
    return std::move(out_);
  }

 private:
  const MatrixF& d(std::size_t i, std::size_t j) const {
    return out_.values[at_.graph_.nodes[i].inputs[j]];
  }
  const MatrixF& clean(std::size_t i, std::size_t j) const {
    return at_.values_[at_.graph_.nodes[i].inputs[j]];
  }

  void evaluate(std::size_t i) {
    const GraphNode& node = at_.graph_.nodes[i];
    switch (node.kind) {
      case OpKind::linear:
        return linear(i);
      case OpKind::rmsnorm:
        return norm(i);
      case OpKind::attention:
        return attention(i);
      case OpKind::top_k:
        return top_k(i);
      case OpKind::swiglu: {
        const Point& p = at_.points_[i];
        if (d(i, 0).size() > 0) out_.values[i] = p.d_gate.cwiseProduct(d(i, 0));
        if (d(i, 1).size() > 0) add_to(out_.values[i], p.d_up.cwiseProduct(d(i, 1)));
        return;
      }
      case OpKind::combine:
        return combine(i);
      case OpKind::add:
        for (std::size_t j = 0; j < node.inputs.size(); ++j) add_to(out_.values[i], d(i, j));
        return;
      case OpKind::embedding:
      case OpKind::loss:
        return;
    }
  }

  void linear(std::size_t i) {
    const GraphNode& node = at_.graph_.nodes[i];
    const Point& p = at_.points_[i];
    if (at_.values_[i].rows() == 0) return;
    MatrixF& dy = out_.values[i];
    const auto plus = [&](const MatrixF& dx, const MatrixF& transposed) {
      if (dy.size() == 0) {
        dy.resize(dx.rows(), transposed.cols());
        set_product(rows_of(dy), rows_of(dx), rows_of(transposed));
      } else {
        add_product(rows_of(dy), rows_of(dx), rows_of(transposed));
      }
    };
    if (shift_.weight[i] != nullptr) {
      const MatrixF& x = p.input != kNone ? at_.inputs_[p.input] : clean(i, 0);
      plus(x, shift_.weight[i]->transpose());
    }
    if (shift_.input[i] != nullptr) plus(*shift_.input[i], p.weight);
    const MatrixF& from = d(i, 0);
    if (from.size() == 0) return;
    if (node.source == kNone) {
      plus(from, p.weight);
    } else {
      const auto e = static_cast<std::size_t>(node.expert);
      plus(gather(from, at_.routing_[node.routing].rows[e]), p.weight);
    }
  }

  /// d (g x / r) = g / r (dx - x (x . dx) / (d r^2)), r^2 = mean(x^2) + eps.
  void norm(std::size_t i) {
    const MatrixF& dx = d(i, 0);
    if (dx.size() == 0) return;
    const MatrixF& x = clean(i, 0);
    const Point& p = at_.points_[i];
    const auto width = static_cast<float>(x.cols());
    const Eigen::Map<const Eigen::Array<float, 1, Eigen::Dynamic>> weight(
        p.norm.data(), static_cast<std::int64_t>(p.norm.size()));
    MatrixF& dy = out_.values[i];
    dy.resize(x.rows(), x.cols());
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      const float inverse = p.inverse[static_cast<std::size_t>(r)];
      const float along = x.row(r).dot(dx.row(r)) * inverse * inverse / width;
      dy.row(r) = ((dx.row(r).array() - x.row(r).array() * along) * weight * inverse).matrix();
    }
  }

  /// P the causal softmax of S = q k^T / sqrt(d): dP = P (dS - sum P dS), d(P v) = dP v + P dv.
  void attention(std::size_t i) {
    const GraphNode& node = at_.graph_.nodes[i];
    const AttentionShape& shape = node.attention;
    const Point& p = at_.points_[i];
    const MatrixF& v = clean(i, 2);
    const MatrixF& dv = d(i, 2);
    MatrixF dq = d(i, 0);
    MatrixF dk = d(i, 1);
    if (dq.size() == 0 && dk.size() == 0 && dv.size() == 0) return;
    if (shape.rope_theta > 0) {
      rotate(dq, shape.heads, p.cosine, p.sine);
      rotate(dk, shape.kv_heads, p.cosine, p.sine);
    }
    const std::int64_t n = shape.length;
    const std::int64_t w = shape.head_dim;
    const float factor = 1 / std::sqrt(static_cast<float>(w));
    MatrixF& dy = out_.values[i];
    dy = MatrixF::Zero(p.q.rows(), p.q.cols());
    const MatrixF dk_transposed = dk.transpose();
    MatrixF ds(kQueries, n);
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      const std::int64_t g = h / (shape.heads / shape.kv_heads);
      for (std::int64_t first = 0; first < dy.rows(); first += n) {
        for (std::int64_t t = 0; t < n; t += kQueries) {  // whose keys end with them
          const std::int64_t queries = std::min(kQueries, n - t);
          const std::int64_t keys = t + queries;
          const MatrixF& all = p.probability[static_cast<std::size_t>(h)];
          const auto probability = part(rows_of(all), first + t, 0, queries, keys);
          const auto to = part(rows_of(dy), first + t, h * w, queries, w);
          if (dv.size() > 0) add_product(to, probability, part(rows_of(dv), first, g * w, keys, w));
          if (dq.size() == 0 && dk.size() == 0) continue;
          const auto scores = part(rows_of(ds), 0, 0, queries, keys);
          ds.setZero();
          if (dq.size() > 0) {
            add_product(scores, part(rows_of(std::as_const(dq)), first + t, h * w, queries, w),
                        part(rows_of(p.keys), g * w, first, w, keys));
          }
          if (dk.size() > 0) {
            add_product(scores, part(rows_of(p.q), first + t, h * w, queries, w),
                        part(rows_of(dk_transposed), g * w, first, w, keys));
          }
          for (std::int64_t r = 0; r < queries; ++r) {
            const auto row = all.row(first + t + r).head(keys).array();
            auto s = ds.row(r).head(keys).array();
            const float mean = (row * s).sum();
            s = row * (s - mean) * factor;
          }
          add_product(to, part(rows_of(std::as_const(ds)), 0, 0, queries, keys),
                      part(rows_of(v), first, g * w, keys, w));
        }
      }
    }
  }

  /// Of the chosen: g = scale p / sum p, or scale p.
  void top_k(std::size_t i) {
    const MatrixF& ds = d(i, 0);
    if (ds.size() == 0) return;
    const Gate& gate = at_.graph_.nodes[i].gate;
    const Point& p = at_.points_[i];
    const Routing& routing = at_.routing_[i];
    auto& out = d_gates_[i];
    out.resize(routing.rows.size());
    std::vector<float> dp;
    for (std::int64_t t = 0; t < ds.rows(); ++t) {
      const auto& choice = routing.choice[static_cast<std::size_t>(t)];
      const float mean = gate.score == ScoreFunction::softmax ? p.score.row(t).dot(ds.row(t)) : 0;
      dp.clear();
      float sum = 0;
      float d_sum = 0;
      for (const int e : choice) {
        dp.push_back(p.slope(t, e) * (ds(t, e) - mean));
        sum += p.score(t, e);
        d_sum += dp.back();
      }
      const auto scale = static_cast<float>(gate.scale);
      for (std::size_t j = 0; j < choice.size(); ++j) {
        out[static_cast<std::size_t>(choice[j])].push_back(
            gate.renormalize ? scale * (dp[j] - p.score(t, choice[j]) * d_sum / sum) / sum
                             : scale * dp[j]);
      }
    }
  }

  void combine(std::size_t i) {
    MatrixF& dy = out_.values[i];
    const auto ready = [&] {
      if (dy.size() == 0) dy = MatrixF::Zero(at_.values_[i].rows(), at_.values_[i].cols());
    };
    for (const std::size_t j : at_.graph_.nodes[i].inputs) {
      const GraphNode& expert = at_.graph_.nodes[j];
      const MatrixF& from = out_.values[j];
      if (expert.routing == kNone) {  // a shared expert: every token, factor 1
        add_to(dy, from);
        continue;
      }
      const auto e = static_cast<std::size_t>(expert.expert);
      const Routing& r = at_.routing_[expert.routing];
      const auto& d_gate = d_gates_[expert.routing];
      if (from.size() == 0 && d_gate.empty()) continue;
      ready();
      for (std::size_t n = 0; n < r.rows[e].size(); ++n) {
        const auto row = static_cast<std::int64_t>(n);
        auto to = dy.row(r.rows[e][n]);
        if (from.size() > 0) to += static_cast<float>(r.row_gate[e][n]) * from.row(row);
        if (!d_gate.empty()) to += d_gate[e][n] * at_.values_[j].row(row);
      }
    }
  }

  const Linearization& at_;
  const OperandShift& shift_;
  std::vector<std::vector<std::vector<float>>> d_gates_;  ///< [op][expert][row]
  Tangent out_;
};

Tangent Linearization::along(const OperandShift& shift) const { return Walk(*this, shift).run(); }

}  // namespace assay::simulator
