// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/predict.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "simulator/graph/one_thread.h"
#include "simulator/linear_replay.h"

namespace assay::simulator {
namespace {

constexpr std::int64_t kColumnBlock = 16;

double square(double v) { return v * v; }

/// Shares of ||x||^2 by blocks of columns; `by_amax`: of the sum of amax^2 of the blocks instead.
std::vector<double> column_shares(const Matrix& x, bool by_amax) {
  std::vector<double> share;
  double sum = 0;
  for (std::int64_t c = 0; c < x.cols(); c += kColumnBlock) {
    const auto part = x.middleCols(c, std::min(kColumnBlock, x.cols() - c));
    double s = 0;
    if (by_amax) {
      for (std::int64_t r = 0; r < x.rows(); ++r) s += square(part.row(r).cwiseAbs().maxCoeff());
    } else {
      s = part.squaredNorm();
    }
    share.push_back(s);
    sum += s;
  }
  for (double& s : share) s = sum > 0 ? s / sum : 0;
  return share;
}

double inner(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum * static_cast<double>(a.size());
}

}  // namespace

Predictor::Predictor(const Graph& graph, const Forward& clean, Responses responses)
    : graph_(graph),
      clean_(clean),
      responses_(std::move(responses)),
      probability_(log_softmax(clean.values[graph.logits]).array().exp().matrix()) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const bool counts = graph.nodes[i].kind == OpKind::linear && clean.values[i].rows() > 0;
    coefficients_.push_back(counts ? coefficients(i) : Coefficients{});
  }
}

Predictor::Coefficients Predictor::coefficients(std::size_t node) const {
  const Matrix x = linear_input(graph_, clean_, node);
  const Matrix& w = graph_.nodes[node].weight;
  const double white = x.squaredNorm() * w.squaredNorm() /
                       (static_cast<double>(w.cols()) * clean_.values[node].squaredNorm());
  return {white * inner(column_shares(w, true), column_shares(x, false)),
          white * inner(column_shares(x, true), column_shares(w, false))};
}

const BlockStatistics& Predictor::statistics(std::size_t node, Role role,
                                             const OperandFormat& format) {
  const formats::BlockShape block = format.block ? format.block->block : formats::BlockShape{0, 0};
  const GraphNode& n = graph_.nodes[node];
  const std::size_t value = role == Role::weight ? node : n.inputs[0];
  const auto key = std::make_tuple(value, n.expert, static_cast<int>(role), block.rows, block.cols);
  const auto found = statistics_.find(key);
  if (found != statistics_.end()) return found->second;
  return statistics_[key] = block_statistics(
             role == Role::weight ? n.weight : linear_input(graph_, clean_, node), block);
}

void Predictor::prepare(const Recipe& recipe, const ReplayOptions& options) {
  for (const auto& group : responses_.groups) {
    for (const std::size_t node : group.nodes) {
      const Treatment t = node_treatment(graph_.nodes[node], recipe, options);
      const OperandFormat& format = group.role == Role::weight ? t.weight : t.activation;
      if (quantizes(format, recipe))
        (void)predict_operand(statistics(node, group.role, format), format);
    }
  }
}

void Predictor::price(const Recipe& recipe, const ReplayOptions& options, const GroupFilter& filter,
                      Prediction& out) {
  nsr_.assign(responses_.groups.size(), 0.0);
  gain_.assign(responses_.groups.size(), 1.0);
  std::map<std::pair<std::size_t, int>, PredictedOperand> shared;  // activations, priced once
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    const OperandGroup& group = responses_.groups[g];
    if (filter && !filter(group)) continue;
    for (std::size_t i = 0; i < group.nodes.size(); ++i) {
      const std::size_t node = group.nodes[i];
      const GraphNode& n = graph_.nodes[node];
      const Treatment t = node_treatment(n, recipe, options);
      const OperandFormat& format = group.role == Role::weight ? t.weight : t.activation;
      if (!quantizes(format, recipe)) continue;
      const std::pair<std::size_t, int> value{n.inputs[0], n.expert};
      const bool weight = group.role == Role::weight;
      PredictedOperand figures;
      if (weight || !shared.contains(value)) {
        figures = predict_operand(statistics(node, group.role, format), format);
        if (!weight) shared[value] = figures;
        out.operands.push_back({n.id, weight ? n.weight_name : graph_.nodes[n.inputs[0]].id, node,
                                n.expert, group.role, figures});
      } else {
        figures = shared[value];
      }
      nsr_[g] += group.share[i] * figures.nsr;
      gain_[g] += group.share[i] * (figures.gain - 1);
    }
  }
}

void Predictor::linears(Prediction& out) const {
  struct Pair {
    PredictedOperand weight, activation;
  };
  std::map<std::pair<std::size_t, int>, PredictedOperand> activations;
  std::map<std::size_t, Pair> nodes;
  for (const auto& o : out.operands) {
    const GraphNode& n = graph_.nodes[o.node];
    if (o.role == Role::weight) {
      nodes[o.node].weight = o.figures;
    } else {
      activations[{n.inputs[0], n.expert}] = o.figures;
    }
  }
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const GraphNode& n = graph_.nodes[i];
    if (n.kind != OpKind::linear || clean_.values[i].rows() == 0) continue;
    const auto found = activations.find({n.inputs[0], n.expert});
    if (found != activations.end() && n.tensor_class != TensorClass::router) {
      nodes[i].activation = found->second;
    }
  }
  for (const auto& [i, pair] : nodes) {
    const GraphNode& n = graph_.nodes[i];
    if (clean_.values[i].rows() == 0) continue;
    const Coefficients& c = coefficients_[i];
    const PredictedOperand& w = pair.weight;
    const PredictedOperand& x = pair.activation;
    LinearPrediction p;
    p.op = graph_.nodes[i].id;
    p.nsr = c.weight * square(x.gain) * w.nsr + c.activation * square(w.gain) * x.nsr +
            c.weight * w.nsr * x.nsr;
    p.white = square(x.gain) * w.nsr + square(w.gain) * x.nsr + w.nsr * x.nsr;
    // The output sums rank(X) x out independent errors at most, each with its own spread.
    const auto rank =
        static_cast<double>(std::min(clean_.values[i].rows(), graph_.nodes[i].weight.cols()));
    p.uncertainty = std::sqrt(2.0 / (rank * static_cast<double>(n.width)));
    out.linears.push_back(std::move(p));
  }
}

Prediction Predictor::predict(const Recipe& recipe, const ReplayOptions& options,
                              const GroupFilter& filter) {
  const OneThread one;
  const auto begin = std::chrono::steady_clock::now();
  Prediction out;
  price(recipe, options, filter, out);
  linears(out);
  routers(out);
  loss(out);
  naive(out);
  for (std::size_t w = 0; w < responses_.watched.size(); ++w) {
    ValuePrediction v{graph_.nodes[responses_.watched[w]].id, 0.0};
    for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
      v.nsr += nsr_[g] * responses_.noise[g].value_nsr[w];
    }
    for (std::size_t r = 0; r < out.routers.size(); ++r) {
      v.nsr += out.routers[r].flip_rate * responses_.flips[r].value_nsr[w];
    }
    out.values.push_back(std::move(v));
  }
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (nsr_[g] == 0) continue;
    Contribution c;
    c.group = responses_.groups[g].name;
    c.nsr = nsr_[g];
    c.kl = nsr_[g] * responses_.noise[g].kl;
    for (const double power : responses_.noise[g].logit_power)
      c.variance.push_back(nsr_[g] * power);
    out.contributions.push_back(std::move(c));
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

}  // namespace assay::simulator
