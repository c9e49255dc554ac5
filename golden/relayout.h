// SPDX-License-Identifier: Apache-2.0
#pragma once
// Layout transforms of a quantized tensor: the same numbers at other addresses (formats/tensor.h).
// Padding of the result, nibbles and scale factors, is 0. The formulas are golden/layout.h's.

#include "golden/layout.h"

namespace assay::golden {

/// Throws std::invalid_argument for an inconsistent tensor, and for a layout that its codes or
/// scale factors cannot have (golden/layout.h).
[[nodiscard]] formats::BlockScaledTensor relayout(const formats::BlockScaledTensor& t,
                                                  formats::Layout codes,
                                                  formats::ScaleLayout scales);

/// The rows of gates (0 .. n-1) and ups (n .. 2n-1) of a gated expert's weight, interleaved: gate i
/// becomes row 2i, up i row 2i + 1; and back. Blocks must be one row high, in scale layouts too:
/// each row takes its scale factors along. Throws std::invalid_argument otherwise, for an odd
/// number of rows and for an inconsistent tensor.
[[nodiscard]] formats::BlockScaledTensor interleave_gate_up(const formats::BlockScaledTensor& t);
[[nodiscard]] formats::BlockScaledTensor separate_gate_up(const formats::BlockScaledTensor& t);

}  // namespace assay::golden
