// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "analysis/attribution.h"
#include "tools/network_run.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string recording, recipe;
  std::vector<std::string> without;
  bool measure = false, by_expert = false;
  int samples = 4;
  std::size_t top = 12;
  std::uint64_t seed = 1;
  Outputs outputs;
};

ExitCode run(const Options& options) {
  const simulator::Recipe recipe = simulator::load_recipe(options.recipe);
  options.outputs.require_writable();
  const simulator::Recording recording = open_recording(options.recording);
  NetworkRun network(recording, {.seed = options.seed});
  network.prepare(options.samples, options.by_expert ? simulator::Grouping::by_expert
                                                     : simulator::Grouping::by_name);
  for (const std::string& part : options.without) {
    bool found = false;
    for (const auto& g : network.predictor().responses().groups) {
      found = found || g.name.find(part) != std::string::npos;
    }
    if (!found) {
      throw simulator::InputError("--without \"" + part +
                                  "\" is part of no group's name; assay attribute without it lists "
                                  "them.");
    }
  }
  const auto filter = [&](const simulator::OperandGroup& g) {
    for (const std::string& part : options.without) {
      if (g.name.find(part) != std::string::npos) return false;
    }
    return true;
  };
  const analysis::Attribution a =
      analysis::attribute(network.graph(), network.clean(), network.predictor(), recipe,
                          network.options(), filter, options.measure);
  if (a.blames.empty()) {
    fmt::print(stderr, "assay attribute: recipe {} quantizes nothing here.\n", recipe.name);
    return ExitCode::nothing_ran;
  }
  options.outputs.write_json(analysis::to_json(a));
  if (!options.outputs.to_stdout()) fmt::print("{}", analysis::to_text(a, options.top));
  return ExitCode::pass;
}

}  // namespace

Action declare_attribute(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RECORDING", options->recording, "a recording's folder, or `embedded`")
      ->required();
  app.add_option("--recipe", options->recipe, "a recipe's name or file")->required();
  app.add_option("--without", options->without,
                 "what if groups with this in their name stayed in high precision")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--measure", options->measure, "also measure: leave each group out, one by one");
  app.add_flag("--by-expert", options->by_expert,
               "the operands of each expert are a group of their own, all its linears together");
  app.add_option("--top", options->top, "groups to print (default 12)");
  app.add_option("--samples", options->samples, "noise samples per group (default 4)")
      ->check(CLI::Range(1, 64));
  app.add_option("--seed", options->seed, "of the noise and of stochastic rounding (default 1)");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
