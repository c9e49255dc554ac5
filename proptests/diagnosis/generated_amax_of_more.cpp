// SPDX-License-Identifier: Apache-2.0
// Maxima of more than the block: what lies behind it in memory, what a buffer has kept of earlier
// blocks, other blocks.
#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_edits.h"

namespace assay::proptests::diagnosis {
namespace {

using Region = QuantizerModel::Region;

/// What counts beside the block's own elements, for the blocks that it concerns.
struct More {
  const char* id;
  const char* text;
  bool partial;  ///< of blocks at the edge that are not whole alone
  float (*of)(const QuantizerModel& m, std::int64_t r, std::int64_t b);
};
float at(const QuantizerModel& m, std::int64_t r, std::int64_t c) {
  if (r < 0 || c < 0 || r >= m.rows || c >= m.cols) return 0.0F;
  const float v = std::fabs(m.x[static_cast<std::size_t>(r * m.cols + c)]);
  return std::isfinite(v) ? v : 0.0F;
}
std::int64_t width_of(const QuantizerModel& m) {
  return golden::block_grid(m.format, m.rows, m.cols).block_cols;
}
std::int64_t height_of(const QuantizerModel& m) {
  return golden::block_grid(m.format, m.rows, m.cols).block_rows;
}
/// The places of a block that the matrix does not have, looked up somewhere else.
template <class Where>
float beyond(const QuantizerModel& m, std::int64_t r, std::int64_t b, Where where) {
  const Region here = m.region(r, b);
  float most = 0;
  for (std::int64_t i = r * height_of(m); i < (r + 1) * height_of(m); ++i)
    for (std::int64_t c = b * width_of(m); c < (b + 1) * width_of(m); ++c)
      if (i >= here.last_row || c >= here.last) most = std::max(most, where(i, c));
  return most;
}
template <std::int64_t back>
float columns_before(const QuantizerModel& m, std::int64_t r, std::int64_t b) {
  return beyond(m, r, b, [&](auto i, auto c) { return at(m, i, c - back); });
}
template <std::int64_t back>
float rows_before(const QuantizerModel& m, std::int64_t r, std::int64_t b) {
  return beyond(m, r, b, [&](auto i, auto c) { return at(m, i - back, c); });
}
/// The elements that lie behind in memory, rows being dense.
float next_in_memory(const QuantizerModel& m, std::int64_t r, std::int64_t b) {
  return beyond(m, r, b, [&](auto i, auto c) {
    const std::int64_t flat = i * m.cols + c;
    return flat < m.rows * m.cols ? at(m, flat / m.cols, flat % m.cols) : 0.0F;
  });
}
float block_before(const QuantizerModel& m, std::int64_t r, std::int64_t b) {
  return b > 0 ? m.amax(m.region(r, b - 1), true) : 0.0F;
}
float blocks_of_row_before(const QuantizerModel& m, std::int64_t r, std::int64_t b) {
  float most = 0;
  for (std::int64_t i = 0; i < b; ++i) most = std::max(most, m.amax(m.region(r, i), true));
  return most;
}
float all_before(const QuantizerModel& m, std::int64_t r, std::int64_t b) {
  float most = blocks_of_row_before(m, r, b);
  const std::int64_t across = golden::block_grid(m.format, m.rows, m.cols).across;
  for (std::int64_t i = 0; i < r; ++i) most = std::max(most, blocks_of_row_before(m, i, across));
  return most;
}
constexpr More more[] = {
    {"amax_reads_next_row",
     "the amax of a partial block counts the elements that follow in memory, of the next row", true,
     next_in_memory},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the block before it has left in the buffer", true,
     [](const auto& m, auto r, auto b) {
       return beyond(m, r, b, [&](auto i, auto c) { return at(m, i, c - width_of(m)); });
     }},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the buffer of 32 columns held before", true,
     columns_before<32>},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the buffer of 64 columns held before", true,
     columns_before<64>},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the buffer of 128 columns held before", true,
     columns_before<128>},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the row before has left in the buffer", true,
     [](const auto& m, auto r, auto b) {
       return beyond(m, r, b, [&](auto i, auto) {
         float most = 0;
         for (std::int64_t c = 0; c < m.cols; ++c) most = std::max(most, at(m, i - 1, c));
         return most;
       });
     }},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the block of rows above has left in the buffer", true,
     [](const auto& m, auto r, auto b) {
       return beyond(m, r, b, [&](auto i, auto c) { return at(m, i - height_of(m), c); });
     }},
    {"amax_of_stale_buffer",
     "the amax of a partial block counts what the buffer of 32 rows held before", true,
     rows_before<32>},
    {"amax_with_block_before", "the amax of a block counts that of the block before it", false,
     block_before},
    {"amax_with_block_before", "the amax of a partial block counts that of the block before it",
     true, block_before},
    {"amax_with_block_before",
     "blocks go in pairs, and the last of an odd number counts the amax of the one before it",
     false,
     [](const auto& m, auto r, auto b) {
       const std::int64_t across = golden::block_grid(m.format, m.rows, m.cols).across;
       return across % 2 == 1 && b == across - 1 ? block_before(m, r, b) : 0.0F;
     }},
    {"amax_with_block_before", "the last block of a row counts the amax of the one before it",
     false,
     [](const auto& m, auto r, auto b) {
       const std::int64_t across = golden::block_grid(m.format, m.rows, m.cols).across;
       return b == across - 1 ? block_before(m, r, b) : 0.0F;
     }},
    {"amax_not_reset", "the amax goes on from block to block of a row: it is not reset", false,
     blocks_of_row_before},
    {"amax_not_reset", "the amax goes on from block to block and row to row: it is not reset",
     false, all_before},
};

