// SPDX-License-Identifier: Apache-2.0
#include "tools/certify_options.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <stdexcept>

#include "proptests/profiles.h"
#include "proptests/saved_case.h"
#include "tools/environment.h"

namespace assay::tools {

namespace {

/// How often a failed case of a flaky property is asked again.
constexpr std::int64_t flake_retries = 2;

std::string clock_day() { return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr))); }

}  // namespace

void PolicyOptions::declare(CLI::App& app) {
  app.add_option("--baseline", baseline, "ids of properties that are known to fail, one a line")
      ->type_name("FILE");
  app.add_option("--waivers", waivers,
                 "JSON: failures that are accepted, with reason, reference and expiry")
      ->type_name("FILE");
  app.add_option("--today", today, "the day to judge waivers on, YYYY-MM-DD (default: the clock's)")
      ->type_name("DAY");
}

proptests::Policy PolicyOptions::read() const {
  proptests::Policy policy;
  policy.today = today.empty() ? clock_day() : today;
  proptests::require_day(policy.today, "--today");
  if (!baseline.empty()) policy.baseline = proptests::read_baseline(baseline);
  if (!waivers.empty()) policy.waivers = proptests::read_waivers(waivers);
  return policy;
}

void CertifyOptions::declare(CLI::App& app) {
  app.add_option(
         "DEVICE", device.target,
         "cpu, cuda: the kernels of this tree; PLUGIN.so; SCRIPT.py; mutants.ID: one that is "
         "wrong on purpose")
      ->required();
  app.add_option("--profile", profile, "only the properties of this frozen list");
  app.add_option("--entry", entry, "only this entry of the device");
  app.add_option("--property", property,
                 "only this property, or those whose id begins with this up to a dot");
  app.add_option("--cases", cases, "cases of each property (default 1000)");
  app.add_option("--seed", seed, "of the cases (default 1)");
  app.add_option("--case", token, "replay one case: the token of a failure");
  app.add_option("--jobs", jobs, "instances of the device that work at once (default 1)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--shard", shard, "i/n: only the i-th of n shares of the run; assay report merges")
      ->type_name("i/n");
  app.add_option("--time-budget", time_budget,
                 "stop after so many seconds; what is unfinished is called so")
      ->check(CLI::PositiveNumber);
  app.add_option("--max-failures", max_failures,
                 "stop when so many properties have failed (default 0: never); with --jobs above 1 "
                 "batches that are under way then still end and count")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--journal", journal, "keep what was found, batch by batch, in FILE")
      ->type_name("FILE");
  app.add_flag("--resume", resume, "go on with the journal of a run that was interrupted");
  policy.declare(app);
  app.add_option("--skips", skips, "regular expressions of ids that are not to run, one a line")
      ->type_name("FILE");
  app.add_option("--flakes", flakes,
                 "regular expressions of ids whose failed cases are asked again, one a line")
      ->type_name("FILE");
  app.add_option("--package", package,
                 "write the evidence that verify-package checks to DIR; the journal of an "
                 "interrupted run is DIR.journal unless --journal says otherwise")
      ->type_name("DIR");
  app.add_option("--save", save,
                 "write the operands of every counterexample to DIR/PROPERTY: case.json and .npy")
      ->type_name("DIR");
  device.declare(app);
  app.add_flag("-v,--verbose", verbose, "a line for every property, and every failure in full");
  outputs.declare_json(app);
  outputs.declare_html(app);
  outputs.declare_junit(app);
  outputs.declare_markdown(app);
}

std::string CertifyOptions::journal_path() const {
  return journal.empty() && !package.empty() ? package + ".journal" : journal;
}

void CertifyOptions::require_consistent() const {
  if (cases < 1) throw std::invalid_argument("--cases must be at least 1");
  if (resume && journal_path().empty())
    throw std::invalid_argument("--resume needs the --journal of the run that it goes on with");
  if (!package.empty() && proptests::parse_shard(shard).count != 1)
    throw std::invalid_argument("--package is of a whole run, and this one is a shard of it");
  if (!package.empty() && !token.empty())
    throw std::invalid_argument("--package is of a whole run, and --case replays one case");
  if (!package.empty() && std::filesystem::exists(package))
    throw std::invalid_argument(package + " exists; give another --package");
  if (!token.empty() && !journal.empty())
    throw std::invalid_argument("--case replays one case and takes no --journal");
}

std::string command_of(const CertifyOptions& options) {
  std::string text = fmt::format("assay certify {} --cases {} --seed {}", options.device.target,
                                 options.cases, options.seed);
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format(" {} {}", name, value);
  };
  add("--profile", options.profile);
  add("--entry", options.entry);
  add("--property", options.property);
  add("--case", options.token);
  add("--skips", options.skips);
  add("--flakes", options.flakes);
  return text;
}

std::vector<proptests::Property> properties_of(const CertifyOptions& options) {
  proptests::Selection selection;
  selection.property = options.property;
  if (!options.profile.empty())
    for (const std::string_view id : proptests::find_profile(options.profile).ids)
      selection.ids.emplace_back(id);
  return proptests::select(selection);
}

proptests::RunPlan plan_of(const CertifyOptions& options,
                           const std::vector<proptests::Property>& properties,
                           const proptests::Device& device) {
  proptests::RunPlan plan = proptests::plan_for(properties, device, options.entry);
  const analysis::Environment build = environment(command_of(options));
  plan.version = build.version;
  plan.commit = build.commit;
  plan.compiler = build.compiler;
  plan.cuda_headers = build.cuda_headers;
  plan.command = build.command;
  plan.target = options.device.target;
  plan.seed = options.seed;
  plan.cases = options.cases;
  plan.profile = options.profile;
  if (!options.profile.empty())
    plan.profile_hash = proptests::hash_of(proptests::find_profile(options.profile));
  if (!options.skips.empty()) {
    const proptests::IdPatterns skips{std::filesystem::path(options.skips)};
    for (proptests::PlannedProperty& p : plan.properties)
      if (skips.match(p.id)) p.skip = "in the list of skips";
  }
  if (!options.flakes.empty()) {
    const proptests::IdPatterns flakes{std::filesystem::path(options.flakes)};
    plan.retries = flake_retries;
    for (const proptests::PlannedProperty& p : plan.properties)
      if (flakes.match(p.id)) plan.flaky.push_back(p.id);
  }
  return plan;
}

void save_counterexamples(const CertifyOptions& options,
                          const std::vector<proptests::Property>& properties,
                          proptests::Device& device, const analysis::Report& report) {
  if (options.save.empty()) return;
  for (const proptests::Verdict& verdict : report.certifications.front().verdicts) {
    if (!verdict.counterexample) continue;
    const auto property =
        std::find_if(properties.begin(), properties.end(),
                     [&](const proptests::Property& p) { return p.id == verdict.property; });
    if (property == properties.end()) continue;
    const proptests::CaseRunner runner(*property, device, options.seed, options.entry);
    proptests::save_case(options.save, runner, verdict);
  }
}

proptests::Results replay(const CertifyOptions& options, const proptests::Property& property,
                          proptests::Device& device, proptests::RunPlan& plan) {
  proptests::Results results;
  plan.cases = 1;
  const proptests::CaseRunner runner(property, device, options.seed, options.entry);
  if (!runner.applicable()) return results;
  proptests::BatchOptions batch;
  batch.seed = options.seed;
  batch.target = options.device.target;
  batch.entry = options.entry;
  proptests::BatchResult result = proptests::replay_case(runner, options.token, batch);
  const auto key = std::pair(result.property, result.range.first);
  results.emplace(key, std::move(result));
  return results;
}

}  // namespace assay::tools
