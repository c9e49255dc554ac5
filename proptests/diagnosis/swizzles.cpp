// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/swizzles.h"

namespace assay::proptests::diagnosis {
namespace {

std::int64_t in_tile(std::int64_t r, std::int64_t b) {
  return r % 32 * 16 + r % 128 / 32 * 4 + b % 4;
}
constexpr Swizzle rows[] = {
    {"swizzle_tiles_rounded_down", "the swizzle counts tiles of four columns rounded down",
     [](const auto& g, auto r, auto b) {
       return (r / 128 * (g.across / 4) + b / 4) * 512 + in_tile(r, b);
     }},
    {"swizzle_tiles_one_more", "the swizzle counts one tile of four columns too many",
     [](const auto& g, auto r, auto b) {
       return (r / 128 * (g.across / 4 + 1) + b / 4) * 512 + in_tile(r, b);
     }},
    {"swizzle_tiles_exchanged", "the swizzle lays tiles out column by column",
     [](const auto& g, auto r, auto b) {
       return (b / 4 * ((g.down + 127) / 128) + r / 128) * 512 + in_tile(r, b);
     }},
    {"swizzle_rows_linear", "the swizzle has rows of a tile in their order",
     [](const auto& g, auto r, auto b) {
       return (r / 128 * ((g.across + 3) / 4) + b / 4) * 512 + r % 128 * 4 + b % 4;
     }},
    {"swizzle_first_tile", "the swizzle forgets the tile's row",
     [](const auto&, auto r, auto b) { return b / 4 * 512 + in_tile(r, b); }},
    {"swizzle_first_tile", "the swizzle forgets the tile's column",
     [](const auto& g, auto r, auto b) {
       return r / 128 * ((g.across + 3) / 4) * 512 + in_tile(r, b);
     }},
    {"swizzle_transposed", "the swizzle exchanges rows by 32 and columns of a tile",
     [](const auto& g, auto r, auto b) {
       return (r / 128 * ((g.across + 3) / 4) + b / 4) * 512 + r % 32 * 16 + b % 4 * 4 +
              r % 128 / 32;
     }},
    {"swizzle_tail_rows", "rows beyond the first 32 of a tile share the places of the first 32",
     [](const auto& g, auto r, auto b) {
       return (r / 128 * ((g.across + 3) / 4) + b / 4) * 512 + r % 32 * 16 + b % 4;
     }},
};

}  // namespace

std::span<const Swizzle> swizzles() { return rows; }

bool is_swizzled(const kernels::Claim& c) {
  return c.scale_layout == formats::ScaleLayout::swizzled_128x4;
}

}  // namespace assay::proptests::diagnosis
