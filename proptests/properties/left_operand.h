// SPDX-License-Identifier: Apache-2.0
#pragma once
// A, the left operand of a product: block-scaled, or bf16 numbers where the claim names no format.

#include <rapidcheck.h>

#include <string>
#include <vector>

#include "golden/gemm_bounds.h"
#include "proptests/device.h"
#include "proptests/generators.h"
#include "proptests/tensor_edits.h"

namespace assay::proptests {

struct LeftOperand {
  std::int64_t rows = 0, cols = 0;
  formats::BlockScaledTensor scaled;  ///< its format is null where A is bf16
  std::vector<std::uint16_t> bf16;

  [[nodiscard]] bool is_scaled() const { return scaled.format != nullptr; }
};

/// rows may be 0.
[[nodiscard]] LeftOperand draw_left(Draw& draw, const kernels::Claim& claim, std::int64_t rows,
                                    std::int64_t cols, Codes codes, Scales scales);
[[nodiscard]] LeftOperand crop(const LeftOperand& a, const Crop& c);
/// Spoils one row: a NaN scale factor, or a NaN or infinity in bf16.
void spoil(Draw& draw, LeftOperand& a, std::int64_t row);
/// Its input operands; `a` must outlive the call.
void add_input(Call& call, const LeftOperand& a);
[[nodiscard]] golden::FactoredMatrix factor(const LeftOperand& a);
[[nodiscard]] std::string show_operand(const LeftOperand& a);

/// Simpler numbers in the same shape.
struct LeftEdit {
  std::vector<TensorEdit> scaled;        ///< one, or
  std::vector<Replacement> replacement;  ///< one
};
[[nodiscard]] std::vector<LeftEdit> left_edits(const LeftOperand& a);
void perform(const LeftEdit& edit, LeftOperand& a);

/// The accumulator that the claim names, as golden knows it. The enums list the same classes in the
/// same order because golden may not include the kernels. Of a claimed matrix unit the class that
/// it belongs to: enough to tell errors apart, not to judge by (mma_claim.h).
[[nodiscard]] golden::AccumulatorModel accumulator_of(const kernels::Claim& claim);

/// `extent` rounded up to what the claim accepts.
[[nodiscard]] inline std::int64_t accepted(std::int64_t extent, std::int64_t multiple) {
  return (extent + multiple - 1) / multiple * multiple;
}

}  // namespace assay::proptests
