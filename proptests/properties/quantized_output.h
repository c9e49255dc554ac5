// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block-scaled outputs of a call: what they look like, and what came back.

#include <vector>

#include "formats/tensor.h"
#include "proptests/judge.h"

namespace assay::proptests {

/// A tensor without contents: what add_output needs.
[[nodiscard]] inline formats::BlockScaledTensor empty_tensor(const formats::BlockFormat& format,
                                                             std::int64_t rows, std::int64_t cols,
                                                             formats::ScaleLayout layout) {
  formats::BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.scale_layout = layout;
  return t;
}

/// The tensor of that shape whose parts are outputs first, first + 1, ... of an answer.
[[nodiscard]] inline formats::BlockScaledTensor observed_tensor(
    formats::BlockScaledTensor shape, const std::vector<std::vector<std::uint8_t>>& outputs,
    std::size_t first = 0) {
  shape.codes = outputs.at(first);
  shape.scales = outputs.at(first + 1);
  if (shape.format->tensor_scale == formats::TensorScale::fp32)
    shape.tensor_scale = to_floats(outputs.at(first + 2)).at(0);
  return shape;
}
/// Outputs that add_output makes of such a tensor.
[[nodiscard]] inline std::size_t parts_of(const formats::BlockFormat& format) {
  return format.tensor_scale == formats::TensorScale::fp32 ? 3 : 2;
}

}  // namespace assay::proptests
