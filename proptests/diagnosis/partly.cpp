// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/partly.h"

#include <algorithm>
#include <array>

#include "golden/layout.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {

std::optional<Spread> spread_of(const formats::FormatSpec& output, std::span<const float> observed,
                                const Expectation& wrong, const Expectation& right) {
  const std::size_t size = observed.size();
  if (wrong.reference.size() != size || right.reference.size() != size) return std::nullopt;
  Spread spread;
  for (std::size_t i = 0; i < size; ++i) {
    const bool is_right = judge_number(output, observed[i], right.reference[i], right.bounds[i]) !=
                          golden::Judgement::outside;
    if (!is_right && !matches(output, observed.subspan(i, 1), wrong.reference.subspan(i, 1),
                              wrong.bounds.subspan(i, 1)))
      return std::nullopt;
    spread.possible += wrong.reference[i] == right.reference[i] ? 0 : 1;
    spread.shown += is_right ? 0 : 1;
  }
  return spread;
}

std::optional<Spread> spread_of(const formats::BlockScaledTensor& observed,
                                const formats::BlockScaledTensor& wrong,
                                const formats::BlockScaledTensor& right) {
  const auto shaped_alike = [&](const formats::BlockScaledTensor& other) {
    return observed.tensor_scale == other.tensor_scale &&
           observed.codes.size() == other.codes.size() &&
           observed.scales.size() == other.scales.size();
  };
  if (!shaped_alike(wrong) || !shaped_alike(right)) return std::nullopt;
  const golden::BlockGrid grid = golden::block_grid(*right.format, right.rows, right.cols);
  Spread spread;
  for (std::int64_t r = 0; r < right.rows; ++r)
    for (std::int64_t c = 0; c < right.cols; ++c) {
      const auto stored = [&](const formats::BlockScaledTensor& t) {
        return std::array{golden::load_scale(t, r / grid.block_rows, c / grid.block_cols),
                          golden::load_code(t, r, c)};
      };
      const auto seen = stored(observed);
      const auto w = stored(wrong);
      const auto x = stored(right);
      if (seen != w && seen != x) return std::nullopt;
      spread.possible += w == x ? 0 : 1;
      spread.shown += seen == x ? 0 : 1;
    }
  return spread;
}

}  // namespace assay::proptests::diagnosis
