// SPDX-License-Identifier: Apache-2.0
#include "analysis/attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace assay::analysis {
namespace {

using simulator::OperandGroup;
using simulator::Role;

/// Operands of the groups that pass: what a measurement of the same filter quantizes.
simulator::OperandFilter operands_of(const std::vector<OperandGroup>& groups,
                                     const simulator::GroupFilter& filter) {
  std::set<std::pair<std::size_t, Role>> chosen;
  for (const auto& group : groups) {
    if (filter && !filter(group)) continue;
    for (const std::size_t node : group.nodes) chosen.insert({node, group.role});
  }
  return [chosen](std::size_t node, Role role) { return chosen.contains({node, role}); };
}

double square(double v) { return v * v; }

/// What an execution under a part of the recipe says.
struct Executed {
  double kl = 0;
  std::vector<double> variance;  ///< [router]
};

class Executor {
 public:
  Executor(const simulator::Graph& graph, const simulator::Forward& clean,
           const simulator::Recipe& recipe, const simulator::ReplayOptions& options,
           const std::vector<OperandGroup>& groups)
      : graph_(graph), clean_(clean), recipe_(recipe), options_(options), groups_(groups) {}

  [[nodiscard]] Executed run(const simulator::GroupFilter& filter, bool held) const {
    const simulator::RecipeOperands operands(graph_, recipe_, options_,
                                             operands_of(groups_, filter));
    const auto run = simulator::run_forward(graph_, operands, {.held = held ? &clean_ : nullptr});
    Executed out;
    out.kl = simulator::measure_loss(graph_, clean_, run).kl;
    for (const auto& r : simulator::measure_routers(graph_, clean_, run)) {
      out.variance.push_back(square(r.noise_sd));
    }
    return out;
  }

 private:
  const simulator::Graph& graph_;
  const simulator::Forward& clean_;
  const simulator::Recipe& recipe_;
  const simulator::ReplayOptions& options_;
  const std::vector<OperandGroup>& groups_;
};

void rank(Attribution& out) {
  std::vector<double> predicted;
  std::vector<double> measured;
  std::vector<double> only;
  std::vector<double> alone;
  std::vector<double> held;
  std::vector<double> held_predicted;
  std::vector<double> nsr;
  std::vector<double> variance;
  std::vector<double> measured_variance;
  for (const Blame& b : out.blames) {
    predicted.push_back(b.without_kl);
    only.push_back(b.only_kl);
    measured.push_back(b.measured_kl);
    alone.push_back(b.alone_kl);
    held.push_back(b.held_kl);
    held_predicted.push_back(b.held_without_kl);
    nsr.push_back(b.nsr);
    if (b.variance.empty()) continue;
    variance.push_back(b.variance.back());
    measured_variance.push_back(b.measured_variance.back());
  }
  out.tau_kl = kendall_tau(predicted, measured);
  out.naive_tau_kl = kendall_tau(nsr, measured);
  out.alone_tau_kl = kendall_tau(only, alone);
  out.naive_alone_tau_kl = kendall_tau(nsr, alone);
  out.tau_held_kl = kendall_tau(held_predicted, held);
  out.naive_tau_held_kl = kendall_tau(nsr, held);
  if (variance.size() != nsr.size()) return;
  out.tau_router = kendall_tau(variance, measured_variance);
  out.naive_tau_router = kendall_tau(nsr, measured_variance);
}

}  // namespace

double kendall_tau(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) {
    throw std::invalid_argument("Kendall's tau needs two lists of one length.");
  }
  double score = 0;
  double in_a = 0;
  double in_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const int da = (a[i] > a[j]) - (a[i] < a[j]);
      const int db = (b[i] > b[j]) - (b[i] < b[j]);
      score += da * db;
      in_a += da != 0 ? 1 : 0;
      in_b += db != 0 ? 1 : 0;
    }
  }
  return in_a > 0 && in_b > 0 ? score / std::sqrt(in_a * in_b) : 0.0;
}

