// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: packing a panel, for each of the two kernels.

#include <cstdint>
#include <vector>

#include "golden/exact_gemm_operand.h"

namespace assay::golden::exact_parts {

/// The format's numbers by code (16-bit formats and wider: read one by one).
class NumberTable {
 public:
  explicit NumberTable(const formats::FormatSpec& spec);
  [[nodiscard]] Number operator[](std::uint32_t code) const {
    return code < numbers_.size() ? numbers_[code] : read_number(spec_, code);
  }

 private:
  const formats::FormatSpec& spec_;
  std::vector<Number> numbers_;
};

/// Numbers of both tables, and whether one scale factor serves a whole row.
struct Tables {
  explicit Tables(const Operand& operand);
  NumberTable element;
  NumberTable scale;
  bool constant_scale;
  Number tensor_scale;
};

/// The range's factor from the tensor scale and the scale factor of a whole row; marks specials.
void set_factor(RowRange& range, const Number& tensor_scale, const Number& row_scale);

/// Rows first .. first + count - 1 become `panel`; their ranges are set.
void pack_bytes(Operand& operand, const Tables& tables, std::int64_t first, int count,
                Panel& panel);
void pack_words(Operand& operand, const Tables& tables, std::int64_t first, int count,
                Panel& panel);

}  // namespace assay::golden::exact_parts
