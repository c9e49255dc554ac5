// SPDX-License-Identifier: Apache-2.0
#pragma once
// One linear of a recording under a recipe: its operands, its output with and without quantization.

#include <optional>
#include <vector>

#include "simulator/network.h"
#include "simulator/replay.h"

namespace assay::simulator {

/// What a replay of one linear yields.
struct LinearOutcome {
  std::vector<TensorReplay> tensors;   ///< of each quantized operand
  std::optional<LinearReplay> linear;  ///< absent if nothing is quantized or there are no rows
  bool touched = false;                ///< the recipe quantizes an operand
  bool has_rows = true;
  Matrix clean, perturbed;  ///< outputs, propagated inside the block
};

/// `clean_input` / `perturbed_input`: what the block computes before this linear without and with
/// the recipe; both null: the linear reads a recorded value that carries no error.
[[nodiscard]] LinearOutcome replay_linear(const Recording& recording, const Op& op,
                                          const Recipe& recipe, const ReplayOptions& options,
                                          const Matrix* clean_input, const Matrix* perturbed_input);

/// The class of a linear; "linear" is one of no special place. Throws InputError.
[[nodiscard]] TensorClass linear_class(const Op& op);

/// The seed of a tensor's random words, FNV-1a of its name in it: tensors must not share them.
[[nodiscard]] std::uint64_t tensor_seed(std::uint64_t seed, std::string_view tensor);

/// False where the recipe leaves the operand in its high precision.
[[nodiscard]] bool quantizes(const OperandFormat& operand, const Recipe& recipe);

/// What the recipe says about this linear at the options' step. Throws InputError for an unknown
/// class.
[[nodiscard]] Treatment treatment_of(const Op& op, const Recipe& recipe,
                                     const ReplayOptions& options);

/// A computed operand as the recipe makes the GEMM see it; `name` selects its random words.
[[nodiscard]] Matrix under_recipe(const Matrix& x, const OperandFormat& format,
                                  const Recipe& recipe, const ReplayOptions& options,
                                  std::string_view name);

/// The rows x cols values of a tensor, all finite. Throws InputError that names the tensor.
[[nodiscard]] std::vector<float> read_finite(const RecordedTensor& tensor);
[[nodiscard]] Matrix to_matrix(std::span<const float> x, std::int64_t rows, std::int64_t cols);

}  // namespace assay::simulator
