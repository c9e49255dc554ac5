// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "analysis/ablation.h"
#include "tools/network_run.h"
#include "tools/outputs.h"
#include "tools/table.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string recording;
  std::vector<std::string> classes{"attention", "expert", "dense"};
  int samples = 4;
  std::uint64_t seed = 1;
  Outputs outputs;
};

ExitCode run(const Options& options) {
  std::vector<simulator::TensorClass> classes;
  for (const std::string& c : options.classes) classes.push_back(simulator::tensor_class(c));
  options.outputs.require_writable();
  const simulator::Recording recording = open_recording(options.recording);
  NetworkRun network(recording, {.seed = options.seed});
  network.prepare(options.samples);
  const auto rows =
      analysis::ablate(network.graph(), network.predictor(), classes, network.options());
  if (rows.empty()) {
    fmt::print(stderr, "assay ablate: the recording has no linear of the classes asked for.\n");
    return ExitCode::nothing_ran;
  }
  options.outputs.write_json(analysis::to_json(rows));
  if (options.outputs.to_stdout()) return ExitCode::pass;
  std::vector<std::vector<std::string>> cells{{"class", "format", "block", "1 - gain", "NSR",
                                               "NSR over phase", "KL", "loss change", "flips",
                                               "last router"}};
  for (const auto& r : rows) {
    cells.push_back({std::string(simulator::name(r.tensor_class)), r.format, r.block,
                     fmt::format("{:.2f} %", 100 * (1 - r.gain)), fmt::format("{:.3e}", r.nsr),
                     r.phase_low == r.phase_high
                         ? "-"
                         : fmt::format("{:.3e} .. {:.3e}", r.phase_low, r.phase_high),
                     fmt::format("{:.5f}", r.kl),
                     fmt::format("{:+.4f} +- {:.4f}", r.loss_change, r.loss_uncertainty),
                     fmt::format("{:.1f} %", 100 * r.flips), fmt::format("{:.4f}", r.noise_sd)});
  }
  fmt::print("weights only, predicted, on {} step {}\n{}", network.graph().recording,
             network.graph().training_step, table(cells));
  return ExitCode::pass;
}

}  // namespace

Action declare_ablate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RECORDING", options->recording, "a recording's folder, or `embedded`")
      ->required();
  app.add_option("--class", options->classes, "attention, expert or dense (default: all)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--samples", options->samples, "noise samples per group (default 4)")
      ->check(CLI::Range(1, 64));
  app.add_option("--seed", options->seed, "of the noise (default 1)");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
