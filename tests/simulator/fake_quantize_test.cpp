// SPDX-License-Identifier: Apache-2.0
// Fake quantization against golden: casts, block formats, random words, re-encoding.
#include "simulator/fake_quantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "golden/hadamard.h"
#include "golden/lossless.h"
#include "golden/philox.h"
#include "golden/quantize.h"
#include "simulator/hadamard.h"

namespace assay::simulator {
namespace {

using formats::RoundingMode;
using golden::approximate;

std::vector<float> normal(std::size_t size) {
  std::mt19937 rng(5);
  std::normal_distribution<float> distribution(0, 2);
  std::vector<float> x(size);
  for (float& v : x) v = distribution(rng);
  return x;
}

TEST(FakeQuantize, ACastIsGoldensEncoding) {
  const std::vector<float> x = normal(60);
  for (const auto* spec : {&formats::bf16, &formats::e4m3, &formats::e2m1}) {
    for (const int bits : {0, 1, 5, 16}) {
      OperandFormat operand;
      operand.element = spec;
      operand.random_bits = bits;
      if (bits > 0) operand.rounding = RoundingMode::stochastic;
      const FakeQuantized q = fake_quantize(x, 6, 10, operand, 99);
      EXPECT_EQ(q.values.rows(), 6);
      EXPECT_EQ(q.values.cols(), 10);
      EXPECT_EQ(q.codes.size(), spec->storage_bits <= 8 ? x.size() : 0U);
      EXPECT_TRUE(q.scales.empty());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto words =
            golden::philox4x32_10({static_cast<std::uint32_t>(i / 4), 0, 0, 0}, {99, 0});
        const golden::Random random{bits, bits == 0 ? 0 : words[i % 4] >> (32 - bits)};
        const std::uint32_t code =
            golden::encode(*spec, golden::value_of(x[i]), operand.rounding,
                           golden::policy_of(formats::saturating, *spec), random);
        EXPECT_EQ(q.values.data()[i], approximate(golden::decode(*spec, code).number))
            << spec->name << ' ' << bits;
        if (!q.codes.empty()) {
          EXPECT_EQ(q.codes[i], code);
        }
      }
    }
  }
}

TEST(FakeQuantize, ABlockFormatIsGoldensTensor) {
  const std::vector<float> x = normal(4 * 50);
  for (const auto* format : {&formats::nvfp4, &formats::mxfp4_floor, &formats::fp8_deepseek_v4}) {
    for (const int bits : {0, 3, 16}) {
      OperandFormat operand;
      operand.block = *format;
      operand.random_bits = bits;
      golden::QuantizeOptions options;
      options.seed = 7;
      if (bits > 0) {
        operand.rounding = options.rounding = RoundingMode::stochastic;
        options.random_bits = bits;
      }
      const FakeQuantized q = fake_quantize(x, 4, 50, operand, 7);
      const auto exact = golden::quantize(x, 4, 50, *format, options);
      const auto values = golden::dequantize(exact);
      const std::int64_t across = (50 + format->block.cols - 1) / format->block.cols;
      EXPECT_EQ(q.block.rows, 1);
      EXPECT_EQ(q.block.cols, format->block.cols);
      ASSERT_EQ(q.scales.size(), static_cast<std::size_t>(4 * across));
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(q.values.data()[i], approximate(values[i].number)) << format->name << ' ' << bits;
        const double scale = q.scales[i / 50 * across + i % 50 / format->block.cols];
        EXPECT_EQ(approximate(golden::decode(*format->element, q.codes[i]).number) * scale,
                  q.values.data()[i]);
      }
      EXPECT_EQ(q.reencode_changed, 0U);
    }
  }
}

TEST(FakeQuantize, BlocksOfTheWholeExtentAreResolved) {
  OperandFormat operand;
  operand.block = formats::nvfp4;
  operand.block->block = {0, 0};
  const FakeQuantized q = fake_quantize(normal(12), 3, 4, operand, 1);
  EXPECT_EQ(q.block.rows, 3);
  EXPECT_EQ(q.block.cols, 4);
  EXPECT_EQ(q.scales.size(), 1U);
}

/// Rounded once to FP32.
std::vector<float> exact_hadamard(const std::vector<float>& group, bool signs) {
  std::vector<golden::Value> values;
  std::vector<bool> negative;
  for (std::size_t i = 0; i < group.size(); ++i) {
    values.push_back(golden::value_of(group[i]));
    const auto words = golden::philox4x32_10({static_cast<std::uint32_t>(i / 4), 0, 0, 0}, {0, 0});
    if (signs) negative.push_back(words[i % 4] >> 31 != 0);
  }
  std::vector<float> y;
  const auto& policy = golden::policy_of(formats::saturating, formats::fp32);
  for (const golden::Radical& r : golden::hadamard(values, negative))
    y.push_back(
        std::bit_cast<float>(golden::encode(formats::fp32, r, RoundingMode::nearest_even, policy)));
  return y;
}

