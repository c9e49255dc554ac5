// SPDX-License-Identifier: Apache-2.0
#pragma once
// Layout transforms of a quantized tensor: the same numbers at other addresses (formats/tensor.h).
// Padding of the result, nibbles and scale factors, is 0. The formulas are golden/layout.h's.

#include "golden/layout.h"

namespace assay::golden {

/// Throws std::invalid_argument for an inconsistent tensor, and for a swizzle of scale factors that
/// are not one byte wide.
[[nodiscard]] formats::BlockScaledTensor relayout(const formats::BlockScaledTensor& t,
                                                  formats::Layout codes,
                                                  formats::ScaleLayout scales);

}  // namespace assay::golden
