// SPDX-License-Identifier: Apache-2.0
#pragma once
// One operand under a recipe: the values that the GEMM sees, and what quantization did to it.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"
#include "simulator/network.h"
#include "simulator/recipe.h"

namespace assay::simulator {

struct FakeQuantized {
  Matrix values;  ///< exact: element * scale factor * tensor scale fits 53 bits
  /// Empty for a plain cast; else the scale factor times the tensor scale of each block, row-major.
  std::vector<double> scales;
  formats::BlockShape block;           ///< extents resolved: no zeros
  std::vector<std::uint8_t> codes;     ///< one per element, for elements of at most 8 bits
  std::uint64_t reencode_changed = 0;  ///< elements changed by the operand's re-encoding
};

/// Quantizes a rows x cols row-major matrix of finite values and dequantizes it exactly. Where the
/// operand has a Hadamard transform, scales and codes are those of the transformed values, which
/// are rounded to FP32 first, and `values` are transformed back.
[[nodiscard]] FakeQuantized fake_quantize(std::span<const float> x, std::int64_t rows,
                                          std::int64_t cols, const OperandFormat& operand,
                                          std::uint64_t seed);

/// The quantized tensor behind it, for block formats (tests hold it against golden::quantize).
[[nodiscard]] formats::BlockScaledTensor quantize_operand(std::span<const float> x,
                                                          std::int64_t rows, std::int64_t cols,
                                                          const OperandFormat& operand,
                                                          std::uint64_t seed);

}  // namespace assay::simulator
