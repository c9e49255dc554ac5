// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is wrong with a kernel that fails: the known errors (hypothesis.h) that reproduce its
// answers, or else where its errors sit.

#include <array>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "proptests/case_run.h"
#include "proptests/diagnosis/hypothesis.h"
#include "proptests/verdict.h"

namespace assay::proptests::diagnosis {

/// Of observations of one entry, at least one of which failed. An error is named if it explains
/// every failing case and every passing one; failing that, if it explains every failing one (an
/// error that shows under a condition). Conduct (crashes, unwritten outputs, written inputs, other
/// answers the second time) is read off the trials.
[[nodiscard]] Diagnosis diagnose(std::span<const Observation> observations);

/// From the smallest failing case and the cases of the property from `index` on, which the device
/// is asked for this.
[[nodiscard]] Diagnosis diagnose_failure(const CaseRunner& runner, const ExperimentPtr& smallest,
                                         std::int64_t index);

/// Which answers a device has given: a cache keyed too coarsely gives one of them again.
class SeenAnswers {
 public:
  /// Whether this answer was given before, to other operands; remembers it.
  [[nodiscard]] bool repeats(const Call& call, const Answer& answer);

 private:
  std::map<std::string, std::string> answers_;  ///< outputs -> the operands of the first
};

/// What an entry has been asked, for errors that keep something between calls.
class Asked {
 public:
  /// The last few calls, then some of the same shape, then some with the same n and k, which a
  /// cache of weights would be keyed by: the latest and the earliest of these, the latest first.
  [[nodiscard]] std::vector<ExperimentPtr> before(const Call& call) const;
  void add(const Call& call, const ExperimentPtr& experiment);

 private:
  struct Alike {
    std::int64_t m = 0;
    ExperimentPtr experiment;
  };
  using Weights = std::array<std::int64_t, 3>;  ///< n, k, groups
  std::vector<ExperimentPtr> last_;             ///< the last first
  ExperimentPtr last_bias_, last_limit_;        ///< the last call that had one
  std::map<Weights, std::vector<Alike>> alike_;
};

/// Collects observations over a whole run, entry by entry, and diagnoses each entry from all of its
/// properties at once.
class Casebook {
 public:
  /// A few failing and a few passing cases of each property and entry are kept.
  void add(const std::string& property, std::span<const ExperimentPtr> experiments,
           std::span<const Trial> trials, std::span<const Ruling> rulings);
  /// Drops the cases and keeps what the device was asked, for the next round of the same device.
  void next_round() { entries_.clear(); }
  /// The candidates of all failing entries together: those that explain most entries first.
  [[nodiscard]] Diagnosis finish() const;

 private:
  struct Entry {
    std::map<std::string, int> failing, passing;  ///< kept, by property
    std::vector<Observation> observations;
  };
  std::map<std::string, Entry> entries_;
  std::map<std::string, Asked> asked_;  ///< of each entry
  SeenAnswers seen_;
};

/// What the trial itself shows, whatever the numbers are; empty: nothing.
[[nodiscard]] std::vector<Candidate> conduct(const Observation& observation);

/// Where errors sit, in a few words: rows, columns, blocks, codes, signs, sizes.
[[nodiscard]] std::string evidence(std::span<const Observation> observations);

}  // namespace assay::proptests::diagnosis
