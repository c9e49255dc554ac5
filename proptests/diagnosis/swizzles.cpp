// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/swizzles.h"

#include <algorithm>

namespace assay::proptests::diagnosis {
namespace {

std::int64_t in_tile(std::int64_t r, std::int64_t b) {
  return r % 32 * 16 + r % 128 / 32 * 4 + b % 4;
}
std::int64_t fours(std::int64_t columns) { return (columns + 3) / 4; }

constexpr Swizzle rows[] = {
    {"swizzle_tiles_rounded_down", "the swizzle counts tiles of four columns rounded down",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * (g.across / 4) + b / 4) * 512 + in_tile(r, b);
     }},
    {"swizzle_tiles_rounded_down",
     "the swizzle counts tiles of four columns rounded down, one at least",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * std::max<std::int64_t>(g.across / 4, 1) + b / 4) * 512 + in_tile(r, b);
     }},
    {"swizzle_unpadded", "the swizzle counts columns without padding them to a multiple of 4",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return r / 128 * g.across * 128 + b / 4 * 512 + in_tile(r, b);
     }},
    {"swizzle_tiles_one_more", "the swizzle counts one tile of four columns too many",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * (g.across / 4 + 1) + b / 4) * 512 + in_tile(r, b);
     }},
    {"swizzle_tiles_exchanged", "the swizzle lays tiles out column by column",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (b / 4 * ((g.down + 127) / 128) + r / 128) * 512 + in_tile(r, b);
     }},
    {"swizzle_of_other_extent", "the swizzle counts the blocks of the matrix's other extent",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours((g.down * g.block_rows + g.block_cols - 1) / g.block_cols) + b / 4) *
                  512 +
              in_tile(r, b);
     }},
    {"swizzle_rows_linear", "the swizzle has rows of a tile in their order",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours(g.across) + b / 4) * 512 + r % 128 * 4 + b % 4;
     }},
    {"swizzle_first_tile", "the swizzle forgets the tile's row",
     [](const golden::BlockGrid&, auto r, auto b) { return b / 4 * 512 + in_tile(r, b); }},
    {"swizzle_first_tile", "the swizzle forgets the tile's column",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return r / 128 * fours(g.across) * 512 + in_tile(r, b);
     }},
    {"swizzle_transposed", "the swizzle exchanges rows by 32 and columns of a tile",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours(g.across) + b / 4) * 512 + r % 32 * 16 + b % 4 * 4 + r % 128 / 32;
     }},
    {"swizzle_tail_rows", "rows beyond the first 32 of a tile share the places of the first 32",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours(g.across) + b / 4) * 512 + r % 32 * 16 + b % 4;
     }},
    {"swizzle_rows_interleaved", "the swizzle exchanges the row-in-32 and the row-by-32 indices",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours(g.across) + b / 4) * 512 + r % 128 / 4 * 16 + r % 4 * 4 + b % 4;
     }},
    {"swizzle_row_not_reduced",
     "the swizzle does not reduce the row to its tile before it is divided by 32",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours(g.across) + b / 4) * 512 + r % 32 * 16 + r / 32 * 4 + b % 4;
     }},
    {"swizzle_tile_of_64", "the swizzle has tiles of 64 rows",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 64 * fours(g.across) + b / 4) * 256 + r % 32 * 8 + r % 64 / 32 * 4 + b % 4;
     }},
    {"swizzle_tile_of_32", "the swizzle has tiles of 32 rows",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 32 * fours(g.across) + b / 4) * 128 + r % 32 * 4 + b % 4;
     }},
    {"swizzle_ignored", "scale factors lie in rows where 128x4 is claimed",
     [](const golden::BlockGrid& g, auto r, auto b) { return r * g.across + b; }},
    {"swizzle_ignored", "scale factors lie in padded rows where 128x4 is claimed",
     [](const golden::BlockGrid& g, auto r, auto b) { return r * (fours(g.across) * 4) + b; }},
    {"swizzle_ignored", "scale factors lie in columns where 128x4 is claimed",
     [](const golden::BlockGrid& g, auto r, auto b) { return b * g.down + r; }},
    {"swizzle_columns_reversed", "the swizzle has the four columns of a tile in the other order",
     [](const golden::BlockGrid& g, auto r, auto b) {
       return (r / 128 * fours(g.across) + b / 4) * 512 + in_tile(r, b) - b % 4 + 3 - b % 4;
     }},
};

}  // namespace

std::span<const Swizzle> swizzles() { return rows; }

bool is_swizzled(const kernels::Claim& c) {
  return c.scale_layout == formats::ScaleLayout::swizzled_128x4;
}

}  // namespace assay::proptests::diagnosis
