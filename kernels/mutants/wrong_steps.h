// SPDX-License-Identifier: Apache-2.0
#pragma once
// The table of mutants in parts, by what they spoil.

#include <array>

#include "kernels/mutants/mutants.h"
#include "kernels/mutants/scalar_device.h"

namespace assay::kernels::mutants {

[[nodiscard]] std::span<const Mutant> quantizer_mutants();
[[nodiscard]] std::span<const Mutant> product_mutants();
[[nodiscard]] std::span<const Mutant> training_mutants();
[[nodiscard]] std::span<const Mutant> behaviour_mutants();
[[nodiscard]] std::span<const Mutant> call_mutants();
[[nodiscard]] std::span<const Mutant> operation_mutants();

}  // namespace assay::kernels::mutants
