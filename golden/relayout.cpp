// SPDX-License-Identifier: Apache-2.0
#include "golden/relayout.h"

#include <stdexcept>

namespace assay::golden {
namespace {

template <class RowOf>
formats::BlockScaledTensor permute_rows(const formats::BlockScaledTensor& t, RowOf row_of) {
  require_consistent(t);
  if (t.format->block.rows != 1 || t.rows % 2 != 0)
    throw std::invalid_argument(
        "interleaving gates and ups needs blocks of one row and an even number of rows");
  formats::BlockScaledTensor result = t;
  const BlockGrid grid = block_grid(*t.format, t.rows, t.cols);
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const std::int64_t to = row_of(r, t.rows / 2);
    for (std::int64_t c = 0; c < t.cols; ++c) store_code(result, to, c, load_code(t, r, c));
    for (std::int64_t b = 0; b < grid.across; ++b) store_scale(result, to, b, load_scale(t, r, b));
  }
  return result;
}

}  // namespace

formats::BlockScaledTensor relayout(const formats::BlockScaledTensor& t, formats::Layout codes,
                                    formats::ScaleLayout scales) {
  require_consistent(t);
  formats::BlockScaledTensor result = t;
  result.layout = codes;
  result.scale_layout = scales;
  result.codes.assign(code_bytes(*t.format->element, t.rows, t.cols, codes), 0);
  result.scales.assign(scale_bytes(*t.format, t.rows, t.cols, scales), 0);
  for (std::int64_t r = 0; r < t.rows; ++r) {
    for (std::int64_t c = 0; c < t.cols; ++c) store_code(result, r, c, load_code(t, r, c));
  }
  const BlockGrid grid = block_grid(*t.format, t.rows, t.cols);
  for (std::int64_t r = 0; r < grid.down; ++r) {
    for (std::int64_t c = 0; c < grid.across; ++c) store_scale(result, r, c, load_scale(t, r, c));
  }
  return result;
}

formats::BlockScaledTensor interleave_gate_up(const formats::BlockScaledTensor& t) {
  return permute_rows(
      t, [](std::int64_t r, std::int64_t n) { return r < n ? 2 * r : 2 * (r - n) + 1; });
}

formats::BlockScaledTensor separate_gate_up(const formats::BlockScaledTensor& t) {
  return permute_rows(t, [](std::int64_t r, std::int64_t n) { return r % 2 * n + r / 2; });
}

}  // namespace assay::golden
