// SPDX-License-Identifier: Apache-2.0
#pragma once
// The journal of a replay of a whole network: a line for each prediction and each measurement, and
// while predictions are left the pass that they share, in FILE.responses beside it.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "analysis/forecast.h"
#include "tools/journal.h"

namespace assay::tools {

class NetworkJournal {
 public:
  /// An empty `path`: nothing is kept, and nothing was found. Throws what Journal throws.
  NetworkJournal(const std::filesystem::path& path, std::string key, bool resume,
                 std::size_t recipes);

  /// By recipe: what was found and what was added, predicted, measured or both.
  [[nodiscard]] const std::vector<analysis::Forecast>& forecasts() const { return forecasts_; }
  /// A prediction or a measurement. Throws OutputError.
  void add(std::size_t recipe, analysis::Forecast part);

  /// What the shared pass took, where it was made.
  [[nodiscard]] std::optional<double> response_seconds() const { return response_seconds_; }
  /// The pass itself, where it was found.
  [[nodiscard]] std::optional<simulator::Responses> responses() const;
  void add(const simulator::Responses& responses);
  /// When nothing is left to predict.
  void drop_responses() const;

 private:
  void merge(std::size_t recipe, analysis::Forecast part);
  [[nodiscard]] std::filesystem::path beside() const;

  std::filesystem::path path_;
  std::string key_;
  // Before the journal, which fills them:
  std::vector<analysis::Forecast> forecasts_;
  std::optional<double> response_seconds_;
  std::optional<Journal> journal_;
};

}  // namespace assay::tools
