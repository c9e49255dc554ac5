// SPDX-License-Identifier: Apache-2.0
#pragma once
// What may go wrong in any product, plain, fused, gated or of groups: edits of a ProductModel.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "proptests/diagnosis/edits.h"
#include "proptests/diagnosis/product_model.h"

namespace assay::proptests::diagnosis {

struct ProductRow {
  std::string id, text;
  /// False: this case gives it nothing to act on. A fused product's A has no contents yet.
  std::function<bool(ProductModel&)> spoil;
  std::function<bool(const kernels::Claim&)> applies = nullptr;  ///< null: to all
};

/// Alpha times the sum, beta C and the bias: what becomes of each on the way, and how often it
/// counts.
[[nodiscard]] std::vector<ProductRow> epilogue_rows();
/// k in parts: their sums, their borders, and where a part looks for its scale factors.
[[nodiscard]] std::vector<ProductRow> part_rows();
/// What the operands are when they meet: decoding, dequantized numbers, scale factors of some
/// blocks, tiles of k that are stale or reach beyond the row.
[[nodiscard]] std::vector<ProductRow> operand_rows();
/// Scale factors that are looked for in the wrong place of the 128x4 layout.
[[nodiscard]] std::vector<ProductRow> swizzle_rows();

/// The edit of a number, as far as FP32 holds it.
[[nodiscard]] golden::Value edited_value(const ValueEdit& edit, const golden::Value& x);
[[nodiscard]] golden::RationalValue edited_value(const ValueEdit& edit,
                                                 const golden::RationalValue& x);

/// The products at the places along k for which `holds(c, k)` count `times` times, 0 or more.
void count_terms(ProductModel& p, std::function<bool(std::int64_t c, std::int64_t k)> holds,
                 int times);

/// Which of two operands: 'a', 'b' or '2' for both.
[[nodiscard]] std::string operand_text(char side);

}  // namespace assay::proptests::diagnosis
