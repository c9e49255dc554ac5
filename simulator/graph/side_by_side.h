// SPDX-License-Identifier: Apache-2.0
#pragma once
// Several recipes measured on one network at once. The network of a recording is small: a second
// thread for one product would cost more than it gives, a second recipe beside the first does not.

#include <functional>
#include <span>

#include "simulator/graph/measure.h"

namespace assay::simulator {

/// As many as there are threads to compute with: what `at_once` may sensibly be.
[[nodiscard]] int most_at_once();

/// Called from one thread at a time, as measurements finish, which is not in the recipes' order.
using RecipeMeasured = std::function<void(std::size_t index, Measurement measurement)>;

/// measure() of each recipe, at most `at_once` at a time (1 or more), each on one thread: the
/// figures are those of measure(), and memory is what `at_once` executions take. Throws what the
/// first recipe that fails throws, and what `done` throws, when those that were begun are over.
void measure_side_by_side(const Graph& graph, const Forward& clean,
                          std::span<const Recipe* const> recipes, const ReplayOptions& options,
                          const MeasureOptions& extra, int at_once, const RecipeMeasured& done);

}  // namespace assay::simulator
