// SPDX-License-Identifier: Apache-2.0
#include "golden/grouped.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "golden/fp8_weights.h"

namespace assay::golden {
namespace {

FactoredMatrix one_row(const FactoredMatrix& a, std::int64_t row) {
  const auto slice = [&](const std::vector<Value>& v) {
    return std::vector<Value>(v.begin() + row * a.cols, v.begin() + (row + 1) * a.cols);
  };
  return {1, a.cols, slice(a.elements), slice(a.scales), a.tensor_scale, a.element_format};
}

}  // namespace

std::vector<std::int64_t> contiguous_groups(std::span<const std::int64_t> offsets,
                                            std::int64_t rows) {
  const bool ascending = std::is_sorted(offsets.begin(), offsets.end());
  if (offsets.empty() || !ascending || offsets.front() < 0 || offsets.back() > rows) {
    throw std::invalid_argument(
        "Group offsets must start at 0 or above, not descend and end at the number of rows, " +
        std::to_string(rows) + ", at most.");
  }
  std::vector<std::int64_t> groups(rows, no_group);
  for (std::size_t g = 0; g + 1 < offsets.size(); ++g) {
    for (std::int64_t r = offsets[g]; r < offsets[g + 1]; ++r) {
      groups[r] = static_cast<std::int64_t>(g);
    }
  }
  return groups;
}

std::vector<std::int64_t> masked_groups(std::span<const std::int64_t> counts,
                                        std::int64_t max_rows) {
  std::vector<std::int64_t> groups(counts.size() * max_rows, no_group);
  for (std::size_t g = 0; g < counts.size(); ++g) {
    if (counts[g] < 0 || counts[g] > max_rows) {
      throw std::invalid_argument("Group " + std::to_string(g) + " has " +
                                  std::to_string(counts[g]) + " valid rows; it holds 0 to " +
                                  std::to_string(max_rows) + ".");
    }
    std::fill_n(groups.begin() + static_cast<std::int64_t>(g) * max_rows, counts[g],
                static_cast<std::int64_t>(g));
  }
  return groups;
}

GroupedOracle grouped_gemm_oracle(const FactoredMatrix& a, std::span<const FactoredMatrix> b,
                                  std::span<const std::int64_t> groups, float alpha,
                                  const AccumulatorModel& model) {
  if (static_cast<std::int64_t>(groups.size()) != a.rows || b.empty()) {
    throw std::invalid_argument("A grouped GEMM needs a group per row of A and at least one B.");
  }
  for (const FactoredMatrix& m : b) {
    if (m.rows != b.front().rows || m.cols != b.front().cols) {
      throw std::invalid_argument("The B matrices of a grouped GEMM must have one shape.");
    }
  }
  if (model.kind == AccumulatorClass::truncating && model.stage == ScaleStage::reencoded_weights) {
    const Fp8Weights weights = fp8_weights(b, model);
    return grouped_gemm_oracle(a, weights.matrices, groups, alpha, weights.model);
  }
  GroupedOracle result;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::int64_t group = groups[r];
    if (group != no_group && (group < 0 || group >= static_cast<std::int64_t>(b.size()))) {
      throw std::invalid_argument("Row " + std::to_string(r) + " belongs to group " +
                                  std::to_string(group) + ", which has no B.");
    }
    result.written.push_back(group != no_group);
    GemmOracle row;
    if (group == no_group) {
      row.reference.resize(b.front().rows);
      row.bounds.resize(b.front().rows);
    } else {
      row = gemm_oracle(one_row(a, r), b[group], {alpha, 0.0F, {}, {}}, model);
    }
    result.oracle.reference.insert(result.oracle.reference.end(), row.reference.begin(),
                                   row.reference.end());
    result.oracle.bounds.insert(result.oracle.bounds.end(), row.bounds.begin(), row.bounds.end());
  }
  return result;
}

}  // namespace assay::golden
