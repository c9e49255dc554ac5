// SPDX-License-Identifier: Apache-2.0
#pragma once
// A recipe on a whole recorded network: what was predicted, what was measured, and how far apart
// they are. The comparison is the same whether a person or an evidence table reads it.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "simulator/graph/channels.h"
#include "simulator/graph/measure.h"
#include "simulator/graph/predict.h"

namespace assay::analysis {

struct Forecast {
  std::string recipe;
  std::optional<simulator::Prediction> predicted;
  double statistics_seconds = 0.0;  ///< of the statistics of operands that no recipe before had
  std::optional<simulator::Measurement> measured;
  int at_once = 1;  ///< measurements that shared the machine with this one, itself counted
};

/// The whole-network part of a report.
struct NetworkReport {
  std::string recording;
  std::int64_t training_step = 0;
  std::uint64_t tokens = 0;
  double clean_loss = 0.0;
  double response_seconds = 0.0;    ///< of the pass that all predictions share; 0: none was made
  double statistics_seconds = 0.0;  ///< the forecasts' together
  int samples = 0;
  std::vector<simulator::ChannelProfile> channels;  ///< of the clean execution
  std::vector<simulator::ExpertDiversity> experts;  ///< likewise
  std::vector<simulator::Utilisation> use;          ///< likewise
  std::vector<Forecast> forecasts;
};

/// One figure, predicted and measured.
struct Pair {
  std::string what;
  double predicted = 0.0, measured = 0.0, naive = 0.0;
  double uncertainty = 0.0;  ///< one standard deviation of `measured`, as predicted; 0: none stated
  [[nodiscard]] double ratio() const { return predicted / measured; }
};

/// How well one kind of figure is predicted over many.
struct Agreement {
  std::string kind;
  std::size_t count = 0;
  double median = 1.0, worst = 1.0;  ///< of max(ratio, 1/ratio)
  double within = 0.0;               ///< share inside `limit`
  double limit = 1.0;
  double naive_median = 0.0;  ///< of the baseline; 0: none
  double calibrated =
      0.0;                 ///< share within two stated standard deviations; of those that state one
  std::size_t stated = 0;  ///< how many do
  std::string worst_at;
};

[[nodiscard]] std::vector<Pair> operand_pairs(const Forecast& f);
[[nodiscard]] std::vector<Pair> linear_pairs(const Forecast& f);
[[nodiscard]] std::vector<Pair> router_noise_pairs(const Forecast& f);
[[nodiscard]] std::vector<Pair> flip_pairs(const Forecast& f);
[[nodiscard]] std::vector<Pair> value_pairs(const Forecast& f);
/// Figures whose measured value is 0 are left out.
[[nodiscard]] Agreement agreement(std::string kind, const std::vector<Pair>& pairs, double limit);
/// The rows of a forecast's table of agreements, with the limits this project asks of itself.
[[nodiscard]] std::vector<Agreement> agreements(const std::vector<Forecast>& forecasts);

[[nodiscard]] nlohmann::ordered_json to_json(const Forecast& f);
/// Of to_json(): all that a report shows, JSON, page and text, to the last bit of its numbers (a
/// figure that is not finite is null there and NaN here). Throws std::exception.
[[nodiscard]] Forecast forecast_from_json(const nlohmann::ordered_json& json);
[[nodiscard]] nlohmann::ordered_json to_json(const NetworkReport& report);
[[nodiscard]] std::string to_text(const NetworkReport& report);

// What a report says beside predicted and measured figures of values (forecast_measures.cpp).
[[nodiscard]] nlohmann::ordered_json to_json(
    const std::vector<simulator::ChannelProfile>& channels);
[[nodiscard]] nlohmann::ordered_json to_json(
    const std::vector<simulator::ExpertDiversity>& experts);
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<simulator::Utilisation>& use);
[[nodiscard]] nlohmann::ordered_json to_json(const simulator::TrainingRange& range);
/// Experts and channels of the clean network; empty where there is nothing to say.
[[nodiscard]] std::string network_lines(const NetworkReport& report);
/// Accumulators, gradients, updates and experts of one measurement.
[[nodiscard]] std::string measure_lines(const simulator::Measurement& m);

}  // namespace assay::analysis
