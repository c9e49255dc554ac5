// SPDX-License-Identifier: Apache-2.0
#pragma once
// The definition of block quantization: what BlockFormat and its OperationOrder (formats/tensor.h)
// say, executed without any rounding but the declared ones.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/presets.h"
#include "golden/codec.h"

namespace assay::golden {

using formats::QuantizeOptions;

/// Quantizes the rows x cols matrix x (row-major). NaN and infinite elements count in no amax; a
/// block that has one stores the scale format's canonical NaN and zero codes. Throws
/// std::invalid_argument for sizes that do not agree, for given scale factors that are missing,
/// superfluous, not finite or not values of the scale format, and for whatever encode rejects.
[[nodiscard]] formats::BlockScaledTensor quantize(std::span<const float> x, std::int64_t rows,
                                                  std::int64_t cols,
                                                  const formats::BlockFormat& format,
                                                  const QuantizeOptions& options = {});

/// What each element is before its rounding to the element format, by the format's order: the
/// numbers that stochastic rounding decides on. NaN in a block that has an element that is not
/// finite. Arguments and errors as quantize.
[[nodiscard]] std::vector<RationalValue> scaled_elements(std::span<const float> x,
                                                         std::int64_t rows, std::int64_t cols,
                                                         const formats::BlockFormat& format);

/// element * scale factor * tensor scale of every element, exact, row-major whatever the layout. A
/// NaN scale factor makes its block NaN. Throws std::invalid_argument for an inconsistent tensor.
[[nodiscard]] std::vector<Value> dequantize(const formats::BlockScaledTensor& tensor);

}  // namespace assay::golden