Attribution attribute(const simulator::Graph& graph, const simulator::Forward& clean,
                      simulator::Predictor& predictor, const simulator::Recipe& recipe,
                      const simulator::ReplayOptions& options, const simulator::GroupFilter& filter,
                      bool measure) {
  Attribution out;
  out.recording = graph.recording;
  out.recipe = recipe.name;
  out.measured = measure;
  const simulator::Prediction p = predictor.with_contributions(recipe, options, filter);
  for (const auto& r : p.routers) out.routers.push_back(r.op);
  for (const auto& c : p.contributions) {
    out.kl += c.kl;
    Blame blame;
    blame.group = c.group;
    blame.nsr = c.nsr;
    blame.kl = c.kl;
    blame.variance = c.variance;
    out.blames.push_back(std::move(blame));
  }
  out.gain_and_flips = p.loss.kl - out.kl;
  std::stable_sort(out.blames.begin(), out.blames.end(),
                   [](const Blame& a, const Blame& b) { return a.kl > b.kl; });
  if (!measure) return out;
  const Executor execute(graph, clean, recipe, options, predictor.responses().groups);
  const Executed whole = execute.run(filter, false);
  const Executed whole_held = execute.run(filter, true);
  out.measured_kl = whole.kl;
  for (Blame& blame : out.blames) {
    const auto others = [&](const OperandGroup& g) {
      return g.name != blame.group && (!filter || filter(g));
    };
    const auto only = [&](const OperandGroup& g) { return g.name == blame.group; };
    const auto predicted = predictor.predict(recipe, options, others).loss;
    blame.without_kl = p.loss.kl - predicted.kl;
    blame.held_without_kl = p.loss.held_kl - predicted.held_kl;
    blame.only_kl = predictor.predict(recipe, options, only).loss.kl;
    const Executed without = execute.run(others, false);
    blame.measured_kl = whole.kl - without.kl;
    blame.held_kl = whole_held.kl - execute.run(others, true).kl;
    blame.alone_kl = execute.run(only, false).kl;
    for (std::size_t r = 0; r < whole.variance.size(); ++r) {
      blame.measured_variance.push_back(whole.variance[r] - without.variance[r]);
    }
  }
  rank(out);
  return out;
}

nlohmann::ordered_json to_json(const Attribution& a) {
  nlohmann::ordered_json blames = nlohmann::ordered_json::array();
  for (const Blame& b : a.blames) {
    nlohmann::ordered_json j{
        {"group", b.group}, {"nsr", b.nsr}, {"kl", b.kl}, {"router_variance", b.variance}};
    if (a.measured) {
      j["measured_kl"] = b.measured_kl;
      j["alone_kl"] = b.alone_kl;
      j["held_kl"] = b.held_kl;
      j["predicted_held_kl"] = b.held_without_kl;
      j["predicted_without_kl"] = b.without_kl;
      j["predicted_alone_kl"] = b.only_kl;
      j["measured_router_variance"] = b.measured_variance;
    }
    blames.push_back(std::move(j));
  }
  nlohmann::ordered_json out{{"schema", "assay-attribution"},
                             {"schema_version", 1},
                             {"recording", a.recording},
                             {"recipe", a.recipe},
                             {"routers", a.routers},
                             {"kl", a.kl},
                             {"gain_and_flips", a.gain_and_flips}};
  if (a.measured) {
    out["measured_kl"] = a.measured_kl;
    out["kendall_tau"] = {{"kl", a.tau_kl},
                          {"naive_kl", a.naive_tau_kl},
                          {"alone_kl", a.alone_tau_kl},
                          {"naive_alone_kl", a.naive_alone_tau_kl},
                          {"held_kl", a.tau_held_kl},
                          {"naive_held_kl", a.naive_tau_held_kl},
                          {"last_router", a.tau_router},
                          {"naive_last_router", a.naive_tau_router}};
  }
  out["groups"] = std::move(blames);
  return out;
}

std::string to_text(const Attribution& a, std::size_t top) {
  std::string text = fmt::format(
      "{} on {}: KL of the final logits {:.5f} from {} groups of operands, {:+.5f} from "
      "flips\n",
      a.recipe, a.recording, a.kl, a.blames.size(), a.gain_and_flips);
  for (std::size_t i = 0; i < std::min(top, a.blames.size()); ++i) {
    const Blame& b = a.blames[i];
    text += fmt::format("  {:40} {:5.1f} %  NSR {:.2e}", b.group, a.kl > 0 ? 100 * b.kl / a.kl : 0,
                        b.nsr);
    if (!b.variance.empty()) text += fmt::format("  last router {:.2e}", b.variance.back());
    if (a.measured) text += fmt::format("  measured KL {:+.2e}", b.measured_kl);
    text += "\n";
  }
  if (a.measured) {
    text += fmt::format(
        "Kendall's tau (in brackets: of ranking by the tensors' NSR): against leaving each group "
        "out, KL "
        "{:.2f} ({:.2f}), with experts held {:.2f} ({:.2f}), last router {:.2f} ({:.2f}); against "
        "each group alone, KL {:.2f} ({:.2f})\n",
        a.tau_kl, a.naive_tau_kl, a.tau_held_kl, a.naive_tau_held_kl, a.tau_router,
        a.naive_tau_router, a.alone_tau_kl, a.naive_alone_tau_kl);
  }
  return text;
}

}  // namespace assay::analysis
