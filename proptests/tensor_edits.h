// SPDX-License-Identifier: Apache-2.0
#pragma once
// Simpler block-scaled tensors, in the sense of shrink.h.

#include <cstdint>
#include <vector>

#include "formats/tensor.h"
#include "proptests/shrink.h"

namespace assay::proptests {

/// One step: keep a rectangle (its first column at the start of a block), or replace element codes,
/// a scale factor, or the tensor scale.
struct TensorEdit {
  enum class Kind : std::uint8_t { crop, zero_codes, code, scale, tensor_scale } kind;
  Crop crop = {};
  std::int64_t row = 0, col = 0, count = 0;  ///< of elements; for `scale` the block's indices
  std::uint32_t code = 0;
};

/// `crops`: whether the shape may change (a GEMM crops its operands together).
[[nodiscard]] std::vector<TensorEdit> tensor_edits(const formats::BlockScaledTensor& t,
                                                   bool crops = true);
void perform(const TensorEdit& edit, formats::BlockScaledTensor& t);

/// Sets every byte of a swizzled scale array that belongs to no block.
void fill_padding(formats::BlockScaledTensor& t, std::uint8_t byte);

/// The rectangle as a tensor of its own.
[[nodiscard]] formats::BlockScaledTensor crop(const formats::BlockScaledTensor& t, const Crop& c);

}  // namespace assay::proptests
