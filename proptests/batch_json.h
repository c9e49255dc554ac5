// SPDX-License-Identifier: Apache-2.0
#pragma once
// Results as JSON: what a journal keeps and what a report repeats.

#include <nlohmann/json.hpp>

#include "proptests/batch.h"

namespace assay::proptests {

[[nodiscard]] nlohmann::ordered_json to_json(const Diagnosis& diagnosis);
[[nodiscard]] nlohmann::ordered_json to_json(const Counterexample& counterexample);
[[nodiscard]] Counterexample counterexample_from_json(const nlohmann::ordered_json& json);

/// {exact, allowed, error}.
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<ErrorPoint>& points);

[[nodiscard]] nlohmann::ordered_json to_json(const BatchResult& batch);
/// Throws nlohmann::json::exception or std::invalid_argument for what is not one.
[[nodiscard]] BatchResult batch_from_json(const nlohmann::ordered_json& json);

/// One line of text, whatever bytes a device put into its messages.
[[nodiscard]] std::string line_of(const nlohmann::ordered_json& json);

}  // namespace assay::proptests
