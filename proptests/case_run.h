// SPDX-License-Identifier: Apache-2.0
#pragma once
// One case: generated from its number, asked of the device, ruled on, made smaller.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "proptests/property.h"
#include "proptests/verdict.h"

namespace assay::proptests {

/// The cases of one property for one device: case i depends on the property's id, the seed, i and
/// the claims that the property is about, and on nothing else.
class CaseRunner {
 public:
  /// `entry`: only claims of this name; empty: all. Both references must outlive the runner.
  CaseRunner(const Property& property, Device& device, std::uint64_t seed,
             const std::string& entry = {});

  /// False where the device claims nothing that the property is about.
  [[nodiscard]] bool applicable() const { return !claims_.empty(); }
  [[nodiscard]] const Property& property() const { return property_; }

  [[nodiscard]] rc::Shrinkable<ExperimentPtr> generate(std::int64_t index) const;
  [[nodiscard]] std::vector<Trial> ask(std::span<const ExperimentPtr> experiments) const;
  [[nodiscard]] Trial ask(const ExperimentPtr& experiment) const;

 private:
  const Property& property_;
  Device& device_;
  std::uint64_t seed_;
  std::vector<kernels::Claim> claims_;
};

/// The claims of the device that the property is about. A property of the library's own host code
/// has one, without content, where the device is the library's own. Throws std::invalid_argument
/// for a claim that names a matrix unit which assay has no model of (properties/mma_claim.h).
[[nodiscard]] std::vector<kernels::Claim> claims_for(const Property& property, const Device& device,
                                                     const std::string& entry);

/// What is wrong with both runs together, the judge's word first.
[[nodiscard]] Ruling rule(const Experiment& experiment, const Trial& trial);

/// What a failed trial is: the kernel went down, never came back, or answered wrongly.
[[nodiscard]] Status status_of(const Trial& trial);

/// A call that ends without an answer costs the device a new process, and a time limit on top.
[[nodiscard]] std::int64_t affordable_trials(const Trial& trial, std::int64_t most);

/// The first among the simpler cases that fails alike (a crash does not shrink to a wrong answer),
/// again and again. Deterministic, so the path replays.
struct Shrunk {
  ExperimentPtr experiment;
  Mismatch mismatch;
  std::vector<std::int64_t> path;
};
[[nodiscard]] Shrunk shrink(const CaseRunner& runner, rc::Shrinkable<ExperimentPtr> failing,
                            Mismatch mismatch, Status status, std::int64_t most_trials);

/// The case that is left after the steps of `path`. Throws std::invalid_argument where they lead
/// nowhere.
[[nodiscard]] rc::Shrinkable<ExperimentPtr> follow(rc::Shrinkable<ExperimentPtr> from,
                                                   std::span<const std::int64_t> path);

}  // namespace assay::proptests
