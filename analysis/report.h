// SPDX-License-Identifier: Apache-2.0
#pragma once
// The forms of every result: one canonical JSON document (analysis/schema/report.schema.json)
// and one self-contained HTML page (no script, no network, inline SVG). Both are functions of the
// results alone: no clock, no thread count, no machine name, so equal runs give equal bytes.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "analysis/forecast.h"
#include "proptests/certify.h"
#include "simulator/recipe.h"
#include "simulator/replay.h"

namespace assay::analysis {

inline constexpr int kReportSchemaVersion = 1;

/// What decides the bits of a run, as the tool knows it.
struct Environment {
  std::string version;  ///< of assay
  std::string commit;
  std::string compiler;
  std::string cuda_headers;
  std::string command;  ///< the command that repeats the run
};

/// A replay and the recipe it was made with.
struct Replayed {
  simulator::Recipe recipe;
  simulator::ReplayResult result;
};

struct Report {
  Environment environment;
  std::uint64_t seed = 1;
  std::vector<proptests::Report> certifications;  ///< one per device under test
  std::vector<Replayed> replays;                  ///< of one recording, one per recipe
  std::optional<NetworkReport> network;           ///< of that recording executed as a whole
};

[[nodiscard]] nlohmann::ordered_json to_json(const Report& report);
[[nodiscard]] std::string to_html(const Report& report);
/// The certifications for CI systems, and for a page of text. JUnit alone has times: of each
/// property, in seconds.
[[nodiscard]] std::string to_junit(const Report& report);
[[nodiscard]] std::string to_markdown(const Report& report);

/// The figures of one recipe that a reader compares first.
struct ReplaySummary {
  std::string recipe;
  std::string weight_format;               ///< of the expert weights, or of whatever is quantized
  double bits_per_weight = 0;              ///< of that format, scale factors included
  double weight_gain = 1, weight_nsr = 0;  ///< medians over quantized weights
  double output_nsr = 0, worst_output_nsr = 0;  ///< median and largest over linears
  std::string worst_linear;
  std::uint64_t tokens = 0;  ///< times routers
  std::uint64_t local_flips = 0, accumulated_flips = 0;
  double loss_change = 0;  ///< first order, summed over linears with gradients
  bool has_loss_change = false;
};
[[nodiscard]] ReplaySummary summarize(const Replayed& replayed);

}  // namespace assay::analysis
