// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the GPU quantizers, which is host code too, against golden.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "formats/philox.h"
#include "golden/hadamard.h"
#include "golden/quantize.h"
#include "kernels/cuda/quantize_orders.cuh"

namespace assay::kernels::cuda {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;

/// Magnitudes over the whole range, few significant bits often, NaN and Inf now and then.
std::vector<float> numbers(std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const int center = static_cast<int>(random() % 200) - 100;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& x : out) {
    const std::uint64_t word = random();
    if (seed % 5 == 0) {
      x = std::bit_cast<float>(static_cast<std::uint32_t>(word));
    } else {
      x = std::ldexp(static_cast<float>(word % 31) - 15.0F,
                     center + static_cast<int>(word >> 40U) % 4);
      if (seed % 5 > 2) x *= 1.0F + static_cast<float>(word >> 44U) * 0x1p-21F;
    }
  }
  return out;
}

/// A block as the kernels quantize it; `code(x, factors, index)` has the code in its low bits.
template <class Order, class Code>
BlockScaledTensor quantized(const std::vector<float>& x, std::int64_t rows, std::int64_t cols,
                            const Code& code) {
  float tensor_amax = 0.0F;
  for (const float v : x)
    if (std::isfinite(v)) tensor_amax = std::max(tensor_amax, std::fabs(v));
  const Order order(tensor_amax);
  BlockScaledTensor t;
  t.rows = rows;
  t.cols = cols;
  t.tensor_scale = Order::block == 16 ? order.decode : 1.0F;
  t.codes.assign(static_cast<std::size_t>(rows * ((cols + 1) / 2)), 0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t first = 0; first < cols; first += Order::block) {
      float block[Order::block] = {};
      float amax = 0.0F;
      bool finite = true;
      for (std::int64_t i = 0; i < std::min<std::int64_t>(Order::block, cols - first); ++i) {
        block[i] = x[static_cast<std::size_t>(r * cols + first + i)];
        finite = finite && std::isfinite(block[i]);
        amax = std::max(amax, std::fabs(block[i]));
      }
      const BlockFactors factors = order.factors(finite ? amax : 0.0F);
      t.scales.push_back(finite ? factors.code : Order::nan_scale);
      for (std::int64_t i = 0; finite && first + i < std::min(cols, first + Order::block); ++i)
        t.codes[static_cast<std::size_t>(r * ((cols + 1) / 2) + (first + i) / 2)] |=
            static_cast<std::uint8_t>(
                code(block, factors, static_cast<int>(i), r * cols + first + i) << (i % 2 * 4));
    }
  return t;
}

template <class Order>
struct Case {
  using order = Order;
};
template <class Order>
const BlockFormat& format_of();
template <>
const BlockFormat& format_of<NvFp4Te>() {
  return formats::nvfp4;
}
template <>
const BlockFormat& format_of<NvFp4Divide>() {
  return formats::nvfp4_divide;
}
template <>
const BlockFormat& format_of<MxFp4Floor>() {
  return formats::mxfp4_floor;
}
template <>
const BlockFormat& format_of<MxFp4Rceil>() {
  return formats::mxfp4_rceil;
}
template <>
const BlockFormat& format_of<DeepSeekV4>() {
  return formats::deepseek_v4;
}

template <class Order>
class QuantizeOrders : public ::testing::Test {};
using Orders = ::testing::Types<NvFp4Te, NvFp4Divide, MxFp4Floor, MxFp4Rceil, DeepSeekV4>;
TYPED_TEST_SUITE(QuantizeOrders, Orders);

constexpr std::int64_t shapes[][2] = {{3, 64}, {2, 37}, {1, 200}};

