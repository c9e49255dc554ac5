// SPDX-License-Identifier: Apache-2.0
// The block quantizer's promises besides equality with golden: layouts, tiles, threads, names,
// errors, and the inputs on which other implementations are known to go wrong.

#include "formats/block.h"

#include <gtest/gtest.h>

#include <set>

#include "formats/order.h"
#include "tests/formats/block_cases.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace assay::tests {
namespace {

using namespace formats;

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "no exception";
}

BlockScaledTensor one_row(const BlockFormat& format, const std::vector<float>& x) {
  return quantize(x, 1, static_cast<std::int64_t>(x.size()), format);
}

TEST(BlockLayout, SwizzleIsABijectionIntoTheAllocation) {
  for (std::int64_t rows : {1, 31, 32, 33, 127, 128, 129, 300}) {
    for (std::int64_t cols : {1, 3, 4, 5, 8, 13}) {
      std::set<std::int64_t> seen;
      const std::int64_t slots = scale_slots(rows, cols, ScaleLayout::swizzled_128x4);
      EXPECT_EQ(slots, (rows + 127) / 128 * 128 * ((cols + 3) / 4 * 4));
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
          const std::int64_t at = swizzled_128x4(r, c, cols);
          ASSERT_TRUE(at >= 0 && at < slots && seen.insert(at).second) << r << ", " << c;
        }
      }
      std::vector<std::uint8_t> scales(static_cast<std::size_t>(rows * cols));
      for (std::size_t i = 0; i < scales.size(); ++i)
        scales[i] = static_cast<std::uint8_t>(i * 37 + 1);
      EXPECT_EQ(unswizzle(swizzle(scales, rows, cols), rows, cols), scales);
    }
  }
  // The four corners of a 128x4 tile, from the formula of tensor.h by hand.
  static_assert(swizzled_128x4(0, 3, 8) == 3 && swizzled_128x4(1, 0, 8) == 16);
  static_assert(swizzled_128x4(32, 0, 8) == 4 && swizzled_128x4(0, 4, 8) == 512);
  static_assert(swizzled_128x4(128, 0, 8) == 1024);
}

TEST(BlockLayout, CodesComeBackFromEveryWidthAndTranspose) {
  for (const int bits : {4, 8, 16, 32}) {
    for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 5}, {64, 65}, {129, 7}}) {
      const std::int64_t stride = packed_bytes(cols, bits);
      std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * stride));
      const auto code = [bits = bits](std::int64_t r, std::int64_t c) {
        return (static_cast<std::uint32_t>(r) * 2654435761U +
                static_cast<std::uint32_t>(c) * 40503U) >>
               (32 - bits);
      };
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) store_code(&codes[r * stride], c, bits, code(r, c));
      }
      const std::vector<std::uint8_t> t = transpose_codes(codes, rows, cols, bits);
      ASSERT_EQ(t.size(), code_bytes(rows, cols, bits, Layout::column_major));
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
          ASSERT_EQ(load_code(&t[c * packed_bytes(rows, bits)], r, bits), code(r, c));
        }
      }
      EXPECT_EQ(transpose_codes(t, cols, rows, bits), codes);
    }
  }
}

