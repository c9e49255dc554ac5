// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a change of its logits does to a router: noise, margins, flips (definitions in replay.h).

#include <span>

#include "simulator/network.h"
#include "simulator/replay.h"

namespace assay::simulator {

struct Selection {
  int k = 1;
  ScoreFunction score = ScoreFunction::softmax;
  std::vector<double> bias;  ///< empty, or one per expert
};

/// Margin between ranks k and k + 1 of every token; infinite where every expert is chosen.
[[nodiscard]] std::vector<double> margins(const Matrix& logits, const Selection& selection);

[[nodiscard]] RouterNoise router_noise(const Matrix& clean, const Matrix& noisy,
                                       const Selection& selection);

}  // namespace assay::simulator
