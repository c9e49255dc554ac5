// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: the elements of D that no range check lets through, and those with
// NaN or infinities, one by one.

#include <cstdint>
#include <vector>

#include "golden/exact_gemm_operand.h"

namespace assay::golden::exact_parts {

/// Significands with signs and exponents of a row's elements times their scale factors.
struct WideRow {
  std::vector<std::int64_t> significands;
  std::vector<std::int32_t> exponents;
};
[[nodiscard]] WideRow wide_row(const Operand& operand, std::int64_t row);

/// The exact dot product of row i of A and row j of B, tensor scales included, rounded to odd to 53
/// bits. Both rows are finite.
[[nodiscard]] double wide_dot(const Operand& a, std::int64_t i, const WideRow& left,
                              const Operand& b, std::int64_t j, const WideRow& right);

/// The same where a row has infinities and neither has a NaN.
enum class SpecialSum : std::uint8_t { finite, positive_infinity, negative_infinity, nan };
[[nodiscard]] SpecialSum special_dot(const Operand& a, std::int64_t i, const Operand& b,
                                     std::int64_t j);

}  // namespace assay::golden::exact_parts
