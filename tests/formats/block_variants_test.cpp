// SPDX-License-Identifier: Apache-2.0
// Block formats that are no presets, where the fast paths have corners of their own: policies of
// the element format, and 4-bit blocks of odd width.
#include <array>

#include "formats/names.h"
#include "tests/formats/block_cases.h"

namespace assay::tests {
namespace {

using namespace formats;

std::uint32_t rounded(const golden::Value& exact) {
  return golden::encode(fp32, exact, RoundingMode::nearest_even, profile_row(ieee, fp32).policy);
}

TEST(BlockVariants, OverflowFollowsTheProfileOfTheElement) {
  BlockFormat format = article;  // scale factors are given, so elements may overflow
  format.element = &e4m3;
  format.block = {1, 16};
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x;
  for (const float v :
       {448.0F, 464.0F, std::nextafter(464.0F, inf), 480.0F, 1e30F, 447.0F, 17.0F, 0.001F}) {
    x.push_back(v);
    x.push_back(-v);
  }
  const std::array<float, 1> scales{1.0F};
  for (const Profile* profile : all_profiles) {
    for (const RoundingMode mode : all_modes) {
      QuantizeOptions o;
      o.profile = profile;
      o.rounding = mode;
      o.scales = scales;
      const BlockScaledTensor fast = quantize(x, 1, 16, format, o);
      const BlockScaledTensor exact = golden::quantize(x, 1, 16, format, o);
      EXPECT_EQ(fast.codes, exact.codes) << profile->name << ' ' << name_of(mode);
    }
  }
}

TEST(BlockVariants, ScalesOfATileAreThoseOfItsBlockRows) {
  constexpr std::int64_t rows = 24;
  constexpr std::int64_t cols = 40;
  const std::vector<float> x = matrix(6, rows, cols, 0, false);
  for (const BlockShape shape : {BlockShape{1, 16}, {2, 16}, {3, 5}, {4, 40}}) {
    BlockFormat format = article;
    format.block = shape;
    const BlockGrid grid = block_grid(shape, rows, cols);
    std::vector<float> scales;
    for (std::int64_t b = 0; b < grid.count(); ++b)
      scales.push_back(0.125F * static_cast<float>(b + 1));
    QuantizeOptions o;
    o.scales = scales;
    const BlockScaledTensor whole = quantize(x, rows, cols, format, o);
    const BlockScaledTensor tile =
        BlockQuantizer(format, rows, cols).quantize_tile(x, {0, 0, rows, cols}, scales);
    EXPECT_EQ(tile.scales, whole.scales) << shape.rows << 'x' << shape.cols;
    EXPECT_EQ(tile.codes, whole.codes) << shape.rows << 'x' << shape.cols;
    EXPECT_EQ(whole.codes, golden::quantize(x, rows, cols, format, o).codes);
  }
}

TEST(BlockVariants, NibblesOfBlocksOfEveryWidthAreDequantized) {
  constexpr std::int64_t rows = 3;
  constexpr std::int64_t cols = 77;
  const std::vector<float> x = matrix(5, rows, cols, 0, false);
  for (std::int64_t width = 1; width < 24; ++width) {
    for (const Layout layout : {Layout::row_major, Layout::column_major}) {
      BlockFormat format = nvfp4;
      format.block = {1, width};
      QuantizeOptions o;
      o.layout = layout;
      const BlockScaledTensor t = quantize(x, rows, cols, format, o);
      std::vector<float> y(x.size());
      dequantize(t, y);
      const std::vector<golden::Value> exact = golden::dequantize(t);
      for (std::size_t i = 0; i < y.size(); ++i)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), rounded(exact[i])) << width << ' ' << i;
    }
  }
}

}  // namespace
}  // namespace assay::tests
