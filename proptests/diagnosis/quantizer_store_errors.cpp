// SPDX-License-Identifier: Apache-2.0
// The known errors of quantizers: where codes and scale factors are stored.
#include <algorithm>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_model.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using Model = QuantizerModel;

void swap_nibbles(BlockScaledTensor& t) {
  for (std::uint8_t& b : t.codes) b = static_cast<std::uint8_t>((b >> 4) | (b << 4));
}
/// GGML: element j in the low nibble of byte j of a block, j + half in the high one.
void split_blocks(BlockScaledTensor& t) {
  const BlockScaledTensor from = t;
  const std::int64_t half = t.format->block.cols / 2;
  std::fill(t.codes.begin(), t.codes.end(), 0);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const std::int64_t in_block = c % (2 * half);
      const std::int64_t to =
          c - in_block + (in_block < half ? 2 * in_block : 2 * (in_block - half) + 1);
      if (to < t.cols) golden::store_code(t, r, to, golden::load_code(from, r, c));
    }
}
/// Scale factors where `place` puts them instead; those that fall outside are lost.
auto scales_placed(std::int64_t (*place)(const golden::BlockGrid&, std::int64_t r,
                                         std::int64_t b)) {
  return [place](Model& m) {
    m.store = [place](BlockScaledTensor& t) {
      const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
      const BlockScaledTensor from = t;
      std::fill(t.scales.begin(), t.scales.end(), 0);
      for (std::int64_t r = 0; r < grid.down; ++r)
        for (std::int64_t b = 0; b < grid.across; ++b) {
          const std::int64_t at = place(grid, r, b);
          if (at >= 0 && at < static_cast<std::int64_t>(t.scales.size()))
            t.scales[at] = static_cast<std::uint8_t>(golden::load_scale(from, r, b));
        }
    };
  };
}
std::int64_t swizzled(const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
  return golden::scale_index(formats::ScaleLayout::swizzled_128x4, g.down, g.across, r, b);
}
auto pad_scales(std::uint8_t value) {
  return [value](Model& m) {
    m.store = [value](BlockScaledTensor& t) {
      BlockScaledTensor used = t;
      const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
      std::fill(t.scales.begin(), t.scales.end(), value);
      for (std::int64_t r = 0; r < grid.down; ++r)
        for (std::int64_t b = 0; b < grid.across; ++b)
          golden::store_scale(t, r, b, golden::load_scale(used, r, b));
    };
  };
}

}  // namespace

std::vector<QuantizerError> store_errors() {
  std::vector<QuantizerError> rows{
      // Packing and layout.
      {"nibbles_swapped", "the even element is put in the high nibble of its byte",
       [](Model& m) { m.store = swap_nibbles; }},
      {"nibbles_split", "codes are packed as GGML does: the halves of a block in the two nibbles",
       [](Model& m) { m.store = split_blocks; }},
      {"codes_reversed", "pairs of bytes are exchanged",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           for (std::size_t i = 0; i + 1 < t.codes.size(); i += 2)
             std::swap(t.codes[i], t.codes[i + 1]);
         };
       }},
      {"swizzle_ignored", "scale factors are written row-major where 128x4 is claimed",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::swizzled_128x4)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return r * g.across + b;
           })(m);
       }},
      {"swizzle_unasked", "scale factors are written swizzled 128x4 where row-major is claimed",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::row_major)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return swizzled(g, r, b);
           })(m);
       }},
      {"swizzle_unpadded", "the swizzle counts blocks without padding them to a multiple of 4",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::swizzled_128x4)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return (r / 128 * g.across + b / 4 * 4) * 128 + r % 32 * 16 + r % 128 / 32 * 4 + b % 4;
           })(m);
       }},
      {"swizzle_rows_interleaved", "the swizzle exchanges the row-in-32 and the row-by-32 indices",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::swizzled_128x4)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return (r / 128 * ((g.across + 3) / 4) + b / 4) * 512 + r % 128 / 4 * 16 + r % 4 * 4 +
                    b % 4;
           })(m);
       }},
      {"scales_transposed", "scale factors are stored column-major",
       [](Model& m) {
         scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
           return b * g.down + r;
         })(m);
       }},
      {"scale_row_off_by_one", "scale factors are stored one row too late",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           const BlockScaledTensor from = t;
           const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
           for (std::int64_t r = 0; r < grid.down; ++r)
             for (std::int64_t b = 0; b < grid.across; ++b)
               golden::store_scale(t, (r + 1) % grid.down, b, golden::load_scale(from, r, b));
         };
       }},
      {"scale_block_off_by_one", "scale factors are stored one block too late",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           const BlockScaledTensor from = t;
           const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
           for (std::int64_t r = 0; r < grid.down; ++r)
             for (std::int64_t b = 0; b < grid.across; ++b)
               golden::store_scale(t, r, (b + 1) % grid.across, golden::load_scale(from, r, b));
         };
       }},
  };
  for (const int value : {0xFF, 0x7F, 0x38, 0x01})
    rows.push_back({"padding_not_zero", "padding of the scale factors is not zero",
                    pad_scales(static_cast<std::uint8_t>(value))});
  return rows;
}

}  // namespace assay::proptests::diagnosis