TEST(FakeQuantize, AHadamardTransformIsGoldensAndIsUndone) {
  // Groups along rows and down columns; the last column (row) group is not whole and stays.
  for (const bool down : {false, true}) {
    OperandFormat operand;
    operand.block = formats::nvfp4;
    if (down) operand.block->block = {16, 1};
    operand.hadamard = 16;
    operand.random_signs = down;
    const std::int64_t rows = down ? 40 : 3;
    const std::int64_t cols = down ? 3 : 40;
    const std::vector<float> x = normal(120);
    std::vector<float> turned = x;
    hadamard(turned, rows, cols, operand);
    const std::int64_t step = down ? cols : 1;
    for (std::int64_t line = 0; line < 3; ++line) {
      const std::int64_t first = down ? line : line * cols;
      for (std::int64_t g = 0; g < 2; ++g) {
        std::vector<float> group(16);
        for (std::int64_t i = 0; i < 16; ++i)
          group[static_cast<std::size_t>(i)] =
              x[static_cast<std::size_t>(first + (g * 16 + i) * step)];
        const auto y = exact_hadamard(group, down);
        for (std::int64_t i = 0; i < 16; ++i) {
          const auto at = static_cast<std::size_t>(first + (g * 16 + i) * step);
          EXPECT_EQ(turned[at], y[static_cast<std::size_t>(i)]);
        }
      }
      for (std::int64_t i = 32; i < 40; ++i) {
        const auto at = static_cast<std::size_t>(first + i * step);
        EXPECT_EQ(turned[at], x[at]);
      }
    }
    // A quantizer that changes nothing leaves the values, up to the rounding of the transform.
    OperandFormat wide;
    wide.element = &formats::fp32;
    wide.hadamard = 16;
    const FakeQuantized same = fake_quantize(x, rows, cols, wide, 1);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(same.values.data()[i], x[i], 1e-5);
    // And the error of one that does is as large before and after the transform is undone.
    const FakeQuantized q = fake_quantize(x, rows, cols, operand, 1);
    OperandFormat plain = operand;
    plain.hadamard = 0;
    const FakeQuantized inside = fake_quantize(turned, rows, cols, plain, 1);
    double before = 0;
    double after = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      before += std::pow(inside.values.data()[i] - turned[i], 2);
      after += std::pow(q.values.data()[i] - x[i], 2);
    }
    EXPECT_GT(before, 0);
    EXPECT_NEAR(after / before, 1, 1e-5);
  }
}

// golden/lossless.h: a sub-block of scale 2^-18 of the largest one loses its 0.5s.
TEST(FakeQuantize, ReencodingCountsWhatItChanges) {
  OperandFormat operand;
  operand.block = formats::deepseek_v4;
  operand.reencode = formats::fp8_deepseek_v4_weight;
  std::vector<float> x(64, 0.0F);
  x[0] = 6;
  x[32] = 0x1.8p-17F;  // 6 * 2^-19
  x[33] = 0x1p-20F;    // 0.5 at that scale
  x[34] = -0x1p-20F;
  const FakeQuantized q = fake_quantize(x, 1, 64, operand, 1);
  const auto lossless = golden::lossless_e4m3(golden::quantize(x, 1, 64, formats::deepseek_v4, {}),
                                              formats::fp8_deepseek_v4_weight);
  EXPECT_FALSE(lossless.lossless);
  EXPECT_EQ(q.values(0, 0), 6);
  EXPECT_EQ(q.values(0, 33), 0) << "what multiplies is the re-encoded value";
  EXPECT_GE(q.reencode_changed, 2U);
  for (std::size_t i = 33; i < 35; ++i) x[i] = 0;
  x[32] = 6;
  EXPECT_EQ(fake_quantize(x, 1, 64, operand, 1).reencode_changed, 0U);
}

TEST(FakeQuantize, LeastSquaresScalesAreGivenToTheQuantizer) {
  OperandFormat operand;
  operand.block = formats::article;
  operand.scales = ScaleSource::least_squares;
  // 3 * {1, 2, 3, -4} is on the grid at scale 3.
  const std::vector<float> x{3, 6, 9, -12};
  const FakeQuantized q = fake_quantize(x, 1, 4, operand, 1);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(static_cast<float>(q.values.data()[i]), x[i]);
}

}  // namespace
}  // namespace assay::simulator
