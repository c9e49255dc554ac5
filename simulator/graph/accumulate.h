// SPDX-License-Identifier: Apache-2.0
#pragma once
// A linear's product as the recipe's kernel accumulates it. Operands are the codes and scale
// factors that the recipe's quantizers give; an operand in high precision is rounded to that format
// first.
//
//   fp32         s = fl32(s + x^_k w^_k), k ascending: a chain of fused multiply-adds
//   truncating   steps of 32 products (16 for 16-bit elements) as in simulator/mma/model.h,
//   `fused`,
//                with the recipe's F; every `promotion` elements, and where a scale factor changes
//                along k, the unit's accumulator p leaves it: s = fl32(s + p s_x s_w), and p starts
//                at +0. Zero exponent and conversion are Hopper's (hopper.wgmma); an accumulator of
//                at most 13 fraction bits keeps 13 bits, one of more 23.
//   a model of `assay mma --list`   likewise with that unit's row; a unit with block scales takes
//                the scale factors itself and s the tensor scales.
// fl32 is the rounding to FP32 of a sum formed in double.

#include <cstdint>
#include <vector>

#include "simulator/network.h"
#include "simulator/recipe.h"

namespace assay::simulator {

/// An operand as a matrix unit reads it, row-major, k along the columns.
struct UnitOperand {
  std::int64_t rows = 0, cols = 0;
  const formats::FormatSpec* element = nullptr;
  std::vector<std::uint32_t> codes;
  formats::BlockShape block{0, 0};  ///< that share a scale factor; 0: there are none
  const formats::FormatSpec* scale = nullptr;
  std::vector<std::uint32_t> scales;  ///< codes, by block, row-major
  double tensor_scale = 1.0;
  int hadamard = 0;  ///< codes are of the transformed operand (OperandFormat::hadamard)
  bool random_signs = false;
  Matrix values;  ///< exact

  /// Scale factor of (row, col), without the tensor scale.
  [[nodiscard]] double factor(std::int64_t row, std::int64_t col) const;
  [[nodiscard]] std::uint32_t scale_code(std::int64_t row, std::int64_t col) const;
};

/// x in the recipe's format, rounded to FP32 first; `seed`: of stochastic rounding.
[[nodiscard]] UnitOperand unit_operand(const Matrix& x, const OperandFormat& format,
                                       std::uint64_t seed);

/// X W^T, rows of x by rows of w. A Hadamard transform cancels between operands that both have it;
/// fp32 multiplies what it leaves when it is undone. Throws InputError where the accumulator names
/// a unit that does not take these elements or scale factors, or where one operand alone is
/// transformed along k.
[[nodiscard]] Matrix unit_product(const UnitOperand& x, const UnitOperand& w,
                                  const AccumulatorModel& accumulator);

/// Every element to the nearest value of a format without blocks, to even; y is unchanged for a
/// block format.
void round_to_format(Matrix& y, const OperandFormat& format);

}  // namespace assay::simulator
