// SPDX-License-Identifier: Apache-2.0
// The fast block quantizer equals golden, bit for bit.

#include <tuple>

#include "formats/names.h"
#include "formats/rule_matrix.h"
#include "tests/formats/block_cases.h"
#include "tests/formats/codec_cases.h"

namespace assay::tests {
namespace {

using namespace formats;

std::string label(const BlockFormat& format, const QuantizeOptions& o, std::int64_t rows,
                  std::int64_t cols, int center) {
  return std::string(format.name) + " " + std::string(name_of(o.rounding)) + " " +
         std::to_string(rows) + "x" + std::to_string(cols) + " around 2^" + std::to_string(center) +
         (o.layout == Layout::row_major ? "" : " column_major") +
         (o.scale_layout == ScaleLayout::row_major ? "" : " swizzled");
}

void compare(const BlockFormat& format, QuantizeOptions o, std::int64_t rows, std::int64_t cols,
             int center, std::uint64_t seed) {
  const std::vector<float> x = matrix(seed, rows, cols, center, seed % 2 == 0);
  const std::vector<float> scales = scales_for(format, rows, cols, center);
  o.scales = scales;
  o.seed = seed;
  expect_same(quantize(x, rows, cols, format, o), golden::quantize(x, rows, cols, format, o),
              label(format, o, rows, cols, center));
}

class EveryPreset : public testing::TestWithParam<const BlockFormat*> {};
INSTANTIATE_TEST_SUITE_P(Block, EveryPreset, testing::ValuesIn(every_block_format),
                         [](const auto& info) {
                           std::string name(info.param->name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Exponents from the bottom to the top of FP32.
constexpr int kCenters[] = {-140, -126, -20, 0, 5, 60, 123};

TEST_P(EveryPreset, EveryModeAndMagnitude) {
  std::uint64_t seed = 1;
  for (const RoundingMode mode : all_modes) {
    for (const int center : kCenters) {
      QuantizeOptions o;
      o.rounding = mode;
      o.random_bits = 1 + static_cast<int>(seed % 16);
      compare(*GetParam(), o, 5, seed % 2 == 0 ? 128 : 150, center, seed);
      ++seed;
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EveryPreset, EveryShapeAndLayout) {
  std::uint64_t seed = 1000;
  for (const auto& [rows, cols] : {std::pair{1, 1},
                                   {1, 17},
                                   {3, 16},
                                   {2, 33},
                                   {130, 5},
                                   {131, 129},
                                   {130, 16},
                                   {9, 32},
                                   {3, 256}}) {
    for (const Layout layout : {Layout::row_major, Layout::column_major}) {
      for (const ScaleLayout scales : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4}) {
        if (scales == ScaleLayout::swizzled_128x4 && GetParam()->scale->storage_bits != 8) continue;
        QuantizeOptions o;
        o.layout = layout;
        o.scale_layout = scales;
        compare(*GetParam(), o, rows, cols, 0, seed++);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(EveryPreset, EveryInstructionSet) {
  for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    for (const RoundingMode mode : all_modes) {
      QuantizeOptions o;
      o.rounding = mode;
      compare(*GetParam(), o, 3, 149, mode == RoundingMode::nearest_even ? -120 : 0, 77);
    }
  });
}

TEST_P(EveryPreset, BlocksOfEveryExtent) {
  std::uint64_t seed = 2000;
  for (const BlockShape shape : {BlockShape{1, 0},
                                 {0, 0},
                                 {0, 3},
                                 {0, 1},
                                 {3, 0},
                                 {1, 1},
                                 {2, 5},
                                 {1, 7},
                                 {4, 32},
                                 {1, 5000}}) {
    BlockFormat format = *GetParam();
    format.block = shape;
    if (format.candidates != nullptr && (shape.rows == 0 || shape.cols == 0)) continue;
    for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 16}, {70, 21}}) {
      QuantizeOptions o;
      o.rounding = all_modes[seed % std::size(all_modes)];
      compare(format, o, rows, cols, 0, seed++);
      if (HasFatalFailure()) return;
    }
  }
}

// Presets with another element: every kernel with every format of at most 8 bits that has a sign.
// Scale factors that fit E2M1 make the elements overflow narrower formats and leave wider ones
// subnormal.
TEST(Block, EveryElementFormatOnEveryPath) {
  std::uint64_t seed = 3000;
  for (const FormatSpec* element : all_formats) {
    if (element->storage_bits > 8 || element->sign_bits == 0) continue;
    for (const BlockFormat* preset : {&nvfp4, &nvfp4_divide, &mxfp4_floor, &article}) {
      for (const Profile* profile : {&saturating, &ieee}) {
        for (const RoundingMode mode : all_modes) {
          BlockFormat format = *preset;
          format.element = element;
          QuantizeOptions o;
          o.rounding = mode;
          o.random_bits = 3;
          o.profile = profile;
          for (const int center : {-126, -3, 60}) {
            compare(format, o, 3, 70, center, seed++);
            if (testing::Test::HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

// Long rows: blocks cut by panels and chunks.
TEST(Block, ChunksOfLongRows) {
  for (const BlockShape shape : {BlockShape{1, 5001}, {1, 0}, {0, 0}, {0, 5}, {1, 2049}}) {
    for (const BlockFormat* preset : {&nvfp4_divide, &mxfp4_rceil}) {
      BlockFormat format = *preset;
      format.block = shape;
      compare(format, {}, 2, 12345, 0, 5);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// The errors of candidates are summed in vectors over many whole blocks of a row: more of them than
// a vector has, rows of a block that spans several, extents that no vector divides, numbers that
// are not finite (even seeds), and scale factors at which factors vanish or overflow.
TEST(Block, CandidatesOfWideRows) {
  for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    std::uint64_t seed = 4000;
    for (const BlockFormat* preset : every_block_format) {
      if (preset->candidates == nullptr) continue;
      for (const BlockShape shape : {BlockShape{1, 16}, {1, 32}, {2, 16}, {1, 12}, {1, 64}}) {
        BlockFormat format = *preset;
        format.block = shape;
        for (const int center : {-126, 0, 123}) {
          compare(format, {}, 2, 540, center, seed++);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  });
}

TEST_P(EveryPreset, DequantizesToTheExactProductRoundedOnce) {
  constexpr std::int64_t rows = 6;
  constexpr std::int64_t cols = 75;
  for (const int center : kCenters) {
    const std::vector<float> x = matrix(31, rows, cols, center, true);
    const std::vector<float> scales = scales_for(*GetParam(), rows, cols, center);
    for (const Layout layout : {Layout::row_major, Layout::column_major}) {
      QuantizeOptions o;
      o.scales = scales;
      o.layout = layout;
      const BlockScaledTensor t = quantize(x, rows, cols, *GetParam(), o);
      std::vector<float> y(x.size());
      dequantize(t, y);
      const std::vector<golden::Value> exact = golden::dequantize(t);
      const Policy policy = profile_row(ieee, fp32).policy;
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::uint32_t expected =
            golden::encode(fp32, exact[i], RoundingMode::nearest_even, policy);
        const bool nan = (expected & 0x7FFFFFFF) > 0x7F800000;
        if (nan) {
          ASSERT_TRUE(std::isnan(y[i])) << GetParam()->name << " element " << i;
        } else {
          ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), expected)
              << GetParam()->name << " element " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace assay::tests
