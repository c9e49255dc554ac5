// SPDX-License-Identifier: Apache-2.0
#pragma once
// The options of `assay certify`, and what they make: a plan, and the policy that names its
// verdicts.

#include <CLI/App.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/report.h"
#include "proptests/certify.h"
#include "proptests/policy.h"
#include "tools/device_choice.h"
#include "tools/outputs.h"

namespace assay::tools {

/// Known failures and the day on which waivers are judged: certify and report take them alike.
struct PolicyOptions {
  std::string baseline, waivers, today;

  void declare(CLI::App& app);
  [[nodiscard]] proptests::Policy read() const;
};

struct CertifyOptions {
  DeviceChoice device;
  std::string profile, entry, property, token;
  std::int64_t cases = 1000;
  std::uint64_t seed = 1;
  int jobs = 1;
  std::string shard = "1/1";
  std::optional<double> time_budget;
  std::int64_t max_failures = 0;
  std::string journal;
  bool resume = false;
  PolicyOptions policy;
  std::string skips, flakes;
  std::string package, save;
  bool verbose = false;
  Outputs outputs;

  void declare(CLI::App& app);
  /// Where the run is written down: a package needs a journal, named or not. Empty: nowhere.
  [[nodiscard]] std::string journal_path() const;
  /// Throws std::invalid_argument for options that contradict each other.
  void require_consistent() const;
};

/// The command that repeats the run: what decides its cases, and nothing else.
[[nodiscard]] std::string command_of(const CertifyOptions& options);

/// The properties that the options select.
[[nodiscard]] std::vector<proptests::Property> properties_of(const CertifyOptions& options);
[[nodiscard]] proptests::RunPlan plan_of(const CertifyOptions& options,
                                         const std::vector<proptests::Property>& properties,
                                         const proptests::Device& device);

/// Counterexamples as files; nothing where no folder was asked for. `device` says what it claims
/// and is not called.
void save_counterexamples(const CertifyOptions& options,
                          const std::vector<proptests::Property>& properties,
                          proptests::Device& device, const analysis::Report& report);

/// The one case that options.token names; the plan becomes that of one case.
[[nodiscard]] proptests::Results replay(const CertifyOptions& options,
                                        const proptests::Property& property,
                                        proptests::Device& device, proptests::RunPlan& plan);

}  // namespace assay::tools
