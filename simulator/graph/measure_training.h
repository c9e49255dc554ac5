// SPDX-License-Identifier: Apache-2.0
#pragma once
// The training range of a whole network. Private to the measurement.

#include "simulator/graph/backward.h"
#include "simulator/graph/training_range.h"
#include "simulator/replay.h"

namespace assay::simulator {

/// Gradients of one backward pass in the recipe's formats, and, as a yardstick, in FP16, for which
/// loss scaling was made (Micikevicius et al., arXiv 1710.03740); the recorded updates, or where
/// there are none estimates from the weight gradients, held against the recipe's master format and
/// BF16.
[[nodiscard]] TrainingRange training_range(const Graph& graph, const Backward& back,
                                           const Recipe& recipe, const ReplayOptions& options,
                                           double learning_rate);

}  // namespace assay::simulator
