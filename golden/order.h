// SPDX-License-Identifier: Apache-2.0
#pragma once
// Executes an OperationOrder (formats/tensor.h): every operation exactly, then its declared
// rounding.

#include <array>
#include <span>

#include "formats/tensor.h"
#include "golden/codec.h"

namespace assay::golden {

/// The registers of one evaluation. All start at +0. A copy is cheap enough to branch off: the
/// tensor phase runs once, each block continues from a copy of it, each element from a copy of its
/// block.
class Registers {
 public:
  [[nodiscard]] RationalValue& operator[](formats::Register r);
  [[nodiscard]] const RationalValue& operator[](formats::Register r) const;

  /// Runs the operations in order. minimum and maximum of a NaN are NaN (IEEE 754-2019
  /// section 9.6). A declared rounding overflows as it says, keeps NaN where its format has one,
  /// and clamps negatives in unsigned formats (profile `saturating`). Throws std::invalid_argument
  /// for an operation that writes Register::constant.
  void run(std::span<const formats::Operation> operations);

 private:
  [[nodiscard]] RationalValue operand(formats::Register r, const formats::Constant& constant) const;

  std::array<RationalValue, static_cast<std::size_t>(formats::Register::constant)> values_;
};

/// The code of the scale factor that `format` stores for a block, and the second-level factor,
/// given the largest finite magnitudes of the block and the tensor (not negative). Composed of
/// monotone steps in amax_block, so monotone_intervals applies to it for every order whose block
/// phase is built from constants and monotone operations, as all presets are. Throws
/// std::invalid_argument for a format with candidates.
[[nodiscard]] std::uint32_t scale_code(const formats::BlockFormat& format, const Value& amax_block,
                                       const Value& amax_tensor);

}  // namespace assay::golden
