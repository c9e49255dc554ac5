// SPDX-License-Identifier: Apache-2.0
#include "golden/relayout.h"

namespace assay::golden {

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

}  // namespace assay::golden
