// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "analysis/package.h"
#include "proptests/batch_json.h"
#include "tools/device_choice.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string folder;
  DeviceChoice device;
  bool all = false;
};

/// The first batch of every property again, or every batch, compared with the journal's.
void rerun(proptests::Device& device, bool all, analysis::PackageFindings& found) {
  const proptests::RunPlan& plan = found.journal.plan;
  if (proptests::claims_json(device.claims()) != plan.claims)
    found.wrong.emplace_back("the device claims something else than the package says");
  for (const proptests::Property& property : proptests::catalogue()) {
    const auto first = found.journal.results.lower_bound({property.id, 0});
    if (first == found.journal.results.end() || first->first.first != property.id) continue;
    const proptests::CaseRunner runner(property, device, plan.seed, plan.entry);
    if (!runner.applicable()) {
      found.wrong.push_back(property.id + " is about nothing that the device claims");
      continue;
    }
    proptests::BatchOptions options;
    options.seed = plan.seed;
    options.target = plan.target;
    options.entry = plan.entry;
    if (std::find(plan.flaky.begin(), plan.flaky.end(), property.id) != plan.flaky.end())
      options.retries = plan.retries;
    for (auto kept = first; kept != found.journal.results.end() && kept->first.first == property.id;
         ++kept) {
      proptests::BatchResult before = kept->second;
      proptests::BatchResult now = proptests::run_batch(runner, before.range, options);
      before.seconds = now.seconds = 0;
      if (proptests::line_of(to_json(before)) != proptests::line_of(to_json(now))) {
        found.wrong.push_back(property.id + " answers otherwise when it is run again");
        break;
      }
      if (!all) break;
    }
  }
}

ExitCode run(const Options& options) {
  if (options.all && options.device.target.empty())
    throw std::invalid_argument("--all says how much to run again: give --rerun DEVICE as well");
  analysis::PackageFindings found = analysis::verify_package(options.folder);
  if (!options.device.target.empty() && !found.report.certifications.empty()) {
    std::string reason;
    const auto devices = open_devices(options.device, 1, reason);
    if (devices.empty()) {
      fmt::print(stderr, "assay: {}\n", reason);
      return ExitCode::absent;
    }
    rerun(*devices.front(), options.all, found);
  }
  for (const std::string& sentence : found.wrong) fmt::print("wrong: {}\n", sentence);
  if (!found.report.certifications.empty())
    fmt::print("{}", totals(found.report.certifications.front()));
  fmt::print("{}\n", found.wrong.empty() ? "verified" : "not verified");
  return found.wrong.empty() ? ExitCode::pass : ExitCode::fail;
}

}  // namespace

Action declare_verify_package(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("DIR", options->folder, "what assay certify --package wrote")->required();
  app.add_option("--rerun", options->device.target,
                 "run the first batch (up to 4 cases) of every property again on this device");
  app.add_flag("--all", options->all, "with --rerun: every case that the package holds");
  options->device.declare(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
