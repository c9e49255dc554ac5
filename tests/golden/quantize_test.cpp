// SPDX-License-Identifier: Apache-2.0
// Golden block quantization against cases computed by hand.
#include "golden/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "golden/layout.h"
#include "golden/order.h"
#include "golden/philox.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/presets.h

using Bytes = std::vector<std::uint8_t>;
constexpr float inf = std::numeric_limits<float>::infinity();

TEST(GoldenPhilox, KnownAnswersOfRandom123) {
  // kat_vectors of the authors' Random123 library, philox4x32 with 10 rounds.
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
  EXPECT_EQ(random_of(0, 1, 16).word, 0xe169U);
  EXPECT_EQ(random_of(0, 3, 4).word, 0x9U);
}

TEST(GoldenQuantize, FloorRuleUsesTheExactExponent) {
  // amax just below 8: scale 2^(2-2) = 1, elements 6, 0.5, 0.5, 1.5. A float log2 would say 3.
  const float x[] = {7.9999995F, 0.5F, 0.3F, 1.3F};
  const BlockScaledTensor t = quantize(x, 1, 4, mxfp4_floor);
  EXPECT_EQ(t.scales, (Bytes{0x7F}));
  EXPECT_EQ(t.codes, (Bytes{0x17, 0x31}));
}

TEST(GoldenQuantize, RceilNeverClips) {
  const float x[] = {7.9999995F, 0.5F, 0.3F, 1.3F};  // 7.99/6 = 1.33: scale 2
  const BlockScaledTensor t = quantize(x, 1, 4, mxfp4_rceil);
  EXPECT_EQ(t.scales, (Bytes{0x80}));
  EXPECT_EQ(t.codes, (Bytes{0x06, 0x10}));  // 4, .25 -> 0 (tie), .15 -> 0, .65 -> .5
}

TEST(GoldenQuantize, ZeroBlocks) {
  const std::array<float, 32> zeros{};
  for (const BlockFormat* format : {&mxfp4_floor, &mxfp4_rceil, &nvfp4, &nvfp4_divide}) {
    const BlockScaledTensor t = quantize(zeros, 1, 32, *format);
    EXPECT_EQ(t.codes, Bytes(16, 0)) << format->name;
    EXPECT_TRUE(std::all_of(t.scales.begin(), t.scales.end(), [](auto s) { return s == 0; }));
    EXPECT_EQ(t.tensor_scale, 1.0F) << format->name;
    for (const Value& v : dequantize(t)) EXPECT_TRUE(v.is_zero());
  }
  // The order of DeepSeek-V4 clamps amax to 6 * 2^-126, so its scale of zeros is 2^-126.
  EXPECT_EQ(quantize(zeros, 1, 32, deepseek_v4).scales, (Bytes{0x01}));
  EXPECT_EQ(quantize(zeros, 1, 32, fp8_deepseek_v3).scales, (Bytes{0x00, 0x00, 0x80, 0x3F}));
}

TEST(GoldenQuantize, SubnormalAmaxClampsTheScaleAndNotTheElements) {
  // amax/4 = 2^-132 is below the smallest scale factor 2^-127; x / 2^-127 = 2^-3 rounds to zero.
  const float tiny[] = {0x1p-130F, -0x1p-130F};
  const BlockScaledTensor t = quantize(tiny, 1, 2, mxfp4_floor);
  EXPECT_EQ(t.scales, (Bytes{0x00}));
  EXPECT_EQ(t.codes, (Bytes{0x80}));
  // amax = 2^-126: stored scale 2^-127, element 2 (code 4): dequantizes to 2^-126 exactly.
  const float normal[] = {0x1p-126F};
  const BlockScaledTensor u = quantize(normal, 1, 1, mxfp4_floor);
  EXPECT_EQ(u.scales, (Bytes{0x00}));
  EXPECT_EQ(u.codes, (Bytes{0x04}));
  EXPECT_EQ(dequantize(u)[0], value_of(0x1p-126F));
}

TEST(GoldenQuantize, Nvfp4OrdersDifferWhereTheyShould) {
  // (1.078125 / 6) * (2688 / 1.4375) = 336 exactly, the tie between the codes 0x7A (320) and 0x7B
  // (352). With true divisions the even code wins; multiplying by FP32(1/6) lands above the tie.
  const Value amax_block = value_of(1.078125F);
  const Value amax_tensor = value_of(1.4375F);
  EXPECT_EQ(scale_code(nvfp4, amax_block, amax_tensor), 0x7BU);
  static constexpr Operation block[] = {
      {OpCode::divide, Register::t1, Register::amax_block, Register::constant, {6}, orders::to_f32},
      {OpCode::multiply, Register::t1, Register::t1, Register::t0, {}, orders::to_f32},
      {OpCode::copy, Register::scale, Register::t1, Register::constant, {}, orders::to_ue4m3}};
  const OperationOrder divide_then_multiply{"test", orders::nvfp4_te_tensor, block, {}, "4over6"};
  BlockFormat format = nvfp4;
  format.order = &divide_then_multiply;
  EXPECT_EQ(scale_code(format, amax_block, amax_tensor), 0x7AU);
}

