// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/noise_operands.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace assay::simulator {
namespace {

constexpr std::int64_t kNoiseBlock = 16;

/// +-1 at random times the amax of the element's block, scaled to the power of x.
Matrix noise_like(const Matrix& x, std::mt19937_64& random) {
  Matrix d(x.rows(), x.cols());
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.cols(); c += kNoiseBlock) {
      const std::int64_t n = std::min(kNoiseBlock, x.cols() - c);
      const double amax = x.row(r).segment(c, n).cwiseAbs().maxCoeff();
      const std::uint64_t bits = random();
      for (std::int64_t i = 0; i < n; ++i) d(r, c + i) = (bits >> i & 1) != 0 ? amax : -amax;
    }
  }
  const double norm = d.norm();
  if (norm > 0) d *= x.norm() / norm;
  return d;
}

}  // namespace

GroupNoise::GroupNoise(const Graph& graph, const Forward& clean, const OperandGroup& group,
                       std::uint64_t seed)
    : group_(group) {
  std::mt19937_64 random(seed);
  for (const std::size_t node : group.nodes) {
    if (group.role == Role::weight) {
      weights_[node] = noise_like(graph.nodes[node].weight, random);
      continue;
    }
    const std::size_t value = graph.nodes[node].inputs[0];
    if (!activations_.contains(value)) {
      activations_[value] = noise_like(clean.values[value], random);
    }
  }
}

const Matrix* GroupNoise::weight(std::size_t node) const {
  const auto found = weights_.find(node);
  return found == weights_.end() ? nullptr : &found->second;
}

const Matrix* GroupNoise::activation(std::size_t value) const {
  const auto found = activations_.find(value);
  return found == activations_.end() ? nullptr : &found->second;
}

const Matrix& NoiseOperands::weight(const Graph& graph, std::size_t node) const {
  const Matrix* d = noise_.weight(node);
  if (d == nullptr) return graph.nodes[node].weight;
  changed_ = graph.nodes[node].weight + amplitude_ * *d;
  return changed_;
}

void NoiseOperands::activation(const Graph& graph, std::size_t node, const std::vector<int>* rows,
                               Matrix& x) const {
  const auto& nodes = noise_.group().nodes;
  if (noise_.group().role == Role::weight ||
      std::find(nodes.begin(), nodes.end(), node) == nodes.end()) {
    return;
  }
  const GraphNode& n = graph.nodes[node];
  const Matrix* d = noise_.activation(n.inputs[0]);
  x += amplitude_ * (n.source != kNone ? gather(*d, *rows) : *d);
}

GainOperands::GainOperands(const Graph& graph, const OperandGroup& group, double factor)
    : in_group_(graph.nodes.size(), false), role_(group.role), factor_(factor) {
  for (const std::size_t node : group.nodes) in_group_[node] = true;
}

const Matrix& GainOperands::weight(const Graph& graph, std::size_t node) const {
  if (!in_group_[node] || role_ != Role::weight) return graph.nodes[node].weight;
  changed_ = factor_ * graph.nodes[node].weight;
  return changed_;
}

void GainOperands::activation(const Graph& /*graph*/, std::size_t node,
                              const std::vector<int>* /*rows*/, Matrix& x) const {
  if (in_group_[node] && role_ == Role::input) x *= factor_;
}

}  // namespace assay::simulator
