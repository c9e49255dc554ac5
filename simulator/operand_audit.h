// SPDX-License-Identifier: Apache-2.0
#pragma once
// What recipes do to operands by themselves: gain, noise, worst block and counts of every tensor,
// in one pass over it (two where a scale factor depends on the whole tensor), in tiles on all
// cores. Nothing is multiplied and nothing propagated, so memory does not grow with the tensors and
// the speed is that of reading them.

#include <cstdint>
#include <span>
#include <vector>

#include "simulator/operand_source.h"
#include "simulator/replay.h"

namespace assay::simulator {

/// What one recipe does to one operand; absent where it leaves it in high precision.
struct OperandResult {
  std::size_t recipe = 0;  ///< index into the recipes
  TensorReplay tensor;     ///< without the histogram of errors
};

/// The recipes' figures for one operand: its format as weight, activation or gradient of its class,
/// and for inputs and output gradients also `wgrad_input` and `wgrad_gradient`. `format` of a
/// result says block shape, rounding and transform where they are not the format's own. The same
/// for every number of threads. Throws InputError that names tensor, row and column of a NaN or an
/// infinity. `after`: the operands that will be audited next, whose reading may begin.
[[nodiscard]] std::vector<OperandResult> audit_operand(const OperandSource& source,
                                                       const Operand& operand,
                                                       std::span<const Recipe> recipes,
                                                       const ReplayOptions& options,
                                                       std::span<const Operand> after = {});

/// "nvfp4-paper 16x1 hadamard-16 stochastic": what tells operand formats of one name apart.
[[nodiscard]] std::string describe(const OperandFormat& format);

}  // namespace assay::simulator
