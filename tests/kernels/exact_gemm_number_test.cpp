// SPDX-License-Identifier: Apache-2.0
// The GPU's exact GEMM, computed here: its digits, their places, its sums and its rounding, against
// the definitional GEMM. What this leaves to a GPU is the instruction.
#include "kernels/cuda/exact_gemm_number.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <set>

#include "formats/codec.h"
#include "formats/presets.h"
#include "formats/tensor.h"
#include "golden/gemm.h"

namespace assay::kernels::cuda::exact {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;

struct Host {
  std::vector<Part> elements, scales;
  Operand operand;
  std::vector<RowRange> ranges;

  explicit Host(const BlockScaledTensor& t) {
    for (std::uint32_t code = 0; code < 256; ++code) {
      const auto part = [&](const formats::FormatSpec& spec) {
        return part_of_bits(std::bit_cast<std::uint32_t>(formats::decode(spec, code)));
      };
      elements.push_back(part(*t.format->element));
      scales.push_back(t.format->scale->storage_bits == 8 ? part(*t.format->scale) : Part{});
    }
    const std::int64_t columns = t.format->block.cols == 0 ? t.cols : t.format->block.cols;
    const bool nibbles = t.format->element->storage_bits == 4;
    operand = {t.codes.data(),
               t.scales.data(),
               elements.data(),
               scales.data(),
               t.rows,
               t.cols,
               nibbles ? (t.cols + 1) / 2 : t.cols,
               t.format->block.rows == 0 ? t.rows : t.format->block.rows,
               columns,
               (t.cols + columns - 1) / columns,
               t.format->scale->storage_bits / 8,
               nibbles,
               columns >= t.cols,
               t.format->tensor_scale == formats::TensorScale::fp32 ? t.tensor_scale : 1.0F};
    for (std::int64_t row = 0; row < t.rows; ++row) {
      RowRange range{no_low, -no_low, 0, 0, 0, 0};
      for (std::int64_t k = 0; k < t.cols; ++k) {
        const Number x = number_at(operand, row, k);
        if (x.special) range.special = 1;
        if (x.significand == 0) continue;
        const std::int64_t magnitude = x.significand < 0 ? -x.significand : x.significand;
        range.low = std::min(range.low, x.exponent);
        range.high =
            std::max(range.high, x.exponent + width_of(static_cast<std::uint64_t>(magnitude)));
      }
      set_factor(operand, row, range);
      ranges.push_back(range);
    }
  }

  [[nodiscard]] int planes() const {
    int most = 0;
    for (const RowRange& r : ranges)
      for (int p = 1; p <= most_planes; ++p)
        if (fits(r, p)) {
          most = std::max(most, p);
          break;
        }
    return most;
  }

  [[nodiscard]] std::vector<std::int8_t> digits(int planes, int tile) const {
    const std::int64_t steps = (operand.k + 63) / 64;
    const std::int64_t padded = (operand.rows + tile - 1) / tile * tile;
    std::vector<std::int8_t> all(static_cast<std::size_t>(padded * steps * 64 * planes));
    for (std::int64_t row = 0; row < operand.rows; ++row)
      for (std::int64_t k = 0; k < operand.k; ++k) {
        const Number x = number_at(operand, row, k);
        const RowRange& range = ranges[static_cast<std::size_t>(row)];
        if (x.significand == 0 || !fits(range, planes)) continue;
        std::int64_t integer = x.significand * (std::int64_t{1} << (x.exponent - range.low));
        for (int p = 0; p < planes; ++p)
          all[static_cast<std::size_t>(digit_at(planes, tile, steps, row, k, p))] =
              next_digit(integer);
        EXPECT_EQ(integer, 0) << "a number does not fit its digits";
      }
    return all;
  }
};

BlockScaledTensor draw(const BlockFormat& format, std::int64_t rows, std::int64_t cols, int spread,
                       bool raw, std::mt19937& random) {
  BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.tensor_scale = raw ? -0x1.234p-40F : 0x1.abcp3F;
  const bool nibbles = format.element->storage_bits == 4;
  const bool nan = format.element->specials != formats::Specials::none;
  for (std::int64_t i = 0; i < rows * (nibbles ? (cols + 1) / 2 : cols); ++i)
    t.codes.push_back(static_cast<std::uint8_t>(
        random() & (nan && (!raw || random() % 16 != 0) ? 0xBBU : 0xFFU)));
  if (nibbles && cols % 2 != 0)
    for (std::int64_t r = 1; r <= rows; ++r)
      t.codes[static_cast<std::size_t>(r * ((cols + 1) / 2) - 1)] &= 15U;
  const auto blocks = [](std::int64_t extent, std::int64_t block) {
    return block == 0 ? 1 : (extent + block - 1) / block;
  };
  const formats::FormatSpec& s = *format.scale;
  const std::int64_t count = blocks(rows, format.block.rows) * blocks(cols, format.block.cols);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto field = static_cast<std::uint32_t>(
        s.bias - static_cast<int>(random() % static_cast<unsigned>(spread + 1)));
    std::uint32_t code = field << s.mantissa_bits | (random() & ((1U << s.mantissa_bits) - 1));
    if (raw && random() % 8 == 0) code = static_cast<std::uint32_t>(random());
    for (int b = 0; b < s.storage_bits / 8; ++b)
      t.scales.push_back(static_cast<std::uint8_t>(code >> (8 * b)));
  }
  return t;
}