TEST(GoldenQuantize, Nvfp4FullScaleBlock) {
  // amax of block and tensor 2688 = 6 * 448: S_enc = 1, scale 448, tensor scale 1. The order
  // multiplies by FP32(1/6) > 1/6: 2688 * FP32(1/6) rounds to 448.
  std::array<float, 16> x{};
  x[0] = 2688;
  x[1] = -1344;
  x[15] = 448;
  const BlockScaledTensor t = quantize(x, 1, 16, nvfp4);
  EXPECT_EQ(t.tensor_scale, 1.0F);
  EXPECT_EQ(t.scales, (Bytes{0x7E}));
  EXPECT_EQ(t.codes, (Bytes{0xD7, 0, 0, 0, 0, 0, 0, 0x20}));  // 6, -3, ..., 1
}

TEST(GoldenQuantize, ZeroScaleFactors) {
  // A block 2^-24 below the tensor's amax gets scale factor 0. The reciprocal order then multiplies
  // by FLT_MAX (elements 6, and 0 for 0), the dividing one emits zeros.
  std::array<float, 32> x{};
  x[0] = 1;
  x[16] = 0x1p-24F;
  x[17] = -0x1p-24F;
  const BlockScaledTensor te = quantize(x, 1, 32, nvfp4);
  EXPECT_EQ(te.scales[1], 0x00);
  EXPECT_EQ(te.codes[8], 0xF7);
  EXPECT_EQ(te.codes[9], 0x00);
  const BlockScaledTensor divide = quantize(x, 1, 32, nvfp4_divide);
  EXPECT_EQ(divide.scales[1], 0x00);
  EXPECT_EQ(divide.codes[8], 0x00);
  EXPECT_TRUE(dequantize(te)[16].is_zero());
}

TEST(GoldenQuantize, NonFiniteElementsPoisonTheirBlockOnly) {
  std::array<float, 96> x{};
  x.fill(1);
  x[3] = inf;
  x[40] = std::numeric_limits<float>::quiet_NaN();
  const BlockScaledTensor t = quantize(x, 1, 96, mxfp4_floor);
  EXPECT_EQ(t.scales, (Bytes{0xFF, 0xFF, 0x7D}));
  EXPECT_TRUE(std::all_of(t.codes.begin(), t.codes.begin() + 32, [](auto c) { return c == 0; }));
  EXPECT_EQ(t.codes[32], 0x66);
  const std::vector<Value> back = dequantize(t);
  EXPECT_TRUE(back[0].is_nan() && back[63].is_nan());
  EXPECT_EQ(back[64], value_of(1.0F));
  EXPECT_EQ(quantize(x, 1, 96, nvfp4).scales[0], 0x7F);
  EXPECT_EQ(quantize(x, 1, 96, fp8_deepseek_v3).scales, (Bytes{0x00, 0x00, 0xC0, 0x7F}));
}

TEST(GoldenQuantize, GivenScaleFactors) {
  const float x[] = {1.0F, -3.0F, 100.0F, 0.25F};
  const float scale[] = {0.5F};
  QuantizeOptions options;
  options.scales = scale;
  const BlockScaledTensor t = quantize(x, 1, 4, article, options);
  EXPECT_EQ(t.scales, (Bytes{0x00, 0x00, 0x00, 0x3F}));
  EXPECT_EQ(t.codes, (Bytes{0xF4, 0x17}));
  EXPECT_THROW((void)quantize(x, 1, 4, article), std::invalid_argument);
  EXPECT_THROW((void)quantize(x, 1, 4, mxfp4_floor, options), std::invalid_argument);
  const float bad[] = {inf};
  options.scales = bad;
  EXPECT_THROW((void)quantize(x, 1, 4, article, options), std::invalid_argument);
}

TEST(GoldenQuantize, LayoutsHoldTheSameTensor) {
  std::vector<float> x(3 * 65);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 6.0F;
  const std::vector<Value> reference = dequantize(quantize(x, 3, 65, mxfp4_floor));
  for (const Layout layout : {Layout::row_major, Layout::column_major})
    for (const ScaleLayout scales : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4}) {
      QuantizeOptions options;
      options.layout = layout;
      options.scale_layout = scales;
      const BlockScaledTensor t = quantize(x, 3, 65, mxfp4_floor, options);
      EXPECT_EQ(t.codes.size(), layout == Layout::row_major ? 3U * 33U : 65U * 2U);
      EXPECT_EQ(t.scales.size(), scales == ScaleLayout::row_major ? 9U : 512U);
      EXPECT_TRUE(dequantize(t) == reference);
    }
}

