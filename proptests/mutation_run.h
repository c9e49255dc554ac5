// SPDX-License-Identifier: Apache-2.0
#pragma once
// A kernel that is wrong on purpose, held against the catalogue: what rejects it, how soon, and
// what the diagnosis says.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proptests/property.h"
#include "proptests/verdict.h"

namespace assay::proptests {

struct MutationOptions {
  std::uint64_t seed = 1;
  std::string entry;  ///< only claims of this name; empty: all
  /// Cases per property, tried in turn until two properties reject the mutant.
  std::vector<std::int64_t> rounds{8, 64, 1000};
  bool diagnose = true;
};

struct MutantRun {
  std::int64_t properties = 0;       ///< that are about a claim of the mutant
  std::vector<std::string> killers;  ///< those that reject it, in the catalogue's order
  std::int64_t cases_to_kill = 0;    ///< run until the first rejection, all properties together
  std::string error;                 ///< of the suite; empty: none
  Diagnosis diagnosis;

  [[nodiscard]] bool killed() const { return !killers.empty(); }
  /// Whether the first candidate is one of these hypotheses.
  [[nodiscard]] bool named(std::span<const std::string> truth) const;
};

[[nodiscard]] MutantRun run_mutant(Device& device, std::span<const Property> properties,
                                   const MutationOptions& options = {});

/// Properties about devices: those of the library's own host code are nobody's mutant's.
[[nodiscard]] std::vector<Property> device_properties();

}  // namespace assay::proptests