struct Case {
  const BlockFormat *a, *b;
  int planes;  ///< that numbers of little spread need at most
};
constexpr BlockFormat fp8_rows{"fp8-rows",
                               &formats::e4m3,
                               {1, 0},
                               &formats::fp32,
                               formats::ScaleRule::amax_over_max,
                               formats::TensorScale::none,
                               nullptr,
                               "a test"};
constexpr Case cases[] = {{&formats::nvfp4, &formats::nvfp4, 2},
                          {&formats::mxfp4_rceil, &formats::nvfp4, 2},
                          {&fp8_rows, &formats::nvfp4, 3},
                          {&fp8_rows, &fp8_rows, 3},
                          {&formats::mxfp8_e4m3_rceil, &formats::mxfp4_rceil, 3},
                          {&formats::mxfp8_e5m2_rceil, &formats::mxfp8_e4m3_rceil, 6},
                          {&formats::fp8_deepseek_v3, &formats::fp8_deepseek_v3_weight, 6}};

std::vector<std::uint32_t> defined(const BlockScaledTensor& a, const BlockScaledTensor& b) {
  return golden::round_to(
      formats::fp32, golden::gemm(golden::decode_matrix(a), golden::decode_matrix(b)),
      formats::RoundingMode::nearest_even, golden::policy_of(formats::ieee, formats::fp32));
}

TEST(ExactGemmNumber, SumsOfDigitsAreTheDefinition) {
  std::mt19937 random(1);
  for (const Case& c : cases)
    for (const std::int64_t k : {1, 65, 200}) {
      const BlockScaledTensor a = draw(*c.a, 9, k, 1, false, random);
      const BlockScaledTensor b = draw(*c.b, 11, k, 1, false, random);
      const Host x(a);
      const Host y(b);
      const int planes = std::max(x.planes(), y.planes());
      EXPECT_LE(planes, c.planes) << c.a->name << " x " << c.b->name;
      const auto left = x.digits(planes, 128);
      const auto right = y.digits(planes, 32);
      const auto expected = defined(a, b);
      const std::int64_t steps = (k + 63) / 64;
      for (std::int64_t i = 0; i < a.rows; ++i)
        for (std::int64_t j = 0; j < b.rows; ++j) {
          const RowRange& u = x.ranges[static_cast<std::size_t>(i)];
          const RowRange& v = y.ranges[static_cast<std::size_t>(j)];
          if (!fits(u, planes) || !fits(v, planes)) continue;
          Int128 sum = 0;
          for (int p = 0; p < planes; ++p)
            for (int q = 0; q < planes; ++q)
              for (std::int64_t at = 0; at < k; ++at)
                sum += static_cast<Int128>(
                           left[static_cast<std::size_t>(digit_at(planes, 128, steps, i, at, p))] *
                           right[static_cast<std::size_t>(digit_at(planes, 32, steps, j, at, q))]) *
                       (Int128{1} << (8 * (p + q)));
          ASSERT_EQ(round_sum(sum, u, v), expected[static_cast<std::size_t>(i * b.rows + j)])
              << c.a->name << " x " << c.b->name << ", k " << k;
        }
    }
}

TEST(ExactGemmNumber, WideSumsAreTheDefinition) {
  std::mt19937 random(2);
  for (const Case& c : cases)
    for (const bool raw : {false, true})
      for (const int spread : {0, 6, 120}) {
        const int most = std::min(spread, std::min(c.a->scale->bias, c.b->scale->bias));
        const BlockScaledTensor a = draw(*c.a, 17, 70, most, raw, random);
        const BlockScaledTensor b = draw(*c.b, 13, 70, most, raw, random);
        const Host x(a);
        const Host y(b);
        const auto expected = defined(a, b);
        for (std::int64_t i = 0; i < a.rows; ++i)
          for (std::int64_t j = 0; j < b.rows; ++j)
            ASSERT_EQ(wide_dot(x.operand, i, x.ranges[static_cast<std::size_t>(i)], y.operand, j,
                               y.ranges[static_cast<std::size_t>(j)]),
                      expected[static_cast<std::size_t>(i * b.rows + j)])
                << c.a->name << " x " << c.b->name << ", raw " << raw << ", spread " << spread;
      }
}

TEST(ExactGemmNumber, DigitsHaveAPlaceEach) {
  std::set<std::int64_t> places;
  for (int plane = 0; plane < 3; ++plane)
    for (std::int64_t row = 0; row < 64; ++row)
      for (std::int64_t k = 0; k < 128; ++k) places.insert(digit_at(3, 32, 2, row, k, plane));
  EXPECT_EQ(places.size(), 3U * 64U * 128U);
  EXPECT_EQ(*places.begin(), 0);
  EXPECT_EQ(*places.rbegin(), 3 * 64 * 128 - 1);
}

/// The largest numbers that P planes are said to hold, of both signs.
TEST(ExactGemmNumber, PlanesHoldTheirBits) {
  for (int planes = 1; planes <= most_planes; ++planes)
    for (const std::int64_t sign : {1, -1}) {
      std::int64_t x = sign * ((std::int64_t{1} << (8 * planes - 2)) - 1);
      for (int p = 0; p < planes; ++p) next_digit(x);
      EXPECT_EQ(x, 0) << planes;
    }
}

}  // namespace
}  // namespace assay::kernels::cuda::exact
