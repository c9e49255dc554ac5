// SPDX-License-Identifier: Apache-2.0
#include "proptests/tensor_edits.h"

#include <algorithm>

#include "golden/codec.h"
#include "golden/layout.h"

namespace assay::proptests {
namespace {

/// The code of 1 in the formats that occur here.
std::uint32_t one_of(const formats::FormatSpec& spec) {
  return golden::encode(spec, golden::value_of(1.0F), formats::RoundingMode::toward_zero,
                        golden::policy_of(formats::saturating, spec));
}

bool all_zero(const formats::BlockScaledTensor& t, std::int64_t row, std::int64_t first,
              std::int64_t count) {
  for (std::int64_t c = first; c < first + count; ++c)
    if (golden::load_code(t, row, c) != 0) return false;
  return true;
}

}  // namespace

formats::BlockScaledTensor crop(const formats::BlockScaledTensor& t, const Crop& c) {
  formats::BlockScaledTensor out;
  out.format = t.format;
  out.rows = c.rows;
  out.cols = c.cols;
  out.layout = t.layout;
  out.scale_layout = t.scale_layout;
  out.tensor_scale = t.tensor_scale;
  if (c.rows == 0 || c.cols == 0) return out;
  out.codes.assign(golden::code_bytes(*t.format->element, c.rows, c.cols, t.layout), 0);
  out.scales.assign(golden::scale_bytes(*t.format, c.rows, c.cols, t.scale_layout), 0);
  const golden::BlockGrid grid = golden::block_grid(*t.format, c.rows, c.cols);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b)
      golden::store_scale(out, r, b,
                          golden::load_scale(t, r + c.first_row / grid.block_rows,
                                             b + c.first_col / t.format->block.cols));
  for (std::int64_t r = 0; r < c.rows; ++r)
    for (std::int64_t i = 0; i < c.cols; ++i)
      golden::store_code(out, r, i, golden::load_code(t, r + c.first_row, i + c.first_col));
  return out;
}

void fill_padding(formats::BlockScaledTensor& t, std::uint8_t byte) {
  if (t.scale_layout == formats::ScaleLayout::row_major) return;
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  std::vector<std::uint8_t> padded(t.scales.size(), byte);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b) {
      const std::int64_t at = golden::scale_index(t.scale_layout, grid.down, grid.across, r, b);
      padded[at] = t.scales[at];
    }
  t.scales = std::move(padded);
}

std::vector<TensorEdit> tensor_edits(const formats::BlockScaledTensor& t, bool crops) {
  using Kind = TensorEdit::Kind;
  std::vector<TensorEdit> edits;
  if (t.rows == 0 || t.cols == 0) return edits;
  if (crops) {
    for (const Piece& p : smaller(t.rows))
      edits.push_back({Kind::crop, {p.first, p.count, 0, t.cols}});
    for (const Piece& p : smaller(t.cols))
      if (p.first % t.format->block.cols == 0)
        edits.push_back({Kind::crop, {0, t.rows, p.first, p.count}});
  }
  if (t.tensor_scale != 1.0F) edits.push_back({Kind::tensor_scale});
  for (std::int64_t length = t.cols; length > 0; length /= 2)
    for (std::int64_t r = 0; r < t.rows; ++r)
      for (std::int64_t first = 0; first < t.cols; first += length) {
        const std::int64_t count = std::min(length, t.cols - first);
        if (!all_zero(t, r, first, count)) edits.push_back({Kind::zero_codes, {}, r, first, count});
      }
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  const std::uint32_t unit = one_of(*t.format->scale);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b)
      if (golden::load_scale(t, r, b) != unit) edits.push_back({Kind::scale, {}, r, b, 1, unit});
  const std::uint32_t one = one_of(*t.format->element);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const std::uint32_t code = golden::load_code(t, r, c);
      if (code != 0 && code != one) edits.push_back({Kind::code, {}, r, c, 1, one});
    }
  return edits;
}

void perform(const TensorEdit& edit, formats::BlockScaledTensor& t) {
  switch (edit.kind) {
    case TensorEdit::Kind::crop:
      t = crop(t, edit.crop);
      break;
    case TensorEdit::Kind::zero_codes:
      for (std::int64_t c = edit.col; c < edit.col + edit.count; ++c)
        golden::store_code(t, edit.row, c, 0);
      break;
    case TensorEdit::Kind::code:
      golden::store_code(t, edit.row, edit.col, edit.code);
      break;
    case TensorEdit::Kind::scale:
      golden::store_scale(t, edit.row, edit.col, edit.code);
      break;
    case TensorEdit::Kind::tensor_scale:
      t.tensor_scale = 1.0F;
      break;
  }
}

}  // namespace assay::proptests
