// SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs the catalogue against a device. The same device, options and build give the same report,
// whatever the number of threads: cases are generated and judged in parallel, the device is called
// one case after the other, in order, twice each.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "proptests/property.h"
#include "proptests/verdict.h"

namespace assay::proptests {

struct CertifyOptions {
  std::string property;       ///< an id, or a prefix of ids that ends at a dot; empty: all
  std::int64_t cases = 1000;  ///< per property; positive
  std::uint64_t seed = 1;
  std::int64_t shrink_trials = 4000;  ///< simpler cases to try on a failure; 0: report it as found
  std::string token;                  ///< replay this one case (needs exactly one property)
  std::string target;  ///< how the command line names the device, for the replay line
  /// Called after each property (progress); may be empty.
  std::function<void(const Verdict&)> on_verdict;
};

struct Report {
  std::string device;
  std::uint64_t seed = 0;
  std::int64_t cases_per_property = 0;
  std::vector<Verdict> verdicts;

  [[nodiscard]] std::int64_t count(Status status) const;
  [[nodiscard]] std::int64_t cases() const;
};

/// Throws std::invalid_argument for a filter that matches no property, a token that is not one of
/// ours, and fewer than one case.
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
