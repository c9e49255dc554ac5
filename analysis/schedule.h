// SPDX-License-Identifier: Apache-2.0
#pragma once
// When each tensor class can go to a recipe's formats, from recordings of one run at several steps.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "simulator/graph/experts.h"
#include "simulator/graph/predict.h"

namespace assay::analysis {

/// What a user allows. A loss change counts with its uncertainty: change + uncertainty.
struct Limits {
  double flips = 0.05;  ///< largest flip rate of any router
  double loss = 0.01;   ///< loss change, nats
};

/// One part of the recipe at one recorded step.
struct Moment {
  std::int64_t step = 0;
  double flips = 0.0, noise_sd = 0.0;
  double loss_change = 0.0, uncertainty = 0.0, kl = 0.0;
  double median_margin = 0.0;  ///< of the router that flips most
  bool allowed = false;
};

struct Part {
  std::string name;  ///< a class, or "all"
  std::vector<Moment> moments;
  /// The first recorded step from which on every recording allows it.
  std::optional<std::int64_t> earliest;
};

struct Order {
  std::string name;
  std::vector<std::pair<std::string, std::optional<std::int64_t>>> switches;
};

struct SchedulePlan {
  std::string recipe;
  Limits limits;
  std::vector<Part> parts;  ///< the recipe's classes, then "all"
  std::vector<Order> orders;
  /// By recorded step, then router: how the experts are used, without the recipe.
  std::vector<std::pair<std::int64_t, std::vector<simulator::Utilisation>>> use;
};

[[nodiscard]] Moment moment_of(const simulator::Graph& graph, const simulator::Forward& clean,
                               const simulator::Prediction& prediction, const Limits& limits);
/// Sets `earliest` of the parts and compares classes one after the other with all at once.
void finish(SchedulePlan& plan);

[[nodiscard]] nlohmann::ordered_json to_json(const SchedulePlan& plan);

}  // namespace assay::analysis
