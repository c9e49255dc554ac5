// SPDX-License-Identifier: Apache-2.0
#pragma once
// A recording executed as a whole and what predicts recipes on it: what the verbs replay,
// attribute, ablate and schedule share.

#include <memory>
#include <string>
#include <vector>

#include "analysis/forecast.h"

namespace assay::tools {

/// The recording at `path`, or the shipped one for `embedded`. Throws InputError.
[[nodiscard]] simulator::Recording open_recording(const std::string& path);

class NetworkRun {
 public:
  NetworkRun(const simulator::Recording& recording, const simulator::ReplayOptions& options);
  /// The pass that predictions share, with progress on a terminal.
  void prepare(int samples, simulator::Grouping grouping = simulator::Grouping::by_name);
  /// The same with a pass that was made before.
  void prepare(simulator::Responses responses);
  /// Without forecasts.
  [[nodiscard]] const analysis::NetworkReport& report() const { return report_; }
  [[nodiscard]] const simulator::Graph& graph() const { return graph_; }
  [[nodiscard]] const simulator::Forward& clean() const { return clean_; }
  [[nodiscard]] simulator::Predictor& predictor() { return *predictor_; }
  [[nodiscard]] const simulator::ReplayOptions& options() const { return options_; }
  /// CPU seconds that one clean execution took, and the comparison of its experts.
  [[nodiscard]] double forward_seconds() const { return forward_seconds_; }
  [[nodiscard]] double experts_seconds() const { return experts_seconds_; }

 private:
  simulator::ReplayOptions options_;
  double forward_seconds_ = 0.0, experts_seconds_ = 0.0;
  simulator::Graph graph_;
  simulator::Forward clean_;
  std::unique_ptr<simulator::Predictor> predictor_;
  analysis::NetworkReport report_;
};

}  // namespace assay::tools
