// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Hadamard transform that a recipe may put before a quantizer, fast: y = n^-1/2 H D x of every
// group of n elements, in double. golden/hadamard.h is the exact one.

#include <cstdint>
#include <span>

#include "simulator/recipe.h"

namespace assay::simulator {

/// True where the groups of `operand` run down the columns: where its block is taller than wide.
[[nodiscard]] bool runs_down(const OperandFormat& operand);

/// Transforms the groups of a rows x cols row-major matrix in place. Elements after the last whole
/// group of a row (or column) stay as they are. Where the operand has random signs, element i of a
/// group changes its sign if the first bit of Philox word i of key 0 is set: one vector for every
/// tensor, so that it cancels between the two operands of a product.
void hadamard(std::span<float> x, std::int64_t rows, std::int64_t cols,
              const OperandFormat& operand);

/// Undoes it, up to rounding in double.
void undo_hadamard(std::span<double> x, std::int64_t rows, std::int64_t cols,
                   const OperandFormat& operand);

}  // namespace assay::simulator
