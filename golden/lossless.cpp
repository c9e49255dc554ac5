// SPDX-License-Identifier: Apache-2.0
#include "golden/lossless.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "golden/codec.h"
#include "golden/layout.h"

namespace assay::golden {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;

constexpr std::uint32_t nan_scale = 0xFF;  // E8M0
constexpr std::uint32_t magnitude_of_e2m1 = 0x7;

void require(bool ok, const char* sentence) {
  if (!ok) throw std::invalid_argument(sentence);
}

void validate(const BlockScaledTensor& t, const BlockFormat& target) {
  require_consistent(t);
  const BlockFormat& source = *t.format;
  require(source.element->name == formats::e2m1.name && source.scale->name == formats::e8m0.name &&
              source.tensor_scale == formats::TensorScale::none,
          "Lossless re-encoding takes E2M1 elements with E8M0 scale factors and no tensor scale.");
  require(target.element->name == formats::e4m3.name && target.scale->name == formats::e8m0.name &&
              target.tensor_scale == formats::TensorScale::none,
          "Lossless re-encoding gives E4M3 elements with E8M0 scale factors and no tensor scale.");
  const BlockGrid from = block_grid(source, t.rows, t.cols);
  const BlockGrid to = block_grid(target, t.rows, t.cols);
  require((to.block_rows % from.block_rows == 0 || to.down == 1) &&
              (to.block_cols % from.block_cols == 0 || to.across == 1),
          "Every block of the tensor must lie inside one block of the target format.");
}

struct Rectangle {
  std::int64_t row, col, row_end, col_end;
};

// The scale code of the target block: the largest among the elements that are not zero (among all,
// if all are zero), six binades lower, and at least 2^-127. NaN scale factors do not count.
std::uint32_t target_scale(const BlockScaledTensor& t, const BlockGrid& from, const Rectangle& at) {
  std::uint32_t largest = 0;
  std::uint32_t largest_nonzero = 0;
  bool any_nonzero = false;
  for (std::int64_t r = at.row; r < at.row_end; ++r) {
    for (std::int64_t c = at.col; c < at.col_end; ++c) {
      const std::uint32_t scale = load_scale(t, r / from.block_rows, c / from.block_cols);
      if (scale == nan_scale) continue;
      largest = std::max(largest, scale);
      if ((load_code(t, r, c) & magnitude_of_e2m1) == 0) continue;
      largest_nonzero = std::max(largest_nonzero, scale);
      any_nonzero = true;
    }
  }
  const std::uint32_t top = any_nonzero ? largest_nonzero : largest;
  return top < 6 ? 0 : top - 6;
}

// The E4M3 code of element * 2^(scale - target scale), if there is one.
std::optional<std::uint32_t> reencode(std::uint32_t code, std::uint32_t scale,
                                      std::uint32_t target_scale_code) {
  using formats::e4m3;
  if (scale == nan_scale) return canonical_nan(e4m3);
  const int shift = static_cast<int>(scale) - static_cast<int>(target_scale_code);
  const Value exact = decode(formats::e2m1, code) * Value::finite(Exact::power_of_two(shift));
  const std::uint32_t result =
      encode(e4m3, exact, RoundingMode::nearest_even, policy_of(formats::saturating, e4m3));
  if (!(decode(e4m3, result) == exact)) return std::nullopt;
  return result;
}

}  // namespace

LosslessE4m3 lossless_e4m3(const BlockScaledTensor& t, const BlockFormat& target) {
  validate(t, target);
  const BlockGrid from = block_grid(*t.format, t.rows, t.cols);
  const BlockGrid to = block_grid(target, t.rows, t.cols);
  LosslessE4m3 result;
  BlockScaledTensor& out = result.tensor;
  out.format = &target;
  out.rows = t.rows;
  out.cols = t.cols;
  out.codes.resize(code_bytes(*target.element, t.rows, t.cols, out.layout));
  out.scales.resize(scale_bytes(target, t.rows, t.cols, out.scale_layout));
  for (std::int64_t r = 0; r < to.down; ++r) {
    for (std::int64_t c = 0; c < to.across; ++c) {
      const Rectangle at{r * to.block_rows, c * to.block_cols,
                         std::min((r + 1) * to.block_rows, t.rows),
                         std::min((c + 1) * to.block_cols, t.cols)};
      store_scale(out, r, c, target_scale(t, from, at));
    }
  }
  for (std::int64_t r = 0; r < t.rows; ++r) {
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const auto code =
          reencode(load_code(t, r, c), load_scale(t, r / from.block_rows, c / from.block_cols),
                   load_scale(out, r / to.block_rows, c / to.block_cols));
      if (!code) return {false, {}, r, c};
      store_code(out, r, c, *code);
    }
  }
  result.lossless = true;
  return result;
}

}  // namespace assay::golden