/// A buffer of one block through which all go, in some order, and which nobody clears: a partial
/// block finds there what lies beyond its edge.
void of_one_buffer(std::vector<QuantizerEdit>& out) {
  for (const bool by_rows : {true, false})
    out.push_back(
        {"amax_of_stale_buffer",
         std::string("the amax of a partial block counts what earlier blocks have left in the "
                     "buffer, block ") +
             (by_rows ? "after block of a row" : "below block of a column"),
         [by_rows](QuantizerModel& q, const Case&) {
           if (q.rows == 0 || q.cols == 0) return false;
           const golden::BlockGrid g = golden::block_grid(q.format, q.rows, q.cols);
           if (q.rows % g.block_rows == 0 && q.cols % g.block_cols == 0) return false;
           std::vector<float> buffer(static_cast<std::size_t>(g.block_rows * g.block_cols));
           std::vector<float> most(static_cast<std::size_t>(g.down * g.across));
           for (std::int64_t i = 0; i < g.down * g.across; ++i) {
             const std::int64_t r = by_rows ? i / g.across : i % g.down;
             const std::int64_t b = by_rows ? i % g.across : i / g.down;
             const Region here = q.region(r, b);
             for (std::int64_t row = here.first_row; row < here.last_row; ++row)
               for (std::int64_t c = here.first; c < here.last; ++c)
                 buffer[static_cast<std::size_t>((row - here.first_row) * g.block_cols + c -
                                                 here.first)] = at(q, row, c);
             most[static_cast<std::size_t>(r * g.across + b)] =
                 *std::max_element(buffer.begin(), buffer.end());
           }
           q.amax_more = [most, across = g.across](const QuantizerModel&, auto r, auto b) {
             return most[static_cast<std::size_t>(r * across + b)];
           };
           return true;
         }});
}

void of_more(std::vector<QuantizerEdit>& out) {
  for (const More& row : more)
    out.push_back({row.id, row.text, [&row](QuantizerModel& q, const Case&) {
                     q.amax_more = [&row](const QuantizerModel& m, std::int64_t r, std::int64_t b) {
                       const Region here = m.region(r, b);
                       const bool whole = here.last_row - here.first_row == height_of(m) &&
                                          here.last - here.first == width_of(m);
                       return row.partial && whole ? 0.0F : row.of(m, r, b);
                     };
                     return true;
                   }});
  // Where rows do not follow each other, what lies between them, and then the next row.
  out.insert(out.begin(),
             {"amax_reads_next_row",
              "the amax of a partial block counts what follows in memory: the next row, or what "
              "lies between",
              [](QuantizerModel& q, const Case& c) {
                const std::uint32_t bits = c.call.pad * 0x01010101U;
                const float v = std::fabs(std::bit_cast<float>(bits));
                const float pad = std::isfinite(v) ? v : 0.0F;
                q.amax_more = [pad, gap = c.call.row_gap](const QuantizerModel& m, std::int64_t r,
                                                          std::int64_t b) {
                  return beyond(m, r, b, [&](auto i, auto col) {
                    const std::int64_t flat = i * (m.cols + gap) + col;
                    const std::int64_t row = flat / (m.cols + gap);
                    const std::int64_t at_col = flat % (m.cols + gap);
                    if (row >= m.rows) return 0.0F;
                    return at_col < m.cols ? at(m, row, at_col) : pad;
                  });
                };
                return true;
              }});
  for (const std::int64_t shared : {2, 4, 8})
    out.push_back({"amax_shared_by_blocks",
                   std::to_string(shared) + " blocks of a row share an amax",
                   [shared](QuantizerModel& q, const Case&) {
                     q.amax_cols = shared * q.format.block.cols;
                     return true;
                   }});
  for (const std::int64_t part : {2, 4})
    out.push_back({"amax_of_part",
                   "the amax is that of every 1/" + std::to_string(part) +
                       " of a block, of which the last counts",
                   [part](QuantizerModel& q, const Case&) {
                     q.amax_first = q.format.block.cols - q.format.block.cols / part;
                     return true;
                   }});
  out.push_back({"amax_whole_tensor", "all blocks share the amax of the tensor",
                 [](QuantizerModel& q, const Case&) {
                   const float whole = q.amax({0, q.rows, 0, q.cols}, true);
                   q.amax_more = [whole](const auto&, auto, auto) { return whole; };
                   return true;
                 }});
}

}  // namespace

std::vector<QuantizerEdit> amax_of_more_edits() {
  std::vector<QuantizerEdit> out;
  of_more(out);
  of_one_buffer(out);
  return out;
}

}  // namespace assay::proptests::diagnosis
