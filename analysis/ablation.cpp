// SPDX-License-Identifier: Apache-2.0
#include "analysis/ablation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/presets.h"

namespace assay::analysis {
namespace {

using simulator::OperandFormat;
using simulator::TensorClass;

struct Choice {
  const formats::BlockFormat* format;
  formats::BlockShape block;  ///< 0: the whole extent
  const char* label;
};

/// Block sizes at one scale rule that has no rounding of its own, then scale rules at their sizes.
constexpr std::array kChoices{
    Choice{&formats::fp4_fp32, {1, 16}, "16"},     Choice{&formats::fp4_fp32, {1, 32}, "32"},
    Choice{&formats::fp4_fp32, {1, 64}, "64"},     Choice{&formats::fp4_fp32, {1, 128}, "128"},
    Choice{&formats::fp4_fp32, {1, 0}, "row"},     Choice{&formats::fp4_fp32, {0, 0}, "tensor"},
    Choice{&formats::nvfp4, {1, 16}, "16"},        Choice{&formats::nvfp4_2d, {16, 16}, "16x16"},
    Choice{&formats::nvfp4_4over6, {1, 16}, "16"}, Choice{&formats::mxfp4_floor, {1, 32}, "32"},
    Choice{&formats::mxfp4_even, {1, 32}, "32"},   Choice{&formats::mxfp4_rceil, {1, 32}, "32"},
};
constexpr int kPhases = 16;

/// The statistics of the tensor times `factor`.
simulator::BlockStatistics scaled(simulator::BlockStatistics s, double factor) {
  s.power *= factor * factor;
  for (float& a : s.amax) a = static_cast<float>(a * factor);
  for (float& p : s.block_power) p = static_cast<float>(p * factor * factor);
  return s;
}

void phases(const simulator::Graph& graph, const OperandFormat& format, AblationRow& row) {
  std::vector<simulator::BlockStatistics> weights;
  for (const auto& node : graph.nodes) {
    if (node.kind == simulator::OpKind::linear && node.tensor_class == row.tensor_class) {
      weights.push_back(simulator::block_statistics(node.weight, format.block->block));
    }
  }
  row.phase_low = INFINITY;
  row.phase_high = 0;
  for (int j = 0; j < kPhases; ++j) {
    double sum = 0;
    for (const auto& s : weights) {
      sum +=
          simulator::predict_operand(scaled(s, std::exp2(static_cast<double>(j) / kPhases)), format)
              .nsr;
    }
    const double mean = sum / static_cast<double>(weights.size());
    row.phase_low = std::min(row.phase_low, mean);
    row.phase_high = std::max(row.phase_high, mean);
  }
}

AblationRow row_of(const simulator::Graph& graph, simulator::Predictor& predictor, TensorClass c,
                   const Choice& choice, const simulator::ReplayOptions& options) {
  simulator::Recipe recipe = simulator::load_recipe("bf16");
  simulator::Treatment treatment = recipe.treatment(c, -1, options.step);
  treatment.weight = {};
  treatment.weight.block = *choice.format;
  treatment.weight.block->block = choice.block;
  recipe.classes.resize(simulator::kTensorClassNames.size());
  recipe.classes[static_cast<std::size_t>(c)] = treatment;
  const simulator::Prediction p = predictor.predict(recipe, options);
  AblationRow row;
  row.tensor_class = c;
  row.format = choice.format->name;
  row.block = choice.label;
  row.gain = 0;
  for (const auto& o : p.operands) {
    row.gain += o.figures.gain / static_cast<double>(p.operands.size());
    row.nsr += o.figures.nsr / static_cast<double>(p.operands.size());
  }
  row.phase_low = row.phase_high = row.nsr;
  if (treatment.weight.block->scale == &formats::e8m0) phases(graph, treatment.weight, row);
  row.kl = p.loss.kl;
  row.loss_change = p.loss.change;
  row.loss_uncertainty = p.loss.uncertainty;
  for (const auto& r : p.routers) row.flips = std::max(row.flips, r.flip_rate);
  if (!p.routers.empty()) row.noise_sd = p.routers.back().noise_sd;
  return row;
}

}  // namespace

std::vector<AblationRow> ablate(const simulator::Graph& graph, simulator::Predictor& predictor,
                                const std::vector<TensorClass>& classes,
                                const simulator::ReplayOptions& options) {
  std::vector<AblationRow> rows;
  for (const TensorClass c : classes) {
    const bool present = std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const auto& n) {
      return n.kind == simulator::OpKind::linear && n.tensor_class == c;
    });
    if (!present) continue;
    for (const Choice& choice : kChoices) {
      rows.push_back(row_of(graph, predictor, c, choice, options));
    }
  }
  return rows;
}

nlohmann::ordered_json to_json(const std::vector<AblationRow>& rows) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const AblationRow& r : rows) {
    out.push_back({{"class", simulator::name(r.tensor_class)},
                   {"format", r.format},
                   {"block", r.block},
                   {"gain", r.gain},
                   {"nsr", r.nsr},
                   {"nsr_over_phase", {r.phase_low, r.phase_high}},
                   {"kl", r.kl},
                   {"loss_change", r.loss_change},
                   {"loss_uncertainty", r.loss_uncertainty},
                   {"largest_flip_rate", r.flips},
                   {"last_router_noise_sd", r.noise_sd}});
  }
  return {{"schema", "assay-ablation"}, {"schema_version", 1}, {"rows", std::move(out)}};
}

}  // namespace assay::analysis
