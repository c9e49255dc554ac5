// SPDX-License-Identifier: Apache-2.0
#pragma once
// Gain, noise and tails of one quantized value against the recorded one (formulas in replay.h).

#include <span>

#include "simulator/fake_quantize.h"
#include "simulator/replay.h"

namespace assay::simulator {

/// Of equally many values; all zero x gives gain 1 and error 0.
[[nodiscard]] ErrorFigures error_figures(std::span<const double> x, std::span<const double> y);

/// Fills everything of `out` that depends on the elements.
void measure_tensor(std::span<const float> x, const FakeQuantized& quantized,
                    const OperandFormat& operand, TensorReplay& out);

}  // namespace assay::simulator