TEST(BlockQuantizer, TilesConcatenateToTheWhole) {
  constexpr std::int64_t rows = 300;
  constexpr std::int64_t cols = 70;
  const std::vector<float> x = matrix(3, rows, cols, 0, true);
  for (const BlockFormat* format : all_block_formats) {
    const std::vector<float> scales = scales_for(*format, rows, cols, 0);
    for (const RoundingMode mode : {RoundingMode::nearest_even, RoundingMode::stochastic}) {
      for (const ScaleLayout layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4}) {
        if (layout == ScaleLayout::swizzled_128x4 && format->scale->storage_bits != 8) continue;
        QuantizeOptions o;
        o.rounding = mode;
        o.scales = scales;
        o.scale_layout = layout;
        const BlockScaledTensor whole = quantize(x, rows, cols, *format, o);
        BlockQuantizer quantizer(*format, rows, cols, o);
        constexpr std::int64_t step = 128;
        std::vector<std::uint8_t> codes;
        std::vector<std::uint8_t> scale_codes;
        for (const bool second : {false, true}) {
          if (!second && !quantizer.needs_amax()) continue;
          // The first pass in reverse order, for no order is promised.
          for (std::int64_t i = 0; i < rows; i += step) {
            const std::int64_t row = second ? i : (rows - 1) / step * step - i;
            const Tile tile{row, 0, std::min(step, rows - row), cols};
            const auto part = std::span(x).subspan(static_cast<std::size_t>(row * cols),
                                                   static_cast<std::size_t>(tile.rows * cols));
            if (!second) {
              quantizer.observe(part, tile);
              continue;
            }
            const BlockScaledTensor t = quantizer.quantize_tile(part, tile);
            if (!scales.empty()) {  // the same where the scale factors come with the tile
              const BlockGrid grid = block_grid(format->block, rows, cols);
              const BlockGrid own = block_grid(format->block, tile.rows, cols);
              QuantizeOptions none = o;
              none.scales = {};
              const BlockScaledTensor alone =
                  BlockQuantizer(*format, rows, cols, none)
                      .quantize_tile(
                          part, tile,
                          std::span(scales).subspan(static_cast<std::size_t>(grid.block_of(row, 0)),
                                                    static_cast<std::size_t>(own.count())));
              EXPECT_EQ(alone.codes, t.codes) << format->name;
              EXPECT_EQ(alone.scales, t.scales) << format->name;
            }
            codes.insert(codes.end(), t.codes.begin(), t.codes.end());
            // Whole swizzle tiles only if 128 rows are 128 block rows.
            scale_codes.insert(scale_codes.end(), t.scales.begin(), t.scales.end());
            EXPECT_EQ(t.tensor_scale, whole.tensor_scale);
          }
        }
        EXPECT_EQ(codes, whole.codes) << format->name;
        if (layout == ScaleLayout::row_major || format->block.rows == 1) {
          EXPECT_EQ(scale_codes, whole.scales) << format->name;
        }
      }
    }
  }
}

#ifdef _OPENMP
TEST(BlockQuantizer, BytesDependOnNoThreadCount) {
  constexpr std::int64_t rows = 37;
  constexpr std::int64_t cols = 1001;
  const std::vector<float> x = matrix(4, rows, cols, 3, true);
  const int before = omp_get_max_threads();
  for (const BlockFormat* preset : all_block_formats) {
    for (const BlockShape shape : {preset->block, BlockShape{0, 0}, BlockShape{0, 3}}) {
      BlockFormat format = *preset;
      format.block = shape;
      if (format.candidates != nullptr && shape.rows == 0) continue;  // block.h refuses them
      const std::vector<float> scales = scales_for(format, rows, cols, 3);
      QuantizeOptions o;
      o.scales = scales;
      o.layout = Layout::column_major;
      o.rounding = RoundingMode::stochastic;
      omp_set_num_threads(1);
      const BlockScaledTensor one = quantize(x, rows, cols, format, o);
      for (const int threads : {2, 5}) {
        omp_set_num_threads(threads);
        const BlockScaledTensor many = quantize(x, rows, cols, format, o);
        EXPECT_EQ(one.codes, many.codes) << preset->name << " " << threads;
        EXPECT_EQ(one.scales, many.scales) << preset->name << " " << threads;
      }
    }
  }
  omp_set_num_threads(before);
}
#endif

TEST(BlockNames, EveryPresetIsFoundAndAWrongNameIsHelped) {
  for (const BlockFormat* format : all_block_formats) {
    EXPECT_EQ(&find_block_format(format->name), format);
  }
  const std::string message = message_of([] { find_block_format("mxfp4-flor"); });
  EXPECT_NE(message.find("did you mean 'mxfp4-floor'"), std::string::npos) << message;
}

