// SPDX-License-Identifier: Apache-2.0
// Layouts: every address is used once, the fast transforms are golden's, and the numbers stay.
#include "golden/relayout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "formats/block.h"
#include "formats/layout.h"
#include "formats/rule_matrix.h"
#include "golden/quantize.h"

namespace assay::formats {
namespace {

constexpr std::array all_layouts{Layout::row_major, Layout::column_major, Layout::split_nibbles};
constexpr std::array all_scale_layouts{ScaleLayout::row_major, ScaleLayout::swizzled_128x4,
                                       ScaleLayout::mn_major, ScaleLayout::mn_major_packed};

/// Every layout that the format can have.
template <typename F>
void for_layouts(const BlockFormat& format, std::int64_t cols, F f) {
  for (const Layout codes : all_layouts)
    for (const ScaleLayout scales : all_scale_layouts) {
      if (codes == Layout::split_nibbles && (format.element->storage_bits != 4 || cols % 32 != 0))
        continue;
      const int bits = scale_layout_bits(scales);
      if (bits == 0 || bits == format.scale->storage_bits) f(codes, scales);
    }
}

BlockScaledTensor random_tensor(std::int64_t rows, std::int64_t cols, const BlockFormat& format) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  for (float& v : x) v = normal(random);
  std::vector<float> scales;
  QuantizeOptions options;
  if (format.rule == ScaleRule::given) {
    scales.assign(static_cast<std::size_t>(block_grid(format.block, rows, cols).count()), 0.5F);
    options.scales = scales;
  }
  return quantize(x, rows, cols, format, options);
}

TEST(Layouts, EveryScaleLayoutIsOneToOneForEveryGridUpTo140By9) {
  for (const ScaleLayout layout : all_scale_layouts)
    for (std::int64_t rows = 1; rows <= 140; ++rows)
      for (std::int64_t cols = 1; cols <= 9; ++cols) {
        std::vector<char> used(static_cast<std::size_t>(scale_slots(rows, cols, layout)));
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < cols; ++c) {
            const std::int64_t at = scale_index(r, c, rows, cols, layout);
            ASSERT_EQ(at, golden::scale_index(layout, rows, cols, r, c));
            ASSERT_GE(at, 0);
            ASSERT_LT(at, static_cast<std::int64_t>(used.size()));
            ASSERT_FALSE(used[static_cast<std::size_t>(at)]) << r << ' ' << c;
            used[static_cast<std::size_t>(at)] = 1;
          }
      }
}

TEST(Layouts, SplitNibblesMoveEveryNibbleOfAGroupToItsOwnPlace) {
  for (std::size_t i = 0; i < 32; ++i) {
    std::array<std::uint8_t, 32> codes{};  // two groups: the second one must stay away
    store_code(codes.data(), static_cast<std::int64_t>(i), 4, 0xF);
    const std::array<std::uint8_t, 32> joined = codes;
    split_nibbles(codes);
    for (std::size_t byte = 0; byte < 32; ++byte)
      EXPECT_EQ(codes[byte], byte == i % 16 ? (i < 16 ? 0x0F : 0xF0) : 0) << i << ' ' << byte;
    join_nibbles(codes);
    EXPECT_EQ(codes, joined);
  }
  std::array<std::uint8_t, 15> part{};
  EXPECT_THROW(split_nibbles(part), std::invalid_argument);
}

TEST(Layouts, RelayoutIsGoldensForEveryPairAndDequantizesToTheSame) {
  for (const BlockFormat* format : every_block_format)
    for (const auto& [rows, cols] : {std::pair{5, 96}, {33, 64}, {9, 33}}) {
      const BlockScaledTensor t = random_tensor(rows, cols, *format);
      std::vector<float> reference(static_cast<std::size_t>(rows * cols));
      dequantize(t, reference);
      for_layouts(*format, cols, [&](Layout from, ScaleLayout from_scales) {
        const BlockScaledTensor a = relayout(t, from, from_scales);
        const BlockScaledTensor g = golden::relayout(t, from, from_scales);
        ASSERT_EQ(a.codes, g.codes) << format->name;
        ASSERT_EQ(a.scales, g.scales) << format->name;
        std::vector<float> values(reference.size());
        dequantize(a, values);
        ASSERT_TRUE(std::equal(values.begin(), values.end(), reference.begin(),
                               [](float x, float y) { return x == y || (x != x && y != y); }));
        for (std::int64_t r = 0; r < rows; r += 3)
          for (std::int64_t c = 0; c < cols; ++c) {
            ASSERT_EQ(element_code(a, r, c), element_code(t, r, c));
            ASSERT_EQ(scale_code(a, r, c), scale_code(t, r, c));
          }
        for_layouts(*format, cols, [&](Layout to, ScaleLayout to_scales) {
          const BlockScaledTensor b = relayout(a, to, to_scales);
          const BlockScaledTensor direct = relayout(t, to, to_scales);
          ASSERT_EQ(b.codes, direct.codes);
          ASSERT_EQ(b.scales, direct.scales);
        });
      });
    }
}