TYPED_TEST(QuantizeOrders, NearestIsGolden) {
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    const auto [rows, cols] = shapes[seed % 3];
    const std::vector<float> x = numbers(rows * cols, seed);
    const BlockScaledTensor exact = golden::quantize(x, rows, cols, format_of<TypeParam>(), {});
    const BlockScaledTensor ours = quantized<TypeParam>(
        x, rows, cols,
        [](const float(&block)[TypeParam::block], const BlockFactors& f, int i, std::int64_t) {
          float eight[8];
          for (int e = 0; e < 8; ++e) eight[e] = block[i / 8 * 8 + e];
          return TypeParam::encode8(eight, f) >> i % 8 * 4 & 15U;
        });
    ASSERT_EQ(ours.codes, exact.codes) << seed;
    ASSERT_EQ(ours.scales, exact.scales) << seed;
    ASSERT_EQ(ours.tensor_scale, exact.tensor_scale) << seed;
  }
}

TYPED_TEST(QuantizeOrders, RoundedIsTheValueOfTheCode) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<float> x = numbers(96, seed);
    quantized<TypeParam>(
        x, 1, 96,
        [](const float(&block)[TypeParam::block], const BlockFactors& f, int i, std::int64_t) {
          float eight[8] = {block[i]};
          const std::uint32_t code = TypeParam::encode8(eight, f) & 15U;
          EXPECT_EQ(bits_of(TypeParam::rounded(block[i], f)),
                    bits_of(decode_e2m1(static_cast<int>(code))));
          return 0U;
        });
  }
}

TYPED_TEST(QuantizeOrders, StochasticIsGolden) {
  for (std::uint64_t seed = 0; seed < 90; ++seed) {
    const auto [rows, cols] = shapes[seed % 3];
    const std::vector<float> x = numbers(rows * cols, seed);
    formats::QuantizeOptions options;
    options.rounding = formats::RoundingMode::stochastic;
    options.random_bits = 1 + static_cast<int>(seed % 16);
    options.seed = seed * 0x9E3779B97F4A7C15U;
    const BlockScaledTensor exact =
        golden::quantize(x, rows, cols, format_of<TypeParam>(), options);
    const BlockScaledTensor ours = quantized<TypeParam>(
        x, rows, cols,
        [&](const float(&block)[TypeParam::block], const BlockFactors& f, int i,
            std::int64_t index) {
          return encode_e2m1_stochastic_high(
                     TypeParam::scaled(block[i], f),
                     formats::philox_bits(options.seed, static_cast<std::uint64_t>(index),
                                          options.random_bits),
                     options.random_bits) >>
                 28U;
        });
    ASSERT_EQ(ours.codes, exact.codes) << seed;
    ASSERT_EQ(ours.scales, exact.scales) << seed;
  }
}

template <Missed measure>
void expect_four_over_six(const BlockFormat& format) {
  using Order = NvFp4FourOverSix<measure>;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const auto [rows, cols] = shapes[seed % 3];
    const std::vector<float> x = numbers(rows * cols, seed);
    float tensor_amax = 0.0F;
    for (const float v : x)
      if (std::isfinite(v)) tensor_amax = std::max(tensor_amax, std::fabs(v));
    const Order order(tensor_amax);
    const BlockScaledTensor exact = golden::quantize(x, rows, cols, format, {});
    EXPECT_EQ(exact.tensor_scale, order.decode);
    const std::int64_t blocks = (cols + 15) / 16;
    for (std::int64_t b = 0; b < rows * blocks; ++b) {
      float block[16] = {};
      float amax = 0.0F;
      bool finite = true;
      const std::int64_t first = b % blocks * 16;
      for (std::int64_t i = 0; first + i < std::min(cols, first + 16); ++i) {
        block[i] = x[static_cast<std::size_t>(b / blocks * cols + first + i)];
        finite = finite && std::isfinite(block[i]);
        amax = std::max(amax, std::fabs(block[i]));
      }
      const auto expected = exact.scales[static_cast<std::size_t>(b)];
      if (!finite) {
        EXPECT_EQ(expected, 0x7F);
        continue;
      }
      const BlockFactors f = order.chosen(block, amax);
      ASSERT_EQ(f.code, expected) << seed << " block " << b;
      for (std::int64_t i = 0; first + i < std::min(cols, first + 16); ++i) {
        float eight[8];
        for (int e = 0; e < 8; ++e) eight[e] = block[i / 8 * 8 + e];
        const std::uint32_t code = Order::encode8(eight, f) >> i % 8 * 4 & 15U;
        const auto byte = static_cast<std::size_t>(b / blocks * ((cols + 1) / 2) + (first + i) / 2);
        ASSERT_EQ(code, exact.codes[byte] >> (first + i) % 2 * 4 & 15U) << seed;
      }
    }
  }
}

