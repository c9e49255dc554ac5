// SPDX-License-Identifier: Apache-2.0
#pragma once
// Grouped GEMM: every row of A meets the B of its group. Rows of no group are not written. The two
// layouts of the field (DeepGEMM's names), A being one matrix of all rows in both:
//
//   contiguous  A is [rows, k]; rows offsets[g] .. offsets[g + 1] - 1 are group g's.
//   masked      A is [groups * max_rows, k]; of group g's max_rows rows the first counts[g] are
//   valid.

#include <cstdint>
#include <span>
#include <vector>

#include "golden/gemm_bounds.h"

namespace assay::golden {

inline constexpr std::int64_t no_group = -1;

/// The group of each row, or no_group. Throws std::invalid_argument unless the groups + 1 offsets
/// are nonnegative, do not descend and end at `rows` at most; a group may be empty.
[[nodiscard]] std::vector<std::int64_t> contiguous_groups(std::span<const std::int64_t> offsets,
                                                          std::int64_t rows);
/// The same of the masked layout; throws unless 0 <= counts[g] <= max_rows.
[[nodiscard]] std::vector<std::int64_t> masked_groups(std::span<const std::int64_t> counts,
                                                      std::int64_t max_rows);

/// rows x n; nothing of an unwritten row means anything.
struct GroupedOracle {
  GemmOracle oracle;
  std::vector<bool> written;  ///< per row
};

/// A: rows x k; b: one n x k matrix per group, all of one shape; `groups` as above. D = alpha A
/// B_g^T. Throws std::invalid_argument for a group without a B, for B's of different shapes, and
/// for what gemm_oracle rejects.
[[nodiscard]] GroupedOracle grouped_gemm_oracle(const FactoredMatrix& a,
                                                std::span<const FactoredMatrix> b,
                                                std::span<const std::int64_t> groups, float alpha,
                                                const AccumulatorModel& model);

}  // namespace assay::golden
