// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/certify_options.h"
#include "tools/certify_result.h"
#include "tools/progress.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using proptests::Results;
using proptests::RunPlan;

const proptests::Property& only(const std::vector<proptests::Property>& properties) {
  if (properties.size() != 1)
    throw std::invalid_argument("--case needs --property with the id of one property");
  return properties.front();
}

Results carry_out(const CertifyOptions& options, const std::vector<proptests::Property>& properties,
                  const std::vector<std::unique_ptr<proptests::Device>>& devices,
                  const RunPlan& plan) {
  std::vector<proptests::Device*> workers;
  for (const auto& device : devices) workers.push_back(device.get());
  proptests::RunControl control;
  control.devices = workers;
  control.shard = proptests::parse_shard(options.shard);
  if (options.time_budget)
    control.time_budget = std::chrono::duration<double>(*options.time_budget);
  control.max_failures = options.max_failures;
  Results results;
  std::optional<proptests::Journal> journal;
  if (const std::string path = options.journal_path(); !path.empty()) {
    if (options.resume)
      journal.emplace(path, plan, control.shard, results);
    else
      journal.emplace(path, plan, control.shard);
    control.journal = &*journal;
  }
  Progress progress("certify", static_cast<std::int64_t>(units_of(plan, control.shard).size()));
  progress.advance(static_cast<std::int64_t>(results.size()));
  control.on_batch = [&progress](const proptests::BatchResult&) { progress.advance(1); };
  proptests::carry_out(plan, properties, control, results);
  return results;
}

ExitCode run(const CertifyOptions& options) {
  options.require_consistent();
  const proptests::Policy policy = options.policy.read();
  const std::vector<proptests::Property> properties = properties_of(options);
  std::string reason;
  const auto devices = open_devices(options.device, options.jobs, reason);
  if (devices.empty()) {
    fmt::print(stderr, "assay: {}\n", reason);
    return ExitCode::absent;
  }
  options.outputs.require_writable();
  RunPlan plan = plan_of(options, properties, *devices.front());
  const Results results = options.token.empty()
                              ? carry_out(options, properties, devices, plan)
                              : replay(options, only(properties), *devices.front(), plan);
  const analysis::Report report = analysis::report_of(plan, results, policy);
  const ExitCode code = publish(report, options.outputs, options.verbose);
  save_counterexamples(options, properties, *devices.front(), report);
  if (!options.package.empty()) {
    analysis::write_package(options.package, options.journal_path(), policy);
    // The package holds a copy; a journal that was asked for stays.
    if (options.journal.empty()) std::filesystem::remove(options.journal_path());
  }
  return code;
}

}  // namespace

Action declare_certify(CLI::App& app) {
  auto options = std::make_shared<CertifyOptions>();
  options->declare(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools
