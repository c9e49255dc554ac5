// SPDX-License-Identifier: Apache-2.0
// Where a quantizer stores codes and scale factors, and what lies between them.
#include <algorithm>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_edits.h"
#include "proptests/diagnosis/swizzles.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using golden::BlockGrid;

std::int64_t in_tile(std::int64_t r, std::int64_t b) {
  return r % 32 * 16 + r % 128 / 32 * 4 + b % 4;
}
std::int64_t fours(std::int64_t blocks) { return (blocks + 3) / 4; }

QuantizerEdit storing(std::string id, std::string text,
                      std::function<void(BlockScaledTensor&)> store) {
  return {std::move(id), std::move(text),
          [store = std::move(store)](QuantizerModel& q, const Case&) {
            q.store = store;
            return true;
          }};
}

std::int64_t row_bytes(const BlockScaledTensor& t) { return (t.cols + 1) / 2; }
/// Codes that are packed by another index of nibbles, in the array that there is.
template <class Index>
void pack(BlockScaledTensor& t, Index index) {
  const BlockScaledTensor from = t;
  std::fill(t.codes.begin(), t.codes.end(), 0);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const std::int64_t at = index(t, r, c);
      if (at < 0 || at / 2 >= std::ssize(t.codes)) continue;
      std::uint8_t& byte = t.codes[static_cast<std::size_t>(at / 2)];
      const auto code = static_cast<std::uint8_t>(golden::load_code(from, r, c));
      byte = static_cast<std::uint8_t>(at % 2 == 0 ? (byte & 0xF0U) | code
                                                   : (byte & 0x0FU) | code << 4U);
    }
}

void of_packing(std::vector<QuantizerEdit>& out) {
  out.push_back(storing(
      "codes_packed_across_rows",
      "codes are packed through the whole matrix: a row of odd length does not begin at a byte",
      [](auto& t) { pack(t, [](auto& q, auto r, auto c) { return r * q.cols + c; }); }));
  out.push_back(storing(
      "codes_stride_rounded_down", "rows of codes are floor(k / 2) bytes apart",
      [](auto& t) { pack(t, [](auto& q, auto r, auto c) { return r * (q.cols / 2) * 2 + c; }); }));
  out.push_back(
      storing("last_code_nibble", "the last code of an odd row is in the high nibble", [](auto& t) {
        pack(t, [](auto& q, auto r, auto c) {
          const bool lone = c + 1 == q.cols && q.cols % 2 == 1;
          return r * row_bytes(q) * 2 + c + (lone ? 1 : 0);
        });
      }));
  for (const std::int64_t tail : {4, 8, 16, 32})
    out.push_back(storing("tail_nibbles_swapped",
                          "the even element is in the high nibble behind the last whole " +
                              std::to_string(tail) + " columns",
                          [tail](auto& t) {
                            pack(t, [tail](auto& q, auto r, auto c) {
                              const bool in_tail = c >= q.cols / tail * tail;
                              return r * row_bytes(q) * 2 + (in_tail ? c ^ 1 : c);
                            });
                          }));
  out.push_back(storing("last_code_lost", "the last code of an odd row is not stored",
                        [](BlockScaledTensor& t) {
                          if (t.cols % 2 == 0) return;
                          for (std::int64_t r = 0; r < t.rows; ++r)
                            golden::store_code(t, r, t.cols - 1, 0);
                        }));
  out.push_back(storing("last_code_doubled",
                        "the unused nibble of an odd row repeats the last code",
                        [](BlockScaledTensor& t) {
                          if (t.cols % 2 == 0) return;
                          for (std::int64_t r = 0; r < t.rows; ++r) {
                            std::uint8_t& b = t.codes[(r + 1) * row_bytes(t) - 1];
                            b = static_cast<std::uint8_t>(b | b << 4U);
                          }
                        }));
  out.push_back(storing("bytes_swapped", "the bytes of every four are stored in the other order",
                        [](BlockScaledTensor& t) {
                          for (std::size_t i = 0; i + 3 < t.codes.size(); i += 4)
                            std::reverse(t.codes.begin() + static_cast<std::ptrdiff_t>(i),
                                         t.codes.begin() + static_cast<std::ptrdiff_t>(i) + 4);
                        }));
}

void of_scale_places(std::vector<QuantizerEdit>& out) {
  for (const Swizzle& row : swizzles()) {
    out.push_back(storing(row.id, row.text, [&row](BlockScaledTensor& t) {
      const BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
      const BlockScaledTensor from = t;
      std::fill(t.scales.begin(), t.scales.end(), 0);
      for (std::int64_t r = 0; r < g.down; ++r)
        for (std::int64_t b = 0; b < g.across; ++b)
          if (const std::int64_t at = row.at(g, r, b); at < std::ssize(t.scales))
            t.scales[at] = static_cast<std::uint8_t>(golden::load_scale(from, r, b));
    }));
    const auto spoil = out.back().spoil;
    out.back().spoil = [spoil](QuantizerModel& q, const Case& c) {
      return q.scale_layout == formats::ScaleLayout::swizzled_128x4 && spoil(q, c);
    };
  }
  out.push_back(storing(
      "last_scale_misplaced",
      "the scale factor of the last, partial block is stored over that of the block before it",
      [](BlockScaledTensor& t) {
        Grid g = scales_of(t);
        const std::int64_t width = golden::block_grid(*t.format, t.rows, t.cols).block_cols;
        if (t.cols % width == 0 || g.cols < 2) return;
        for (std::int64_t r = 0; r < g.rows; ++r) {
          g.set(r, g.cols - 2, g.get(r, g.cols - 1));
          g.set(r, g.cols - 1, 0);
        }
      }));
  out.push_back(storing("last_scale_lost", "the scale factor of a partial block is not stored",
                        [](BlockScaledTensor& t) {
                          Grid g = scales_of(t);
                          const BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
                          if (t.cols % grid.block_cols == 0) return;
                          for (std::int64_t r = 0; r < g.rows; ++r) g.set(r, g.cols - 1, 0);
                        }));
  out.push_back(storing("scales_packed_across_rows",
                        "scale factors are stored by floor((row * k + column) / block)",
                        [](BlockScaledTensor& t) {
                          const BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
                          const BlockScaledTensor from = t;
                          if (t.scale_layout != formats::ScaleLayout::row_major) return;
                          std::fill(t.scales.begin(), t.scales.end(), 0);
                          for (std::int64_t r = 0; r < g.down; ++r)
                            for (std::int64_t b = 0; b < g.across; ++b)
                              t.scales[(r * t.cols + b * g.block_cols) / g.block_cols] =
                                  static_cast<std::uint8_t>(golden::load_scale(from, r, b));
                        }));
}

/// Bytes of scale factors and nibbles that belong to nothing.
void of_padding(std::vector<QuantizerEdit>& out) {
  out.push_back(storing("padding_not_zero",
                        "padding of the scale factors repeats the last row and column",
                        [](BlockScaledTensor& t) {
                          if (t.scale_layout != formats::ScaleLayout::swizzled_128x4) return;
                          const BlockScaledTensor from = t;
                          const BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
                          for (std::int64_t r = 0; r < (g.down + 127) / 128 * 128; ++r)
                            for (std::int64_t b = 0; b < fours(g.across) * 4; ++b)
                              t.scales[(r / 128 * fours(g.across) + b / 4) * 512 + in_tile(r, b)] =
                                  static_cast<std::uint8_t>(golden::load_scale(
                                      from, std::min(r, g.down - 1), std::min(b, g.across - 1)));
                        }));
}

}  // namespace

std::vector<QuantizerEdit> store_edits() {
  std::vector<QuantizerEdit> out;
  of_scale_places(out);
  of_packing(out);
  of_padding(out);
  for (const MapEdit& edit : map_edits())
    for (const bool scales : {false, true})
      for (const bool wrap : {false, true})
        out.push_back(storing(std::string(scales ? "stored_scale_" : "stored_code_") + edit.id,
                              said(edit.text, scales ? "each scale factor that is stored"
                                                     : "each code that is stored"),
                              [&edit, scales, wrap](BlockScaledTensor& t) {
                                Grid g = scales ? scales_of(t) : codes_of(t);
                                apply(edit, g, wrap);
                              }));
  return out;
}

}  // namespace assay::proptests::diagnosis
