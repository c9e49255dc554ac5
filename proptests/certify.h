// SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs the catalogue against a device. The same device, options and build give the same report,
// whatever the number of threads, workers and shards, and however often the run was interrupted:
// a report is the sum of batches (batch.h), each of which depends on nothing around it.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proptests/journal.h"
#include "proptests/property.h"
#include "proptests/run_plan.h"
#include "proptests/verdict.h"

namespace assay::proptests {

struct CertifyOptions {
  std::string property;       ///< an id, or a prefix of ids that ends at a dot; empty: all
  std::int64_t cases = 1000;  ///< per property; positive
  std::uint64_t seed = 1;
  std::int64_t shrink_trials = 4000;  ///< simpler cases to try on a failure; 0: report it as found
  std::string token;                  ///< replay this one case (needs exactly one property)
  std::string target;  ///< how the command line names the device, for the replay line
  std::string entry;   ///< only claims of this name; empty: all
  /// Called after each property (progress); may be empty.
  std::function<void(const Verdict&)> on_verdict;
  /// Called with every batch that ran, its trials and rulings; may be empty.
  BatchObserver on_batch;
  bool diagnose = true;  ///< say what is probably wrong with a kernel that fails
};

struct Report {
  std::string device;
  std::uint64_t seed = 0;
  std::int64_t cases_per_property = 0;
  std::vector<Verdict> verdicts;
  std::string entry = {}, profile = {}, profile_hash = {};
  std::string claims = {};  ///< of the device, as JSON
  std::string today = {};   ///< the day that waivers were judged on; empty: there were none
  std::vector<double> seconds = {};  ///< of each verdict; measured, so not part of the result

  [[nodiscard]] std::int64_t count(Status status) const;
  [[nodiscard]] std::int64_t cases() const;
  /// Properties that ran fewer cases than they should have, without having failed.
  [[nodiscard]] std::int64_t unfinished() const;
};

/// Which properties of the catalogue run. Throws std::invalid_argument for a filter or an id that
/// matches none.
struct Selection {
  std::string property;          ///< as in CertifyOptions
  std::vector<std::string> ids;  ///< of a profile; empty: all
};
[[nodiscard]] std::vector<Property> select(const Selection& selection);

/// The part of a plan that the device and the properties decide.
[[nodiscard]] RunPlan plan_for(std::span<const Property> properties, const Device& device,
                               const std::string& entry);

/// How a plan is carried out. None of it changes what a finished run reports.
struct RunControl {
  std::span<Device* const> devices;  ///< a worker for each; all instances of one device
  Shard shard;
  std::optional<std::chrono::duration<double>> time_budget;
  std::int64_t max_failures = 0;  ///< stop when so many properties have failed; 0: never
  std::int64_t shrink_trials = 4000;
  bool diagnose = true;
  Journal* journal = nullptr;
  /// Called for each batch and each finished property, one call at a time; may be empty.
  std::function<void(const BatchResult&)> on_batch;
  std::function<void(const Verdict&)> on_verdict;
  BatchObserver observe;
};
/// Adds to `done` what is missing there. `properties` are those of the plan, in its order.
void carry_out(const RunPlan& plan, std::span<const Property> properties, const RunControl& control,
               Results& done);

/// The verdict on one property of a plan from the batches that ran.
[[nodiscard]] Verdict verdict_of(const RunPlan& plan, const PlannedProperty& property,
                                 const Results& results);
[[nodiscard]] Report report_of(const RunPlan& plan, const Results& results);

/// Plan, run and report in one, on one device. Throws std::invalid_argument for a filter that
/// matches no property, a token that is not one of ours, and fewer than one case.
[[nodiscard]] Report run_certification(Device& device, const CertifyOptions& options);
/// One property; never throws for what a device or a property does: that is Status::error or crash.
[[nodiscard]] Verdict run_property(const Property& property, Device& device,
                                   const CertifyOptions& options);

/// The screen for one failure.
[[nodiscard]] std::string show(const Verdict& verdict);
/// One line per property, and the totals.
[[nodiscard]] std::string summary(const Report& report);
/// The totals alone, one line.
[[nodiscard]] std::string totals(const Report& report);

}  // namespace assay::proptests
