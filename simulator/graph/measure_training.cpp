// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/measure_training.h"

#include <algorithm>
#include <array>
#include <map>

#include "formats/spec.h"
#include "simulator/graph/recipe_operands.h"
#include "simulator/linear_replay.h"

namespace assay::simulator {
namespace {

void append(std::vector<float>& to, const Matrix& m) {
  for (std::int64_t i = 0; i < m.size(); ++i) to.push_back(static_cast<float>(m.data()[i]));
}

/// Gradients in a block format: counted on what its quantizer leaves.
void add_blocks(const Matrix& dy, const OperandFormat& format, std::uint64_t seed,
                GradientRange& out, std::uint64_t& flushed) {
  const Matrix q = quantized_operand(dy, format, seed);
  for (std::int64_t i = 0; i < dy.size(); ++i) {
    // What FP32 itself cannot hold was never the recipe's to lose.
    if (static_cast<float>(dy.data()[i]) == 0) continue;
    ++out.nonzero;
    flushed += q.data()[i] == 0 ? 1 : 0;
  }
}

enum class Rule : std::uint8_t { recorded, adam_first_step, sgd };
constexpr std::array<const char*, 3> kRuleNames{"recorded", "adam_first_step", "sgd"};

Matrix update_of(const GraphNode& node, const Matrix& gradient, Rule rule, double rate) {
  switch (rule) {
    case Rule::recorded:
      return node.update;
    case Rule::adam_first_step:
      return -rate * gradient.array().sign();
    case Rule::sgd:
      return -rate * gradient;
  }
  return {};
}

void updates(const Graph& graph, const Backward& back, const formats::FormatSpec& master,
             double rate, std::vector<LostUpdates>& out) {
  const bool recorded = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                    [](const GraphNode& n) { return n.update.size() > 0; });
  for (const Rule rule : {Rule::recorded, Rule::adam_first_step, Rule::sgd}) {
    if (recorded != (rule == Rule::recorded)) continue;
    UpdateCount sum;
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const GraphNode& n = graph.nodes[i];
      if (rule == Rule::recorded ? n.update.size() == 0 : back.weights[i].size() == 0) continue;
      const UpdateCount c = count_lost(n.weight, update_of(n, back.weights[i], rule, rate), master);
      sum.updates += c.updates;
      sum.lost += c.lost;
    }
    const double share =
        sum.updates > 0 ? static_cast<double>(sum.lost) / static_cast<double>(sum.updates) : 0;
    out.push_back({kRuleNames[static_cast<std::size_t>(rule)], std::string(master.name),
                   rule == Rule::recorded ? 0.0 : rate, sum.updates, share});
  }
}

}  // namespace

TrainingRange training_range(const Graph& graph, const Backward& back, const Recipe& recipe,
                             const ReplayOptions& options, double learning_rate) {
  TrainingRange out;
  const double scale = recipe.loss_scaling.kind == "none" ? 1.0 : recipe.loss_scaling.initial;
  std::map<std::string, std::vector<float>> casts;  // output gradients by plain format
  std::map<std::string, const formats::FormatSpec*> specs;
  std::map<std::string, std::pair<GradientRange, std::uint64_t>> blocks;
  std::vector<float> all;
  std::vector<float> weights;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& n = graph.nodes[i];
    if (n.kind != OpKind::linear || back.values[i].size() == 0) continue;
    append(all, back.values[i]);
    append(weights, back.weights[i]);
    const OperandFormat format = node_treatment(n, recipe, options).gradient;
    const std::string name(format.format_name());
    if (format.block) {
      auto& [range, flushed] = blocks[name];
      add_blocks(back.values[i], format, tensor_seed(options.seed, n.id + ".output_grad"), range,
                 flushed);
    } else {
      specs[name] = format.element;
      append(casts[name], back.values[i]);
    }
  }
  const auto put = [&](const char* what, std::vector<float> g, const formats::FormatSpec& spec) {
    out.gradients.push_back(gradient_range(std::move(g), spec, scale));
    out.gradients.back().what = what;
  };
  for (auto& [name, g] : casts) put("output gradients", std::move(g), *specs[name]);
  for (auto& [name, entry] : blocks) {
    GradientRange r = entry.first;
    r.what = "output gradients";
    r.format = name;
    r.scale = scale;
    r.flushed =
        r.nonzero > 0 ? static_cast<double>(entry.second) / static_cast<double>(r.nonzero) : 0.0;
    r.flushed_unscaled = r.best_flushed = r.flushed;
    out.gradients.push_back(std::move(r));
  }
  put("weight gradients", weights, *recipe.weight_gradient);
  if (!casts.contains("fp16")) put("output gradients", std::move(all), formats::fp16);
  if (recipe.weight_gradient != &formats::fp16) {
    put("weight gradients", std::move(weights), formats::fp16);
  }
  updates(graph, back, *recipe.master, learning_rate, out.updates);
  if (recipe.master != &formats::bf16) {
    updates(graph, back, formats::bf16, learning_rate, out.updates);
  }
  return out;
}

}  // namespace assay::simulator
