// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/experts.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

namespace assay::simulator {
namespace {

constexpr double kExpectedChoices = 20;
constexpr double kFewest = 0.5;  // of the experts, effective
constexpr double kFall = 0.2;    // of the effective experts, from one step to the next

double cosine(double inner, double a2, double b2) {
  return a2 > 0 && b2 > 0 ? inner / std::sqrt(a2 * b2) : 0.0;
}

/// One expert: its weights, and its output on all tokens.
struct Expert {
  Eigen::VectorXd weights;
  Matrix output;
};

/// False where it holds an op that cannot be executed alone.
bool execute(const Graph& graph, const Forward& run, const Operands& operands,
             const std::vector<std::size_t>& nodes, Expert& out) {
  std::map<std::size_t, Matrix> values;
  for (const std::size_t i : nodes) {
    const GraphNode& n = graph.nodes[i];
    if (n.kind == OpKind::swiglu) {
      const auto gate = values.find(n.inputs[0]);
      const auto up = values.find(n.inputs[1]);
      if (gate == values.end() || up == values.end()) return false;
      values[i] = swiglu(gate->second, up->second, n.clamp);
    } else if (n.kind == OpKind::linear) {
      const auto found = values.find(n.inputs[0]);
      if (n.source == kNone && found == values.end()) return false;
      Matrix x = n.source != kNone ? run.values[n.source] : found->second;
      operands.multiply(graph, i, nullptr, x, values[i]);
      const Matrix& w = operands.weight(graph, i);
      const auto before = out.weights.size();
      out.weights.conservativeResize(before + w.size());
      out.weights.tail(w.size()) = Eigen::Map<const Eigen::VectorXd>(w.data(), w.size());
    } else {
      return false;
    }
  }
  if (nodes.empty()) return false;
  out.output = std::move(values[nodes.back()]);
  return true;
}

void see(Alikeness& a, double v, int first, int second, double weight) {
  a.mean += v * weight;
  if (a.first >= 0 && v <= a.largest) return;
  a.largest = v;
  a.first = first;
  a.second = second;
}

Matrix centred(const Matrix& x) { return x.rowwise() - x.colwise().mean(); }

double mean_cosine(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::int64_t t = 0; t < a.rows(); ++t) {
    sum += cosine(a.row(t).dot(b.row(t)), a.row(t).squaredNorm(), b.row(t).squaredNorm());
  }
  return sum / static_cast<double>(a.rows());
}

}  // namespace

double linear_cka(const Matrix& a, const Matrix& b) {
  const Matrix x = centred(a);
  const Matrix y = centred(b);
  const double own = (x.transpose() * x).norm() * (y.transpose() * y).norm();
  return own > 0 ? (x.transpose() * y).squaredNorm() / own : 0.0;
}

std::vector<ExpertDiversity> expert_diversity(const Graph& graph, const Forward& run,
                                              const Operands& operands) {
  std::vector<ExpertDiversity> all;
  for (const std::size_t top : graph.routers) {
    const std::int64_t count = graph.nodes[top].width;
    std::vector<std::vector<std::size_t>> nodes(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const GraphNode& n = graph.nodes[i];
      if (n.routing == top && n.expert >= 0) nodes[static_cast<std::size_t>(n.expert)].push_back(i);
    }
    std::vector<Expert> experts(nodes.size());
    bool whole = count >= 2;
    for (std::size_t e = 0; e < nodes.size() && whole; ++e) {
      whole = execute(graph, run, operands, nodes[e], experts[e]) &&
              experts[e].weights.size() == experts[0].weights.size();
    }
    if (!whole) continue;
    ExpertDiversity d;
    d.op = graph.nodes[top].id;
    d.layer = graph.nodes[top].layer;
    d.experts = count;
    const double weight = 2.0 / static_cast<double>(count * (count - 1));
    for (std::size_t e = 0; e < experts.size(); ++e) {
      for (std::size_t f = e + 1; f < experts.size(); ++f) {
        const Expert& a = experts[e];
        const Expert& b = experts[f];
        const auto i = static_cast<int>(e);
        const auto j = static_cast<int>(f);
        see(d.weight_cosine,
            cosine(a.weights.dot(b.weights), a.weights.squaredNorm(), b.weights.squaredNorm()), i,
            j, weight);
        see(d.output_cosine, mean_cosine(a.output, b.output), i, j, weight);
        see(d.output_cka, linear_cka(a.output, b.output), i, j, weight);
      }
    }
    all.push_back(d);
  }
  return all;
}

Utilisation utilisation(const std::string& op, int layer, std::vector<double> load, double choices,
                        const Utilisation* before) {
  Utilisation u;
  u.op = op;
  u.layer = layer;
  const auto experts = static_cast<double>(load.size());
  for (const double l : load) {
    if (l > 0) {
      u.entropy -= l * std::log(l);
    } else {
      ++u.idle;
    }
    u.largest = std::max(u.largest, l * experts);
  }
  u.effective = std::exp(u.entropy);
  u.load = std::move(load);
  if (u.idle > 0 && choices >= kExpectedChoices * experts) {
    u.alarms.push_back(
        fmt::format("{} of {} experts had no token where even use gives each {:.0f}.", u.idle,
                    u.load.size(), choices / experts));
  }
  if (u.effective < kFewest * experts) {
    u.alarms.push_back(fmt::format("{:.1f} effective experts of {} are fewer than half.",
                                   u.effective, u.load.size()));
  }
  if (before != nullptr && u.effective < (1 - kFall) * before->effective) {
    u.alarms.push_back(fmt::format("effective experts fell from {:.1f} to {:.1f} in one step.",
                                   before->effective, u.effective));
  }
  return u;
}

std::vector<Utilisation> utilisation(const Graph& graph, const Forward& run,
                                     const std::vector<Utilisation>& before) {
  std::vector<Utilisation> all;
  for (std::size_t r = 0; r < graph.routers.size(); ++r) {
    const GraphNode& n = graph.nodes[graph.routers[r]];
    const auto& rows = run.routing[graph.routers[r]].rows;
    double choices = 0;
    for (const auto& of : rows) choices += static_cast<double>(of.size());
    std::vector<double> load;
    for (const auto& of : rows) load.push_back(static_cast<double>(of.size()) / choices);
    all.push_back(utilisation(n.id, n.layer, std::move(load), choices,
                              r < before.size() ? &before[r] : nullptr));
  }
  return all;
}

}  // namespace assay::simulator