TEST(FourOverSix, IsGolden) {
  expect_four_over_six<Missed::squared>(formats::nvfp4_4over6);
  expect_four_over_six<Missed::absolute>(formats::nvfp4_4over6_mae);
  expect_four_over_six<Missed::largest>(formats::nvfp4_4over6_max);
}

TEST(Hadamard, IsGoldenWhereNothingIsRounded) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    const auto negative = static_cast<unsigned>(random() & 0xFFFFU);
    float x[16];
    std::vector<golden::Value> values;
    std::vector<bool> signs;
    for (int i = 0; i < 16; ++i) {  // bf16 numbers of exponents within 12
      const auto significand = static_cast<float>(128 + random() % 128);
      x[i] = std::ldexp(random() % 2 == 0 ? significand : -significand,
                        static_cast<int>(random() % 13) - 6);
      values.push_back(golden::value_of(x[i]));
      signs.push_back((negative >> i & 1U) != 0);
    }
    hadamard16(x, negative);
    const std::vector<golden::Radical> exact = golden::hadamard(values, signs);
    for (int i = 0; i < 16; ++i) {
      // sum / sqrt(16), the root of the radicand 16.
      EXPECT_EQ(golden::to_rational(golden::value_of(4.0F * x[i])).number,
                exact[static_cast<std::size_t>(i)].sum.number);
    }
  }
}

TEST(DivideElements, KeepsSignsAndTinyElements) {
  for (const float factor : {0x1p-90F, 0x1.fffffep-90F, 1.0F, 0x1p90F})
    for (const float x : {0.0F, -0.0F, 0x1p-149F, -0x1p-149F, 0x1p-120F, -0x1.8p-95F}) {
      const BlockFactors f{0, factor, DivideElements::reciprocal_of(factor)};
      ASSERT_NE(f.reciprocal, 0.0F);
      EXPECT_EQ(encode_e2m1_high(DivideElements::stepped(x, f), x) >> 28U,
                encode_e2m1_high(x / factor) >> 28U)
          << x << " / " << factor;
    }
  EXPECT_EQ(DivideElements::reciprocal_of(0x1p-91F), 0.0F);
  EXPECT_EQ(DivideElements::reciprocal_of(NAN), 0.0F);
}

TEST(DecodeE2m1, TwoWaysGiveTheSameBits) {
  for (int code = 0; code < 16; ++code)
    EXPECT_EQ(bits_of(decode_low_e2m1(0xA0U | static_cast<std::uint32_t>(code))),
              bits_of(decode_e2m1(code)));
}

TEST(EncodeUe4m3, IsTheNearestCode) {
  for (int code = 0; code < 0x7E; ++code) {
    const float low = decode_ue4m3(static_cast<std::uint8_t>(code));
    const float high = decode_ue4m3(static_cast<std::uint8_t>(code + 1));
    const float middle = (low + high) / 2;
    EXPECT_EQ(encode_ue4m3(low), code);
    EXPECT_EQ(encode_ue4m3(middle), code + code % 2);
    EXPECT_EQ(encode_ue4m3(std::nextafter(middle, 0.0F)), code);
    EXPECT_EQ(encode_ue4m3(std::nextafter(middle, 1e9F)), code + 1);
  }
  EXPECT_EQ(encode_ue4m3(464.0F), 0x7E);
  EXPECT_EQ(encode_ue4m3(INFINITY), 0x7E);
}

}  // namespace
}  // namespace assay::kernels::cuda
