// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/operand_errors.h"

#include <fmt/format.h>

#include "simulator/graph/recipe_operands.h"
#include "simulator/linear_replay.h"

namespace assay::simulator {
namespace {

std::string block_key(const std::optional<formats::BlockFormat>& f) {
  return f ? fmt::format("{} {}x{}", f->name, f->block.rows, f->block.cols) : "";
}

OperandError error_of(const Matrix& w, const Matrix& rounded) {
  OperandError out;
  const Matrix d = rounded - w;
  const double power = w.squaredNorm();
  out.figures.exact = true;
  const double noise = d.squaredNorm();
  if (power > 0) {
    const double cross = w.cwiseProduct(d).sum() / power;
    out.figures.gain = 1 + cross;
    out.figures.nsr = std::max(0.0, noise / power - cross * cross);
  }
  for (std::int64_t c = 0; c < d.cols(); ++c) {
    out.figures.columns.push_back(
        static_cast<float>(noise > 0 ? d.col(c).squaredNorm() / noise : 0));
  }
  out.error = d.cast<float>();
  return out;
}

}  // namespace

std::string rounding_key(const OperandFormat& f, std::uint64_t seed) {
  const bool stochastic = f.rounding == formats::RoundingMode::stochastic;
  return fmt::format("{}|{}|{} {}|{}|{} {}|{}|{}", f.element != nullptr ? f.element->name : "",
                     block_key(f.block), static_cast<int>(f.rounding), f.random_bits,
                     static_cast<int>(f.scales), f.hadamard, f.random_signs, block_key(f.reencode),
                     stochastic ? seed : 0);
}

OperandErrors::OperandErrors(const Graph& graph, const Forward& clean)
    : graph_(graph), clean_(clean) {
  for (const GraphNode& n : graph.nodes) {
    bool untouched = n.kind != OpKind::linear;
    for (const std::size_t i : n.inputs) untouched = untouched && untouched_[i];
    untouched_.push_back(untouched);
  }
}

const OperandError& OperandErrors::of(std::size_t node, Role role, const OperandFormat& format,
                                      std::uint64_t seed) {
  const GraphNode& n = graph_.nodes[node];
  const bool weight = role == Role::weight;
  const std::size_t at = weight ? node : n.inputs[0];
  const auto [found, fresh] =
      errors_.try_emplace({at, (weight ? "w" : "x") + rounding_key(format, seed)});
  if (fresh) {
    const Matrix& x = weight ? n.weight : clean_.values[at];
    const std::string& id = weight ? n.weight_name : graph_.nodes[at].id;
    OperandError& out = found->second;
    out = error_of(x, quantized_operand(x, format, tensor_seed(seed, id)));
    if (!weight) {
      const Matrix e = out.error.cast<double>();
      out.with.noalias() = x.transpose() * e;
      out.square.noalias() = e.transpose() * e;
    }
  }
  return found->second;
}

}  // namespace assay::simulator