TEST(BlockErrors, OneSentenceForEach) {
  const std::vector<float> x(32, 1.0F);
  const auto says = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  says(message_of([&] { quantize({}, 0, 32, mxfp4_floor); }),
       "0 x 32; both sizes must be positive");
  says(message_of([&] { quantize({}, 4, 0, mxfp4_floor); }), "4 x 0; both sizes must be positive");
  says(message_of([&] { quantize(x, 2, 17, mxfp4_floor); }),
       "32 elements do not fill the shape 2 x 17");
  says(message_of([&] { quantize(x, 1, 32, article); }), "give 1, not 0");
  QuantizeOptions o;
  o.scales = std::span(x).first(1);
  says(message_of([&] { quantize(x, 1, 32, mxfp4_floor, o); }), "give none");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  o.scales = std::span(&nan, 1);
  says(message_of([&] { quantize(x, 1, 32, article, o); }), "scale factor 0 is not finite");
  o.scales = {};
  o.scale_layout = ScaleLayout::swizzled_128x4;
  says(message_of([&] { quantize(x, 1, 32, fp8_deepseek_v3, o); }), "of 1 bytes, not of 4");
  o = {};
  o.rounding = RoundingMode::stochastic;
  o.random_bits = 17;
  says(message_of([&] { quantize(x, 1, 32, mxfp4_floor, o); }), "bits");
  BlockScaledTensor t = one_row(mxfp4_floor, x);
  std::vector<float> y(31);
  says(message_of([&] { dequantize(t, y); }), "the output has 31 elements");
  t.codes.pop_back();
  y.resize(32);
  says(message_of([&] { dequantize(t, y); }), "15 bytes of element codes");
  BlockQuantizer quantizer(mxfp4_floor, 2, 64);
  says(message_of([&] { (void)quantizer.quantize_tile(x, {0, 16, 1, 32}); }), "cuts blocks");
  says(message_of([&] { (void)quantizer.quantize_tile(x, {2, 0, 1, 32}); }), "inside the tensor");
}

TEST(BlockOrders, WhatDoublesCannotCarryIsRefused) {
  using enum OpCode;
  using R = Register;
  // (amax / 6) * amax without a rounding in between: not exact in any fixed precision.
  static constexpr Operation chained[] = {
      {divide, R::t0, R::amax_block, R::constant, {6}, {}},
      {multiply, R::t0, R::t0, R::amax_block, {}, {}},
      {copy, R::scale, R::t0, R::constant, {}, orders::up_to_e8m0}};
  static constexpr Operation unset[] = {
      {copy, R::scale, R::t3, R::constant, {}, orders::up_to_e8m0}};
  static constexpr Operation unrounded[] = {{copy, R::scale, R::amax_block, R::constant, {}, {}}};
  for (const auto& [block, why] :
       {std::pair{std::span<const Operation>(chained), "operation 2: it computes with a quotient"},
        {std::span<const Operation>(unset), "operation 1: it reads a register"},
        {std::span<const Operation>(unrounded), "rounded to the scale format"}}) {
    const OperationOrder order{"test", {}, block, orders::divide_by_power_of_two, "test"};
    BlockFormat format = mxfp4_rceil;
    format.order = &order;
    const std::string message = message_of([&] { (void)plan_order(format, *format.order); });
    EXPECT_NE(message.find(why), std::string::npos) << message;
  }
}

// FP32 arithmetic on a factor needs an FP32 factor; 2^-150 and 2^128 are none.
TEST(BlockOrders, AFactorBeyondFp32TakesTheGeneralPath) {
  using enum OpCode;
  using R = Register;
  static constexpr Operation element[] = {{multiply, R::x, R::x, R::t0, {}, orders::to_f32}};
  const auto path = [](const Constant& constant) {
    const Operation block[] = {
        {copy, R::t0, R::constant, R::constant, constant, {}},
        {divide, R::scale, R::amax_block, R::constant, {6}, orders::up_to_e8m0}};
    const OperationOrder order{"test", {}, block, element, "test"};
    return plan_order(mxfp4_rceil, order).path;
  };
  EXPECT_EQ(path({1, 1, -149}), ElementPath::multiply);
  EXPECT_EQ(path({1, 1, 127}), ElementPath::multiply);
  EXPECT_EQ(path({1, 1, -150}), ElementPath::general);
  EXPECT_EQ(path({1, 1, 128}), ElementPath::general);
}

// Facts: amax = nextbelow(2^k) makes a float log2 choose a scale twice too large.
TEST(KnownDisagreements, FloorScaleJustBelowPowersOfTwo) {
  for (int k = -124; k <= 127; ++k) {
    const float amax = std::nextafter(std::ldexp(1.0F, k), 0.0F);
    const BlockScaledTensor t = one_row(mxfp4_floor, {amax, 0.0F, -amax});
    EXPECT_EQ(t.scales[0], k - 1 - 2 + 127) << k;
    EXPECT_EQ(element_code(t, 0, 0), 0x7U) << k;  // 7.99... clips to 6
    EXPECT_EQ(element_code(t, 0, 2), 0xFU) << k;
  }
  const BlockScaledTensor t = one_row(mxfp4_floor, {7.9999995F, 0.5F, 0.3F, 1.3F});
  EXPECT_EQ(t.scales[0], 127);
  EXPECT_EQ(t.codes, (std::vector<std::uint8_t>{0x17, 0x31}));  // 6 .5 .5 1.5
}

