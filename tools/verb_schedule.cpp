// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "analysis/schedule.h"
#include "tools/network_run.h"
#include "tools/outputs.h"
#include "tools/table.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::vector<std::string> recordings;
  std::string recipe;
  analysis::Limits limits;
  int samples = 4;
  std::uint64_t seed = 1;
  Outputs outputs;
};

std::vector<std::string> ids(const simulator::Recording& recording) {
  std::vector<std::string> out;
  for (const auto& op : recording.ops()) out.push_back(op.id);
  return out;
}

/// Of one network, ascending by training step. Throws InputError.
std::vector<simulator::Recording> open_all(const std::vector<std::string>& paths) {
  std::vector<simulator::Recording> recordings;
  for (const std::string& path : paths) recordings.push_back(open_recording(path));
  std::stable_sort(recordings.begin(), recordings.end(), [](const auto& a, const auto& b) {
    return a.header().training_step < b.header().training_step;
  });
  for (std::size_t i = 1; i < recordings.size(); ++i) {
    const auto& before = recordings[i - 1];
    const auto& here = recordings[i];
    if (ids(before) != ids(here)) {
      throw simulator::InputError("recordings " + before.folder().string() + " and " +
                                  here.folder().string() +
                                  " have different ops; a schedule needs steps of one run.");
    }
    if (before.header().training_step == here.header().training_step) {
      throw simulator::InputError("recordings " + before.folder().string() + " and " +
                                  here.folder().string() + " are of the same training step.");
    }
  }
  return recordings;
}

std::string step_text(const std::optional<std::int64_t>& step) {
  return step ? fmt::format("step {}", *step) : "never here";
}

void print(const analysis::SchedulePlan& plan) {
  std::vector<std::vector<std::string>> rows{
      {"part", "step", "flips", "median margin", "noise", "loss change", "KL", "allowed"}};
  for (const auto& part : plan.parts) {
    for (const auto& m : part.moments) {
      rows.push_back({part.name, std::to_string(m.step), fmt::format("{:.1f} %", 100 * m.flips),
                      fmt::format("{:.4f}", m.median_margin), fmt::format("{:.4f}", m.noise_sd),
                      fmt::format("{:+.4f} +- {:.4f}", m.loss_change, m.uncertainty),
                      fmt::format("{:.5f}", m.kl), m.allowed ? "yes" : "no"});
    }
  }
  fmt::print("{}, predicted; allowed: flips <= {:.1f} %, loss change + uncertainty <= {}\n{}",
             plan.recipe, 100 * plan.limits.flips, plan.limits.loss, table(rows));
  for (const auto& order : plan.orders) {
    std::string text;
    for (const auto& [part, step] : order.switches) {
      text += (text.empty() ? "" : ", then ") + part + " " + step_text(step);
    }
    fmt::print("{}: {}\n", order.name, text);
  }
}

void print_use(const analysis::SchedulePlan& plan) {
  std::vector<std::vector<std::string>> rows{
      {"router", "step", "effective experts", "idle", "largest load"}};
  std::string alarms;
  for (const auto& [step, routers] : plan.use) {
    for (const auto& u : routers) {
      rows.push_back({u.op, std::to_string(step),
                      fmt::format("{:.2f} of {}", u.effective, u.load.size()),
                      std::to_string(u.idle), fmt::format("{:.2f}", u.largest)});
      for (const auto& a : u.alarms)
        alarms += fmt::format("alarm: step {} {}: {}\n", step, u.op, a);
    }
  }
  fmt::print("{}{}", table(rows), alarms);
}

ExitCode run(const Options& options) {
  const simulator::Recipe recipe = simulator::load_recipe(options.recipe);
  options.outputs.require_writable();
  const auto recordings = open_all(options.recordings);
  analysis::SchedulePlan plan;
  plan.recipe = recipe.name;
  plan.limits = options.limits;
  for (const auto& recording : recordings) {
    NetworkRun network(recording, {.seed = options.seed});
    network.prepare(options.samples);
    plan.use.emplace_back(
        network.graph().training_step,
        simulator::utilisation(
            network.graph(), network.clean(),
            plan.use.empty() ? std::vector<simulator::Utilisation>() : plan.use.back().second));
    auto& predictor = network.predictor();
    const auto whole = predictor.predict(recipe, network.options());
    if (plan.parts.empty()) {
      std::set<simulator::TensorClass> classes;
      for (const auto& o : whole.operands) {
        classes.insert(network.graph().nodes[o.node].tensor_class);
      }
      if (classes.empty()) {
        fmt::print(stderr, "assay schedule: recipe {} quantizes nothing here.\n", recipe.name);
        return ExitCode::nothing_ran;
      }
      for (const auto c : classes) plan.parts.push_back({std::string(simulator::name(c)), {}, {}});
      plan.parts.push_back({"all", {}, {}});
    }
    for (auto& part : plan.parts) {
      const auto filter = [&](const simulator::OperandGroup& g) {
        return part.name == "all" || simulator::name(g.tensor_class) == part.name;
      };
      part.moments.push_back(
          analysis::moment_of(network.graph(), network.clean(),
                              predictor.predict(recipe, network.options(), filter), plan.limits));
    }
  }
  analysis::finish(plan);
  options.outputs.write_json(analysis::to_json(plan));
  if (options.outputs.to_stdout()) return ExitCode::pass;
  print(plan);
  print_use(plan);
  return ExitCode::pass;
}

}  // namespace

Action declare_schedule(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RECORDING", options->recordings, "recordings of one run at several steps")
      ->required();
  app.add_option("--recipe", options->recipe, "a recipe's name or file")->required()->expected(1);
  app.add_option("--max-flips", options->limits.flips,
                 "largest share of tokens that any router may send elsewhere (default 0.05)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--max-loss", options->limits.loss, "largest loss change, nats (default 0.01)");
  app.add_option("--samples", options->samples, "noise samples per group (default 4)")
      ->check(CLI::Range(1, 64));
  app.add_option("--seed", options->seed, "of the noise (default 1)");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
