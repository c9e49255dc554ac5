// SPDX-License-Identifier: Apache-2.0
// Operands as a person reads them: codes and values. Long operands are cut; the replay has them
// whole.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "golden/layout.h"
#include "golden/quantize.h"
#include "proptests/judge.h"

namespace assay::proptests {
namespace {
constexpr std::int64_t most_rows = 8;
constexpr std::int64_t most_cols = 40;
}  // namespace

std::string show_matrix(std::span<const float> x, std::int64_t cols) {
  const std::int64_t rows = cols == 0 ? 0 : static_cast<std::int64_t>(x.size()) / cols;
  std::string text = fmt::format("{} x {}", rows, cols);
  for (std::int64_t r = 0; r < std::min(rows, most_rows); ++r) {
    text += "\n     ";
    for (std::int64_t c = 0; c < std::min(cols, most_cols); ++c) {
      const float value = x[r * cols + c];
      text += fmt::format(" {:.9g}", value);
      if (value != 0.0F) text += fmt::format("/{:08x}", std::bit_cast<std::uint32_t>(value));
    }
    if (cols > most_cols) text += " ...";
  }
  if (rows > most_rows) text += "\n      ...";
  return text;
}

std::string show_tensor(const formats::BlockScaledTensor& t) {
  if (t.rows == 0 || t.cols == 0) return fmt::format("{} x {} {}", t.rows, t.cols, t.format->name);
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  std::string text = fmt::format("{} x {} {}", t.rows, t.cols, t.format->name);
  if (t.format->tensor_scale == formats::TensorScale::fp32)
    text += ", tensor scale " + show(t.tensor_scale);
  for (std::int64_t r = 0; r < std::min(t.rows, most_rows); ++r)
    for (std::int64_t b = 0; b < std::min<std::int64_t>(grid.across, 3); ++b) {
      text +=
          fmt::format("\n      row {} block {}: scale {}, elements", r, b,
                      show_code(*t.format->scale, golden::load_scale(t, r / grid.block_rows, b)));
      for (std::int64_t c = b * grid.block_cols; c < std::min(t.cols, (b + 1) * grid.block_cols);
           ++c) {
        const std::uint32_t code = golden::load_code(t, r, c);
        text += fmt::format(" {:x}({})", code,
                            show(golden::to_rational(golden::decode(*t.format->element, code))));
      }
    }
  if (t.rows > most_rows || grid.across > 3) text += "\n      ...";
  return text;
}

}  // namespace assay::proptests