TEST(Layouts, QuantizeWritesEveryLayout) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(37 * 160);
  for (float& v : x) v = normal(random);
  for (const BlockFormat* format : {&nvfp4, &mxfp4_rceil, &fp8_deepseek_v3, &fp8_deepseek_v4}) {
    const BlockScaledTensor t = quantize(x, 37, 160, *format);
    for_layouts(*format, 160, [&](Layout codes, ScaleLayout scales) {
      QuantizeOptions options;
      options.layout = codes;
      options.scale_layout = scales;
      const BlockScaledTensor direct = quantize(x, 37, 160, *format, options);
      const BlockScaledTensor moved = relayout(t, codes, scales);
      ASSERT_EQ(direct.codes, moved.codes);
      ASSERT_EQ(direct.scales, moved.scales);
      const BlockScaledTensor g = golden::quantize(x, 37, 160, *format, options);
      ASSERT_EQ(direct.codes, g.codes);
      ASSERT_EQ(direct.scales, g.scales);
    });
  }
}

TEST(Layouts, DeepGemmWordsByHand) {
  // Scales 0 .. 9 of two rows of five: R4 = 4, two words of four scales a row.
  BlockScaledTensor t = random_tensor(2, 160, mxfp4_rceil);
  for (std::size_t i = 0; i < 10; ++i) t.scales[i] = static_cast<std::uint8_t>(i);
  const BlockScaledTensor packed = relayout(t, Layout::row_major, ScaleLayout::mn_major_packed);
  const std::vector<std::uint8_t> expected{0, 1, 2, 3, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0,
                                           4, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(packed.scales, expected);
}

TEST(Layouts, GatesAndUpsInterleave) {
  for (const BlockFormat* format : {&nvfp4, &mxfp4_floor, &fp8_deepseek_v3})
    for (const std::int64_t rows : {2, 6, 132}) {
      const BlockScaledTensor t = random_tensor(rows, 128, *format);
      for_layouts(*format, 128, [&](Layout codes, ScaleLayout scales) {
        const BlockScaledTensor a = relayout(t, codes, scales);
        if (codes == Layout::column_major) {
          EXPECT_THROW(interleave_gate_up(a), std::invalid_argument);
          return;
        }
        const BlockScaledTensor b = interleave_gate_up(a);
        const BlockScaledTensor g = golden::interleave_gate_up(a);
        ASSERT_EQ(b.codes, g.codes);
        ASSERT_EQ(b.scales, g.scales);
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::int64_t to = r < rows / 2 ? 2 * r : 2 * (r - rows / 2) + 1;
          ASSERT_EQ(element_code(b, to, 17), element_code(a, r, 17));
          ASSERT_EQ(scale_code(b, to, 17), scale_code(a, r, 17));
        }
        const BlockScaledTensor back = separate_gate_up(b);
        ASSERT_EQ(back.codes, a.codes);
        ASSERT_EQ(back.scales, a.scales);
        ASSERT_EQ(golden::separate_gate_up(b).codes, a.codes);
      });
    }
  EXPECT_THROW(interleave_gate_up(random_tensor(3, 32, nvfp4)), std::invalid_argument);
  EXPECT_THROW(interleave_gate_up(random_tensor(4, 128, fp8_deepseek_v3_weight)),
               std::invalid_argument);
}

TEST(Layouts, WhatAFormatCannotHaveIsRefused) {
  const BlockScaledTensor t = random_tensor(4, 160, nvfp4);
  EXPECT_THROW(relayout(t, Layout::row_major, ScaleLayout::mn_major), std::invalid_argument);
  const BlockScaledTensor odd = random_tensor(4, 33, nvfp4);
  EXPECT_THROW(relayout(odd, Layout::split_nibbles, ScaleLayout::row_major), std::invalid_argument);
  EXPECT_THROW((void)golden::relayout(odd, Layout::split_nibbles, ScaleLayout::row_major),
               std::invalid_argument);
  const BlockScaledTensor wide = random_tensor(4, 128, fp8_deepseek_v3);
  for (const ScaleLayout layout : {ScaleLayout::swizzled_128x4, ScaleLayout::mn_major_packed}) {
    EXPECT_THROW(relayout(wide, Layout::row_major, layout), std::invalid_argument);
    EXPECT_THROW((void)golden::relayout(wide, Layout::row_major, layout), std::invalid_argument);
  }
  BlockScaledTensor cut = t;
  cut.scales.pop_back();
  EXPECT_THROW(relayout(cut, Layout::column_major, ScaleLayout::row_major), std::invalid_argument);
}

}  // namespace
}  // namespace assay::formats
