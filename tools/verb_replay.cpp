// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/report.h"
#include "simulator/recipe.h"
#include "simulator/recording.h"
#include "simulator/replay.h"
#include "tools/environment.h"
#include "tools/network_replay.h"
#include "tools/operand_run.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/replay_text.h"
#include "tools/verb.h"
#include "tools/verify_recording.h"

namespace assay::tools {
namespace {

struct Options {
  std::string recording;
  std::vector<std::string> recipes;
  std::uint64_t seed = 1;
  std::int64_t step = std::numeric_limits<std::int64_t>::max();
  bool predict = false, measure = false, both = false;
  bool operands = false, resume = false, verify = false;
  std::string journal;
  int worst = 5;
  int samples = 4;
  std::string arithmetic = "exact";
  double learning_rate = 1e-3;
  int jobs = 0;  // one for each core
  Outputs outputs;
  [[nodiscard]] bool network() const { return predict || measure || both; }
};

std::string command_of(const Options& options) {
  std::string text = "assay replay " + options.recording;
  for (const std::string& recipe : options.recipes) text += " --recipe " + recipe;
  if (options.both) text += " --both";
  if (options.predict) text += " --predict";
  if (options.measure) text += " --measure";
  if (options.arithmetic != "exact") text += " --arithmetic " + options.arithmetic;
  if (options.operands) text += " --operands";
  const Options defaults;
  if (options.samples != defaults.samples) text += fmt::format(" --samples {}", options.samples);
  if (options.learning_rate != defaults.learning_rate)
    text += fmt::format(" --learning-rate {}", options.learning_rate);
  if (options.step != defaults.step) text += fmt::format(" --step {}", options.step);
  return text + fmt::format(" --seed {}", options.seed);
}

/// The recording executed as a whole, from its tokens.
ExitCode run_network(const Options& options, const std::filesystem::path& folder,
                     const std::vector<simulator::Recipe>& recipes) {
  analysis::Report report;
  report.environment = environment(command_of(options));
  report.seed = options.seed;
  NetworkReplay replay;
  replay.recording = folder;
  replay.recipes = recipes;
  for (const std::string& name : options.recipes)
    replay.recipe_texts.push_back(simulator::recipe_text(name));
  replay.options.seed = options.seed;
  replay.options.step = options.step;
  replay.extra.products =
      options.arithmetic == "recipe" ? simulator::Products::recipe : simulator::Products::exact;
  replay.extra.learning_rate = options.learning_rate;
  replay.predict = options.predict || options.both;
  replay.measure = options.measure || options.both;
  replay.samples = options.samples;
  replay.at_once = options.jobs;
  replay.journal = options.journal;
  replay.resume = options.resume;
  replay.program = report.environment.version + " " + report.environment.commit;
  report.network = replay_network(replay);
  options.outputs.write_json(analysis::to_json(report));
  options.outputs.write_html([&] { return analysis::to_html(report); });
  if (!options.outputs.to_stdout()) fmt::print("{}", analysis::to_text(*report.network));
  return ExitCode::pass;
}

/// Every tensor by itself, streamed.
ExitCode run_streamed(const Options& options, const std::filesystem::path& path,
                      const std::vector<simulator::Recipe>& recipes) {
  OperandRun operands{path, recipes, {}, {}, options.journal, options.resume, ""};
  for (const std::string& name : options.recipes)
    operands.recipe_texts.push_back(simulator::recipe_text(name));
  operands.options.seed = options.seed;
  operands.options.step = options.step;
  analysis::Report report;
  report.environment = environment(command_of(options));
  report.seed = options.seed;
  operands.program = report.environment.version + " " + report.environment.commit;
  report.replays = run_operands(operands);
  options.outputs.write_json(analysis::to_json(report));
  options.outputs.write_html([&] { return analysis::to_html(report); });
  if (!options.outputs.to_stdout()) fmt::print("{}", operand_text(report.replays, options.worst));
  for (const analysis::Replayed& replayed : report.replays)
    if (!replayed.result.tensors.empty()) return ExitCode::pass;
  return ExitCode::nothing_ran;
}

void require_agreement(const Options& options, const std::filesystem::path& path) {
  if (options.operands && options.network())
    throw std::invalid_argument(
        "--operands looks at tensors by themselves; leave --predict, --measure and --both out");
  if (!options.operands && !options.network() && (options.resume || !options.journal.empty()))
    throw std::invalid_argument(
        "--journal and --resume go with --operands, --predict, --measure or --both");
  if (options.resume && options.journal.empty())
    throw std::invalid_argument("--resume needs the --journal of the run that it goes on with");
  std::error_code error;
  if (!options.operands && std::filesystem::is_regular_file(path, error))
    throw std::invalid_argument(fmt::format(
        "'{}' is a file; a recording is a folder, and the tensors of a checkpoint are replayed by "
        "themselves with --operands",
        path.string()));
}

ExitCode run(const Options& options) {
  const std::filesystem::path folder = options.recording == "embedded"
                                           ? simulator::default_recording()
                                           : std::filesystem::path(options.recording);
  std::vector<simulator::Recipe> recipes;  // all names are checked before the first long run
  for (const std::string& name : options.recipes) recipes.push_back(simulator::load_recipe(name));
  require_agreement(options, folder);
  options.outputs.require_writable();
  if (options.verify) verify_files(simulator::Recording::open(folder));
  if (options.operands) return run_streamed(options, folder, recipes);
  if (options.network()) return run_network(options, folder, recipes);
  const simulator::Recording recording = simulator::Recording::open(folder);
  analysis::Report report;
  report.environment = environment(command_of(options));
  report.seed = options.seed;
  {
    Progress progress("replay", static_cast<std::int64_t>(recipes.size()));
    for (simulator::Recipe& recipe : recipes) {
      simulator::ReplayResult result =
          simulator::replay(recording, recipe, {.seed = options.seed, .step = options.step});
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
  app.add_option("RECORDING", options->recording,
                 "a folder with recording.json, or 'embedded' for the recording that ships with "
                 "assay; with "
                 "--operands also a safetensors file or folder, or a GGUF file")
      ->required();
  std::string known;
  for (const std::string_view name : simulator::recipe_names()) known += fmt::format(" {}", name);
  app.add_option("--recipe", options->recipes,
                 "a recipe by name or a JSON file; give it several times to compare:" + known)
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--predict", options->predict,
               "predict the whole network under each recipe, executing nothing under it");
  app.add_flag("--measure", options->measure,
               "execute the whole network under each recipe, from the tokens");
  app.add_flag("--both", options->both, "predict and measure, and compare");
  app.add_flag("--operands", options->operands,
               "what each recipe does to every tensor by itself, streamed: no product, nothing "
               "propagated");
  app.add_option("--worst", options->worst,
                 "with --operands: tensors of largest error to list for each recipe (default 5)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--journal", options->journal,
                 "with --operands, --predict, --measure or --both: keep what was found in FILE, "
                 "tensor by tensor or recipe by recipe")
      ->type_name("FILE");
  app.add_flag("--resume", options->resume, "go on with the journal of a run that was interrupted");
  app.add_flag("--verify", options->verify,
               "first hold the recording's files against the hashes that its recorder wrote");
  app.add_option("--samples", options->samples,
                 "noise samples per group of operands behind a prediction (default 4)")
      ->check(CLI::Range(1, 64));
  app.add_option("--jobs", options->jobs,
                 "recipes that are measured at once, each on one core and in memory of its own "
                 "(default: one for each core)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--arithmetic", options->arithmetic,
                 "of measured products: exact (in double, default) or recipe (the recipe's "
                 "accumulators, outputs rounded)")
      ->check(CLI::IsMember({"exact", "recipe"}));
  app.add_option("--learning-rate", options->learning_rate,
                 "of the updates estimated from measured gradients (default 1e-3)")
      ->check(CLI::PositiveNumber);
  app.add_option("--step", options->step, "of the recipes' schedules (default: all of it applies)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", options->seed, "of stochastic rounding (default 1)");
  options->outputs.declare_json(app);
  options->outputs.declare_html(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
