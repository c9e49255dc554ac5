// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/report.h"
#include "simulator/recipe.h"
#include "simulator/recording.h"
#include "simulator/replay.h"
#include "tools/environment.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/replay_text.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string recording;
  std::vector<std::string> recipes;
  std::uint64_t seed = 1;
  Outputs outputs;
};

std::string command_of(const Options& options) {
  std::string text = "assay replay " + options.recording;
  for (const std::string& recipe : options.recipes) text += " --recipe " + recipe;
  return text + fmt::format(" --seed {}", options.seed);
}

ExitCode run(const Options& options) {
  const std::filesystem::path folder = options.recording == "embedded"
                                           ? simulator::default_recording()
                                           : std::filesystem::path(options.recording);
  std::vector<simulator::Recipe> recipes;  // all names are checked before the first long run
  for (const std::string& name : options.recipes) recipes.push_back(simulator::load_recipe(name));
  options.outputs.require_writable();
  const simulator::Recording recording = simulator::Recording::open(folder);
  analysis::Report report;
  report.environment = environment(command_of(options));
  report.seed = options.seed;
  {
    Progress progress("replay", static_cast<std::int64_t>(recipes.size()));
    for (simulator::Recipe& recipe : recipes) {
      simulator::ReplayResult result = simulator::replay(recording, recipe, {.seed = options.seed});
      report.replays.push_back({std::move(recipe), std::move(result)});
      progress.advance(1);
    }
  }
  options.outputs.write_json(analysis::to_json(report));
  options.outputs.write_html([&] { return analysis::to_html(report); });
  if (!options.outputs.to_stdout()) fmt::print("{}", replay_text(report));
  for (const analysis::Replayed& replayed : report.replays)
    if (!replayed.result.linears.empty()) return ExitCode::pass;
  return ExitCode::nothing_ran;
}

}  // namespace

Action declare_replay(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option(
         "RECORDING", options->recording,
         "a folder with recording.json, or 'embedded' for the recording that ships with assay")
      ->required();
  std::string known;
  for (const std::string_view name : simulator::recipe_names()) known += fmt::format(" {}", name);
  app.add_option("--recipe", options->recipes,
                 "a recipe by name or a JSON file; give it several times to compare:" + known)
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--seed", options->seed, "of stochastic rounding (default 1)");
  options->outputs.declare_json(app);
  options->outputs.declare_html(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