TEST(KnownDisagreements, ScaleClampsAtTheBottom) {
  const BlockScaledTensor low = one_row(mxfp4_floor, {0x1p-126F});
  EXPECT_EQ(low.scales[0], 0);
  EXPECT_EQ(element_code(low, 0, 0), 0x4U);  // 2 * 2^-127
  std::vector<float> y(1);
  dequantize(low, y);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(y[0]), 0x00800000U);
  const BlockScaledTensor tiny = one_row(mxfp4_floor, {0x1p-130F});
  EXPECT_EQ(tiny.scales[0], 0);
  EXPECT_EQ(element_code(tiny, 0, 0), 0x0U);
}

TEST(KnownDisagreements, LargestFiniteStaysFinite) {
  const float max = std::numeric_limits<float>::max();
  const BlockScaledTensor t = one_row(mxfp4_floor, {max, -max});
  EXPECT_EQ(t.scales[0], 127 - 2 + 127);
  EXPECT_EQ(t.codes, (std::vector<std::uint8_t>{0xF7}));
}

TEST(KnownDisagreements, ANonfiniteElementPoisonsItsBlockOnly) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(64, 3.0F);
    x[40] = bad;
    const BlockScaledTensor mx = one_row(mxfp4_rceil, x);
    EXPECT_EQ(mx.scales, (std::vector<std::uint8_t>{126, 0xFF}));
    EXPECT_EQ(element_code(mx, 0, 0), 0x7U);
    for (std::int64_t c = 32; c < 64; ++c) EXPECT_EQ(element_code(mx, 0, c), 0U);
    const BlockScaledTensor nv = one_row(nvfp4, x);
    EXPECT_EQ(nv.scales, (std::vector<std::uint8_t>{0x7E, 0x7E, 0x7F, 0x7E}));
    const BlockScaledTensor fp8 = one_row(fp8_deepseek_v3, x);
    EXPECT_EQ(scale_code(fp8, 0, 0), 0x7FC00000U);
    std::vector<float> y(64);
    dequantize(nv, y);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 16 == 2) << i;
  }
}

// Facts, "Scale-arithmetic order": block amax 1.078125 in a tensor of amax 1.4375. 448 * amax_b /
// amax is exactly 336, the midpoint of codes 0x7A and 0x7B; the kernels' FP32 orders fall on either
// side.
TEST(KnownDisagreements, OrdersOfScaleArithmeticDiffer) {
  using enum OpCode;
  using R = Register;
  // TransformerEngine's 4over6 path: (amax / 6) * S_enc.
  static constexpr Operation b_block[] = {
      {divide, R::t2, R::amax_block, R::constant, {6}, orders::to_f32},
      {multiply, R::t2, R::t2, R::t0, {}, orders::to_f32},
      {copy, R::scale, R::t2, R::constant, {}, orders::to_ue4m3},
      {multiply, R::t2, R::scale, R::tensor_scale, {}, orders::to_f32},
      {divide, R::t2, R::constant, R::t2, {1}, orders::to_f32},
      {minimum, R::t2, R::t2, R::constant, orders::float_max, orders::exact},
  };
  static constexpr OperationOrder b_order{"nvfp4-b", orders::nvfp4_te_tensor, b_block,
                                          orders::nvfp4_te_element, "facts"};
  BlockFormat b_format = nvfp4;
  b_format.order = &b_order;
  std::vector<float> x(32, 0.0F);
  x[0] = 1.078125F;
  x[16] = 1.4375F;
  EXPECT_EQ(one_row(nvfp4, x).scales[0], 0x7B);
  EXPECT_EQ(one_row(b_format, x).scales[0], 0x7A);
  EXPECT_EQ(golden::quantize(x, 1, 32, b_format).scales[0], 0x7A);
  // A tie in exact arithmetic; the dividing order keeps it and goes to the even code.
  EXPECT_EQ(one_row(nvfp4_divide, x).scales[0], golden::quantize(x, 1, 32, nvfp4_divide).scales[0]);
}

}  // namespace
}  // namespace assay::tests
