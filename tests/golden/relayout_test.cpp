// SPDX-License-Identifier: Apache-2.0
// Layout transforms against addresses written out by hand, and there and back.
#include "golden/relayout.h"

#include <gtest/gtest.h>

#include <random>

#include "golden/quantize.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/presets.h

BlockScaledTensor random_tensor(std::int64_t rows, std::int64_t cols, const BlockFormat& format) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * cols);
  for (float& v : x) v = normal(random);
  return quantize(x, rows, cols, format);
}

TEST(GoldenRelayout, SwizzledScalesLieWhereTheFormulaSays) {
  const BlockScaledTensor t = random_tensor(130, 16 * 6, nvfp4);
  const BlockScaledTensor s = relayout(t, Layout::row_major, ScaleLayout::swizzled_128x4);
  ASSERT_EQ(s.scales.size(), 256U * 8U);
  EXPECT_EQ(s.codes, t.codes);
  std::vector<bool> used(s.scales.size());
  for (std::size_t r = 0; r < 130; ++r) {
    for (std::size_t c = 0; c < 6; ++c) {
      const std::size_t at =
          ((r / 128) * 2 + c / 4) * 512 + (r % 32) * 16 + ((r % 128) / 32) * 4 + c % 4;
      EXPECT_EQ(s.scales[at], t.scales[r * 6 + c]) << r << ' ' << c;
      used[at] = true;
    }
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) {
      EXPECT_EQ(s.scales[i], 0U) << "padding byte " << i;
    }
  }
}

TEST(GoldenRelayout, ColumnMajorNibblesAndTheirPadding) {
  BlockScaledTensor t = random_tensor(3, 2, mxfp4_floor);
  for (int i = 0; i < 6; ++i) store_code(t, i / 2, i % 2, i + 1);  // rows 1 2, 3 4, 5 6
  const BlockScaledTensor c = relayout(t, Layout::column_major, ScaleLayout::row_major);
  EXPECT_EQ(c.codes, (std::vector<std::uint8_t>{0x31, 0x05, 0x42, 0x06}));
  EXPECT_EQ(c.scales, t.scales);
}

TEST(GoldenRelayout, ThereAndBackIsTheSameAndSoAreTheNumbers) {
  for (const BlockFormat* format : {&nvfp4, &mxfp4_floor, &fp8_deepseek_v4}) {
    const BlockScaledTensor t = random_tensor(37, 131, *format);
    const BlockScaledTensor there = relayout(t, Layout::column_major, ScaleLayout::swizzled_128x4);
    EXPECT_NE(there.codes, t.codes);
    const BlockScaledTensor back = relayout(there, Layout::row_major, ScaleLayout::row_major);
    EXPECT_EQ(back.codes, t.codes);
    EXPECT_EQ(back.scales, t.scales);
    EXPECT_EQ(back.tensor_scale, t.tensor_scale);
    EXPECT_TRUE(dequantize(there) == dequantize(t)) << format->name;
  }
}

TEST(GoldenRelayout, WhatCannotBeSwizzledIsAnError) {
  const BlockScaledTensor t = random_tensor(2, 128, fp8_deepseek_v3);
  EXPECT_THROW((void)relayout(t, Layout::row_major, ScaleLayout::swizzled_128x4),
               std::invalid_argument);
  EXPECT_THROW((void)relayout({}, Layout::row_major, ScaleLayout::row_major),
               std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
