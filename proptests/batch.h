// SPDX-License-Identifier: Apache-2.0
#pragma once
// The unit of a run: some consecutive cases of one property. Its result depends on the property,
// the seed and the numbers of the cases alone, so that any way to share the batches out (threads,
// workers, shards, a run that goes on after it was killed) adds up to the same report.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proptests/case_run.h"

namespace assay::proptests {

/// Cases first .. first + count - 1.
struct CaseRange {
  std::int64_t first = 0, count = 0;
};
/// How `cases` are cut: a few first, so that every property has run some before any has run many,
/// then 256 at a time.
[[nodiscard]] std::vector<CaseRange> batches_of(std::int64_t cases);

struct BatchResult {
  std::string property;
  CaseRange range;
  Status status = Status::pass;    ///< pass: no case failed; otherwise what the first failure is
  std::int64_t cases = 0;          ///< run, up to and with the first that failed
  std::int64_t undecided = 0;      ///< of these
  std::int64_t not_supported = 0;  ///< of these: declined
  std::int64_t flakes = 0;         ///< of these: failed, and passed when asked again
  std::vector<ErrorPoint> points;  ///< the largest shares of the bound, one per case
  std::string detail;              ///< of an error of the suite
  std::optional<Counterexample> counterexample;
  double seconds = 0;  ///< not part of the result
};

/// Everything that was asked and answered in one batch, for whoever wants to look further.
using BatchObserver = std::function<void(const Property&, std::span<const ExperimentPtr>,
                                         std::span<const Trial>, std::span<const Ruling>)>;

struct BatchOptions {
  std::uint64_t seed = 1;
  std::int64_t shrink_trials = 4000;
  std::string target;  ///< how the command line names the device
  std::string entry;
  std::int64_t retries = 0;  ///< of a failed case; a pass among them makes it a flake
  bool diagnose = true;      ///< say what is probably wrong with a kernel that fails
  BatchObserver observe;
};

/// Never throws for what a device or a property does: that is a status.
[[nodiscard]] BatchResult run_batch(const CaseRunner& runner, const CaseRange& range,
                                    const BatchOptions& options);

/// The one case that a token names, not shrunk further. Throws std::invalid_argument for a token
/// that leads nowhere.
[[nodiscard]] BatchResult replay_case(const CaseRunner& runner, const std::string& token,
                                      const BatchOptions& options);

/// The worst `most` points, worst first, in an order that does not depend on how they came.
void keep_worst(std::vector<ErrorPoint>& points, std::size_t most);

}  // namespace assay::proptests
