// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a GEMM with a given accumulator may answer: per element the number it should be near and how
// near (golden/bounds.h), to be ruled on by judge().

#include <cstdint>
#include <span>
#include <vector>

#include "golden/bounds.h"
#include "golden/gemm.h"

namespace assay::golden {

/// A matrix as the factors that a kernel may multiply in any association: element * scale factor *
/// tensor scale. Row-major, one scale factor per element.
struct FactoredMatrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<Value> elements;
  std::vector<Value> scales;
  float tensor_scale = 1.0F;
  const FormatSpec* element_format = nullptr;
};

[[nodiscard]] FactoredMatrix factor(const formats::BlockScaledTensor& tensor);
/// Plain codes of at most 16 bits (bf16): scale factors of 1.
[[nodiscard]] FactoredMatrix factor(const FormatSpec& spec, std::span<const std::uint16_t> codes,
                                    std::int64_t rows, std::int64_t cols);

/// kernels::Accumulator, in the same order (golden may not include it).
enum class AccumulatorClass : std::uint8_t {
  exact,
  fp32_any_order,
  fp32_fixed_order,
  truncating,
};

/// Where a truncating unit's scale factors act.
enum class ScaleStage : std::uint8_t {
  /// The unit multiplies dequantized operands (element * scale factor), which the operand formats
  /// must
  /// hold exactly; or the instruction adds power-of-two scale factors to the exponents, which is
  /// the same.
  operands,
  /// The unit multiplies elements; every promoted sum is multiplied by the two scale factors of its
  /// interval, which must not cross a block.
  promotion,
  /// The same, and B is MXFP4 that the kernel re-encodes for an FP8 unit (golden/fp8_weights.h).
  reencoded_weights,
};

struct AccumulatorModel {
  AccumulatorClass kind = AccumulatorClass::fp32_any_order;
  TruncatingUnit unit = {};
  ScaleStage stage = ScaleStage::operands;
  /// What the unit decodes at ScaleStage::operands; at ::promotion the element formats count.
  const FormatSpec* a_operand = &formats::bf16;
  const FormatSpec* b_operand = &formats::bf16;
};

struct GemmOracle {
  std::vector<RationalValue> reference;  ///< m x n: exact, or golden's FP32 result in a fixed order
  std::vector<Bound> bounds;             ///< m x n; T = 0 where the reference is no number
};

/// A: m x k, B: n x k. Throws std::invalid_argument for shapes that do not fit together, for
/// operands that the unit's operand formats do not hold, and for promotion intervals that cross a
/// scale block.
[[nodiscard]] GemmOracle gemm_oracle(const FactoredMatrix& a, const FactoredMatrix& b,
                                     const GemmEpilogue& epilogue, const AccumulatorModel& model);

}  // namespace assay::golden