TEST(GoldenLayout, SwizzleIsTheDocumentedFormula) {
  const auto at = [](std::int64_t r, std::int64_t c) {
    return scale_index(ScaleLayout::swizzled_128x4, 256, 8, r, c);
  };
  EXPECT_EQ(at(0, 0), 0);
  EXPECT_EQ(at(0, 3), 3);
  EXPECT_EQ(at(0, 4), 512);
  EXPECT_EQ(at(1, 0), 16);
  EXPECT_EQ(at(32, 0), 4);
  EXPECT_EQ(at(127, 3), 511);
  EXPECT_EQ(at(128, 0), 1024);
}

TEST(GoldenQuantize, StochasticRoundingUsesTheWordOfTheLogicalElement) {
  std::vector<float> x(8, 0.3F);
  x[0] = 4.0F;  // scale factor 1
  QuantizeOptions options;
  options.rounding = RoundingMode::stochastic;
  options.random_bits = 8;
  options.seed = 0x0123456789ABCDEF;
  for (const Layout layout : {Layout::row_major, Layout::column_major}) {
    options.layout = layout;
    const BlockScaledTensor t = quantize(x, 2, 4, mxfp4_floor, options);
    // Row 1 has amax 0.3: scale 2^-4, element 4.8 (as FP32 0.3 is above 0.3: floor(0.4 * 256) =
    // 102).
    for (std::int64_t col = 0; col < 4; ++col) {
      const auto word = random_of(options.seed, static_cast<std::uint64_t>(4 + col), 8).word;
      EXPECT_EQ(load_code(t, 1, col), 102 + word >= 256 ? 7U : 6U);
    }
  }
}

TEST(GoldenQuantize, StochasticWordsDifferByElement) {
  const std::vector<float> x(5 * 32,
                             4.75F);  // amax 4.75: scale factor 1, 3/8 of the way from 4 to 6
  QuantizeOptions options;
  options.rounding = RoundingMode::stochastic;
  options.random_bits = 3;
  const BlockScaledTensor t = quantize(x, 5, 32, mxfp4_floor, options);
  for (std::int64_t row = 0; row < 5; ++row)
    for (std::int64_t col = 0; col < 32; ++col) {
      const auto word = random_of(0, static_cast<std::uint64_t>(row * 32 + col), 3).word;
      EXPECT_EQ(load_code(t, row, col), 3 + word >= 8 ? 7U : 6U);
    }
}

TEST(GoldenQuantize, RowsAndColumnsOfFourBitCodesStartAtAByte) {
  const float x[] = {1, 2, 3, 4, 6, 0.5F};  // scale factors 1/2 and 1: elements 2 4 6, 4 6 0.5
  QuantizeOptions options;
  EXPECT_EQ(quantize(x, 2, 3, mxfp4_floor, options).codes, (Bytes{0x64, 0x07, 0x76, 0x01}));
  options.layout = Layout::column_major;
  EXPECT_EQ(quantize(x, 3, 2, mxfp4_floor, options).codes.size(), 4U);
}

TEST(GoldenQuantize, TensorScaleMultipliesAndIgnoresInfinities) {
  std::array<float, 32> x{};
  x[0] = 5376;  // twice 6 * 448
  x[16] = inf;
  const BlockScaledTensor t = quantize(x, 1, 32, nvfp4_divide);
  EXPECT_EQ(t.tensor_scale, 2.0F);
  EXPECT_EQ(t.scales, (Bytes{0x7E, 0x7F}));
  EXPECT_EQ(dequantize(t)[0], value_of(5376.0F));
}

TEST(GoldenOrder, RoundingsOverflowAsDeclared) {
  for (const Overflow overflow : {Overflow::saturate, Overflow::to_infinity}) {
    Registers r;
    const Operation square[] = {
        {OpCode::copy, Register::t0, Register::constant, Register::constant, {1, 1, 100}},
        {OpCode::multiply,
         Register::t0,
         Register::t0,
         Register::t0,
         {},
         {&fp32, RoundingMode::nearest_even, overflow}}};
    r.run(square);
    EXPECT_EQ(r[Register::t0].is_infinite(), overflow == Overflow::to_infinity);
  }
}

TEST(GoldenQuantize, RejectsWrongSizes) {
  const float x[] = {1, 2, 3};
  EXPECT_THROW((void)quantize(x, 1, 4, mxfp4_floor), std::invalid_argument);
  EXPECT_THROW((void)quantize({}, 0, 4, mxfp4_floor), std::invalid_argument);
  QuantizeOptions options;
  options.scale_layout = ScaleLayout::swizzled_128x4;
  EXPECT_THROW((void)quantize(x, 1, 3, fp8_deepseek_v3, options), std::invalid_argument);
  BlockScaledTensor t = quantize(x, 1, 3, mxfp4_floor);
  t.codes.pop_back();
  EXPECT_THROW((void)dequantize(t), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
