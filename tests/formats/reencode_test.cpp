// SPDX-License-Identifier: Apache-2.0
// The fast lossless re-encodings against golden's, byte for byte: whole tensors and tiles, at and
// beyond the ends of every window.
#include "formats/reencode.h"

#include <gtest/gtest.h>

#include <random>

#include "formats/layout.h"
#include "golden/layout.h"
#include "golden/lossless.h"
#include "golden/lossless_nvfp4.h"

namespace assay::formats {
namespace {

// Codes drawn from `alphabet`, scales from [base, base + spread].
BlockScaledTensor tensor(std::mt19937& random, std::int64_t rows, std::int64_t cols,
                         const std::vector<std::uint32_t>& alphabet, int base, int spread) {
  BlockScaledTensor t;
  t.format = &mxfp4_rceil;
  t.rows = rows;
  t.cols = cols;
  t.codes.assign(static_cast<std::size_t>(rows * ceil_div(cols, 2)), 0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      golden::store_code(t, r, c, alphabet[random() % alphabet.size()] | (random() % 2) << 3U);
  for (std::int64_t b = 0; b < rows * ceil_div(cols, 32); ++b) {
    const auto scale = static_cast<int>(base + random() % (spread + 1));
    t.scales.push_back(random() % 40 == 0 ? 0xFF : static_cast<std::uint8_t>(std::min(scale, 254)));
  }
  return t;
}

const std::vector<std::vector<std::uint32_t>> alphabets{
    {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1}, {1, 6}, {3, 5, 7}, {0, 7}, {2, 4}, {3}, {0}};

TEST(Reencode, Nvfp4IsGoldens) {
  std::mt19937 random(1);
  int lossless = 0;
  int lost = 0;
  for (int i = 0; i < 4000; ++i) {
    const BlockScaledTensor t =
        tensor(random, 1 + random() % 4, 1 + random() % 80, alphabets[i % alphabets.size()],
               random() % 240, static_cast<int>(random() % 32));
    const golden::LosslessNvfp4 expected = golden::lossless_nvfp4(t);
    Nvfp4Reencoder reencoder;
    reencoder.observe(t);
    ASSERT_EQ(!reencoder.lost(), expected.lossless) << i;
    if (!expected.lossless) {
      ++lost;
      ASSERT_EQ(reencoder.lost()->row, expected.lost_row);
      ASSERT_EQ(reencoder.lost()->col, expected.lost_col);
      EXPECT_THROW((void)reencoder.reencode(t), std::logic_error);
      continue;
    }
    ++lossless;
    const BlockScaledTensor out = reencoder.reencode(t);
    ASSERT_EQ(out.codes, expected.tensor.codes) << i;
    ASSERT_EQ(out.scales, expected.tensor.scales) << i;
    ASSERT_EQ(out.tensor_scale, expected.tensor.tensor_scale) << i;
  }
  EXPECT_GT(lossless, 1500);
  EXPECT_GT(lost, 200);
}

TEST(Reencode, E4m3IsGoldens) {
  std::mt19937 random(2);
  int lossless = 0;
  int lost = 0;
  for (int i = 0; i < 600; ++i) {
    const BlockScaledTensor t =
        tensor(random, 1 + random() % 140, 1 + random() % 200, alphabets[i % alphabets.size()],
               random() % 240, static_cast<int>(random() % 19));
    const golden::LosslessE4m3 expected = golden::lossless_e4m3(t, fp8_deepseek_v4_weight);
    const E4m3Reencoded out = reencode_e4m3(t);
    ASSERT_EQ(!out.lost, expected.lossless) << i;
    if (!expected.lossless) {
      ++lost;
      ASSERT_EQ(out.lost->row, expected.lost_row);
      ASSERT_EQ(out.lost->col, expected.lost_col);
      continue;
    }
    ++lossless;
    ASSERT_EQ(out.tensor.codes, expected.tensor.codes) << i;
    ASSERT_EQ(out.tensor.scales, expected.tensor.scales) << i;
  }
  EXPECT_GT(lossless, 200);
  EXPECT_GT(lost, 50);
}

TEST(Reencode, TilesAndSwizzledScalesDoNotShow) {
  std::mt19937 random(3);
  const BlockScaledTensor t = tensor(random, 130, 160, alphabets[0], 100, 17);
  Nvfp4Reencoder whole;
  whole.observe(t);
  ASSERT_FALSE(whole.lost());
  const BlockScaledTensor expected = whole.reencode(t);
  BlockScaledTensor swizzled = t;
  swizzled.scale_layout = ScaleLayout::swizzled_128x4;
  swizzled.scales = swizzle(t.scales, 130, 5);
  const BlockScaledTensor out = whole.reencode(swizzled);
  EXPECT_EQ(out.codes, expected.codes);
  EXPECT_EQ(unswizzle(out.scales, 130, 10), expected.scales);
  Nvfp4Reencoder rows;
  std::vector<std::uint8_t> codes;
  for (const bool second : {false, true}) {
    for (std::int64_t r = 0; r < 130; ++r) {
      BlockScaledTensor row = t;
      row.rows = 1;
      row.codes.assign(t.codes.begin() + r * 80, t.codes.begin() + (r + 1) * 80);
      row.scales.assign(t.scales.begin() + r * 5, t.scales.begin() + (r + 1) * 5);
      if (!second) {
        rows.observe(row, r, 0);
        continue;
      }
      const BlockScaledTensor part = rows.reencode(row);
      codes.insert(codes.end(), part.codes.begin(), part.codes.end());
    }
  }
  EXPECT_EQ(codes, expected.codes);
}

TEST(Reencode, RejectsOtherFormats) {
  BlockScaledTensor t;
  t.format = &nvfp4;
  EXPECT_THROW((void)reencode_e4m3(t), std::invalid_argument);
  EXPECT_THROW(Nvfp4Reencoder().observe(t), std::invalid_argument);
}

}  // namespace
}  // namespace assay::formats
