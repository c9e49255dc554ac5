// SPDX-License-Identifier: Apache-2.0
#pragma once
// assay replay --predict, --measure, --both: recipes on a recorded network, resumable.

#include <filesystem>
#include <string>
#include <vector>

#include "analysis/forecast.h"

namespace assay::tools {

struct NetworkReplay {
  std::filesystem::path recording;  ///< its folder
  std::vector<simulator::Recipe> recipes;
  std::vector<std::string> recipe_texts;  ///< as they were read: what a journal's run is known by
  simulator::ReplayOptions options;
  simulator::MeasureOptions extra;
  bool predict = false, measure = false;
  int samples = 4;
  int at_once = 0;      ///< measurements; 0: as many as there are threads to compute with
  std::string journal;  ///< empty: none
  bool resume = false;
  std::string program;  ///< version and commit
};

/// A forecast for each recipe, in their order. The shared pass takes all cores; then predictions
/// run alone, one after the other, and after them measurements side by side. With progress on a
/// terminal. Throws InputError and OutputError.
[[nodiscard]] analysis::NetworkReport replay_network(const NetworkReplay& replay);

}  // namespace assay::tools
