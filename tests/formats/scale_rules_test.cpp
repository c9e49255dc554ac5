// SPDX-License-Identifier: Apache-2.0
// The rows of order_variants.h against their sources' own words: torchao's integer arithmetic,
// Four Over Six by trying both scale factors here, and what the rules promise about clipping.

#include <algorithm>
#include <cmath>

#include "formats/fields.h"
#include "formats/rule_matrix.h"
#include "tests/formats/block_cases.h"

namespace assay::tests {
namespace {

using namespace formats;

/// The scale codes of blocks that are one element each.
std::vector<std::uint8_t> codes_of(const BlockFormat& preset, const std::vector<float>& amax) {
  BlockFormat format = preset;
  format.block = {1, 1};
  return quantize(amax, 1, static_cast<std::int64_t>(amax.size()), format).scales;
}

/// torchao's to_mx: exponents and mantissas of amax as integers.
std::uint32_t torchao(ScaleRule rule, float amax, int mantissa_bits, int emax) {
  auto bits = std::bit_cast<std::uint32_t>(amax);
  if (rule == ScaleRule::even)
    bits = (bits + (1U << static_cast<unsigned>(23 - mantissa_bits - 1))) & 0xFF800000U;
  int exponent = static_cast<int>(bits >> 23U) - 127;
  if (rule == ScaleRule::ceil && (bits & 0x7FFFFFU) != 0) ++exponent;
  return static_cast<std::uint32_t>(std::clamp(exponent - emax, -127, 127) + 127);
}

TEST(ScaleRules, PowersOfTwoAsTorchaoComputesThem) {
  for (const BlockFormat* format : every_block_format) {
    if (format->scale != &e8m0 || format->order->block.size() != 1) continue;
    if (format->rule != ScaleRule::floor && format->rule != ScaleRule::ceil &&
        format->rule != ScaleRule::even)
      continue;
    int emax = 0;
    std::frexp(decode(*format->element, fields_of(*format->element).max_finite()), &emax);
    // INT4's top binade 4 .. 7 has steps of 1: two bits behind the leading one.
    const int mantissa_bits = format->element == &int4 ? 2 : format->element->mantissa_bits;
    std::vector<float> amax;
    for (std::uint32_t bits = 0x00000001; bits < 0x7F800000U; bits += 0x3FFFU) {
      for (const std::uint32_t b :
           {bits, bits | 0x7FFFFFU, bits & 0xFF800000U, bits | 0x600000U, bits | 0x700000U}) {
        const float a = std::bit_cast<float>(b);
        if (std::isfinite(a) && a != 0) amax.push_back(a);
      }
    }
    const std::vector<std::uint8_t> codes = codes_of(*format, amax);
    ASSERT_EQ(codes.size(), amax.size());
    for (std::size_t i = 0; i < amax.size(); ++i)
      ASSERT_EQ(codes[i], torchao(format->rule, amax[i], mantissa_bits, emax - 1))
          << format->name << " " << amax[i];
  }
}

// ceil and rceil never clip: amax over the scale is at most the largest element, wherever the scale
// is not the largest or smallest there is.
TEST(ScaleRules, CeilAndRoundUpNeverClip) {
  for (const BlockFormat* format : every_block_format) {
    const bool up = format->rule == ScaleRule::ceil || format->rule == ScaleRule::rceil;
    if (!up || format->scale != &e8m0 || format->order->block.size() != 1) continue;
    const double max = decode(*format->element, fields_of(*format->element).max_finite());
    std::vector<float> amax;
    for (std::uint32_t mantissa = 0; mantissa < 1U << 23U; mantissa += 1021)
      amax.push_back(std::bit_cast<float>(0x3F800000U | mantissa));
    const std::vector<std::uint8_t> codes = codes_of(*format, amax);
    ASSERT_EQ(codes.size(), amax.size());
    for (std::size_t i = 0; i < amax.size(); ++i)
      ASSERT_LE(amax[i] / static_cast<double>(decode(e8m0, codes[i])), max) << format->name;
  }
}

TEST(ScaleRules, TheTwoOrdersOfNvfp4Differ) {
  std::vector<float> x(32, 0.0F);
  x[0] = 1.078125F;
  x[16] = 1.4375F;
  EXPECT_EQ(quantize(x, 1, 32, nvfp4).scales[0], 0x7B);
  EXPECT_EQ(quantize(x, 1, 32, nvfp4_paper).scales[0], 0x7A);
}

// Rounded up, the scale is the least code not below (amax/6)/g, and 448 at most.
TEST(ScaleRules, UpIsNeverBelowNearest) {
  const std::vector<float> x = matrix(5, 64, 256, 0, false);
  const BlockScaledTensor nearest = quantize(x, 64, 256, nvfp4_divide);
  const BlockScaledTensor up = quantize(x, 64, 256, nvfp4_up);
  int higher = 0;
  for (std::size_t i = 0; i < up.scales.size(); ++i) {
    ASSERT_LE(nearest.scales[i], up.scales[i]);
    ASSERT_LE(up.scales[i], 0x7E);
    higher += nearest.scales[i] < up.scales[i] ? 1 : 0;
  }
  EXPECT_GT(higher, 100);
}

/// Elements and scale code of one block by one order of Four Over Six, in plain arithmetic.
double squared_error(std::span<const float> block, const BlockScaledTensor& t, std::int64_t at) {
  std::vector<float> y(static_cast<std::size_t>(t.rows * t.cols));
  dequantize(t, y);
  float sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const float e = y[static_cast<std::size_t>(at) + i] - block[i];
    sum += e * e;
  }
  return static_cast<double>(sum);
}

TEST(FourOverSix, KeepsTheBetterOfTheTwoAndSixOnTies) {
  BlockFormat six = nvfp4_4over6;
  six.candidates = nullptr;
  BlockFormat four = six;
  four.order = &orders::nvfp4_4over6_four;
  int fours = 0;
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    std::vector<float> x = matrix(seed, 4, 64, 0, false);
    if (seed % 2 == 0) {  // ordinary blocks beside the constructed ones
      Words w(seed);
      for (float& value : x) value = w.sign() * (w.uniform() + w.uniform());
    }
    const BlockScaledTensor t = golden::quantize(x, 4, 64, nvfp4_4over6);
    const BlockScaledTensor t6 = golden::quantize(x, 4, 64, six);
    const BlockScaledTensor t4 = golden::quantize(x, 4, 64, four);
    for (std::size_t b = 0; b < t.scales.size(); ++b) {
      const std::span block = std::span(x).subspan(b * 16, 16);
      const auto at = static_cast<std::int64_t>(b * 16);
      const double e6 = squared_error(block, t6, at);
      const double e4 = squared_error(block, t4, at);
      ASSERT_EQ(t.scales[b], e4 < e6 ? t4.scales[b] : t6.scales[b]) << seed << " block " << b;
      ASSERT_EQ(squared_error(block, t, at), std::min(e4, e6));
      fours += e4 < e6 ? 1 : 0;
    }
  }
  EXPECT_GT(fours, 50);
}

// One scale per 16 x 16, of the largest magnitude in it, partial edge blocks included.
TEST(TwoDimensional, OneScaleForAllRowsOfABlock) {
  const std::vector<float> x = matrix(9, 37, 53, 0, false);
  const BlockScaledTensor t = quantize(x, 37, 53, nvfp4_2d);
  ASSERT_EQ(t.scales.size(), 3U * 4U);
  expect_same(t, golden::quantize(x, 37, 53, nvfp4_2d), "nvfp4-2d");
  const BlockScaledTensor p = quantize(x, 37, 53, nvfp4_pretraining);
  expect_same(p, golden::quantize(x, 37, 53, nvfp4_pretraining), "nvfp4-pretraining");
}

// With 6 * 16/17, no scaled element exceeds 6 by more than the roundings of the chain (6 FP32
// roundings: 2^-21 relative) where the block scale is a normal E4M3 number.
TEST(Stochastic, SixteenSeventeenthsLeaveRoom) {
  std::uint64_t normal = 0;
  for (std::uint64_t seed = 1; seed < 30; ++seed) {
    const std::vector<float> x = matrix(seed, 4, 64, 0, false);
    const BlockScaledTensor t = quantize(x, 4, 64, nvfp4_sr);
    for (std::size_t b = 0; b < t.scales.size(); ++b) {
      if (t.scales[b] < 8) continue;
      ++normal;
      const double scale = static_cast<double>(decode(ue4m3, t.scales[b])) * t.tensor_scale;
      for (std::size_t i = 0; i < 16; ++i)
        ASSERT_LE(std::fabs(static_cast<double>(x[b * 16 + i])) / scale, 6 * (1 + 0x1p-21));
    }
  }
  EXPECT_GT(normal, 100U);
}

/// The formats of an element with a scale format and rule, candidates by their measure.
int cells(const FormatSpec& element, const FormatSpec& scale, ScaleRule rule,
          const ErrorMeasure* measure) {
  int found = 0;
  for (const BlockFormat* format : every_block_format) {
    if (format->element != &element || format->scale != &scale || format->rule != rule) continue;
    if ((format->candidates == nullptr) != (measure == nullptr)) continue;
    if (measure != nullptr && format->candidates->measure != *measure) continue;
    ++found;
  }
  return found;
}

TEST(RuleMatrix, EveryRuleForEveryElement) {
  for (const FormatSpec* element : {&e2m1, &e2m3, &e3m2, &e4m3, &e5m2, &int4}) {
    using enum ScaleRule;
    for (const ScaleRule rule : {floor, ceil, rceil, even})
      EXPECT_GE(cells(*element, e8m0, rule, nullptr), 1) << element->name;
    for (const ScaleRule rule : {nearest, up})
      EXPECT_GE(cells(*element, ue4m3, rule, nullptr), 1) << element->name;
    for (const ErrorMeasure measure :
         {ErrorMeasure::squared, ErrorMeasure::absolute, ErrorMeasure::largest})
      EXPECT_EQ(cells(*element, ue4m3, nearest, &measure), 1) << element->name;
    for (const FormatSpec* scale : {&bf16, &fp32})
      EXPECT_GE(cells(*element, *scale, amax_over_max, nullptr), 1) << element->name;
  }
}

/// Largest and second largest values by decoding, not from the rows' constants.
struct TopValues {
  float max, next;
};
TopValues top_of(const FormatSpec& element) {
  const std::uint32_t code = fields_of(element).max_finite();
  return {decode(element, code), decode(element, code - 1)};
}

std::uint32_t e4m3_of(float x, RoundingMode mode = RoundingMode::nearest_even) {
  return encode(ue4m3, x, mode, profile_row(saturating, ue4m3).policy);
}

// The rows' formulas in FP32 arithmetic of the compiler, on ordinary tensors: scale factors of
// nearest and up with a tensor scale, of BF16 and FP32, and of both candidates of 4over6.
TEST(RuleMatrix, ScaleFactorsAsTheFormulasSay) {
  constexpr std::int64_t cols = 256;
  Words w(11);
  std::vector<float> x(4 * cols);
  for (float& value : x)
    value = w.sign() * (w.uniform() + 0.01F) * std::ldexp(1.0F, static_cast<int>(w.below(6)));
  float amax = 0;
  for (const float value : x) amax = std::max(amax, std::fabs(value));
  int checked = 0;
  int seconds = 0;
  for (const BlockFormat& format : matrix::rows) {
    if (format.scale == &e8m0) continue;
    const auto [max, next] = top_of(*format.element);
    const BlockScaledTensor t = quantize(x, 4, cols, format);
    const float s_enc = (format.candidates != nullptr ? 256 : 448) * max / amax;
    const float g = amax / (448 * max);
    if (format.rule == ScaleRule::up) {
      EXPECT_EQ(t.tensor_scale, g) << format.name;
    } else if (format.scale == &ue4m3) {
      EXPECT_EQ(t.tensor_scale, 1 / s_enc) << format.name;
    }
    for (std::int64_t b = 0; b < 4 * cols / format.block.cols; ++b) {
      const std::span block = std::span(x).subspan(static_cast<std::size_t>(b * format.block.cols),
                                                   static_cast<std::size_t>(format.block.cols));
      float a = 0;
      for (const float value : block) a = std::max(a, std::fabs(value));
      const std::uint32_t code =
          scale_code(t, b * format.block.cols / cols, b * format.block.cols % cols);
      ++checked;
      if (format.rule == ScaleRule::up) {
        ASSERT_EQ(code, e4m3_of(a / max / g, RoundingMode::toward_positive)) << format.name;
      } else if (format.candidates != nullptr) {
        const std::uint32_t second = e4m3_of(a / next * s_enc);
        ASSERT_TRUE(code == e4m3_of(a / max * s_enc) || code == second) << format.name;
        seconds += code == second ? 1 : 0;
      } else if (format.scale == &ue4m3) {
        ASSERT_EQ(code, e4m3_of(a / max * s_enc)) << format.name;
      } else if (format.scale == &fp32) {
        ASSERT_EQ(code, std::bit_cast<std::uint32_t>(a / max)) << format.name;
      } else {
        ASSERT_EQ(code, encode(bf16, a / max, RoundingMode::nearest_even,
                               profile_row(saturating, bf16).policy))
            << format.name;
      }
    }
  }
  EXPECT_GT(checked, 1000);
  EXPECT_GT(seconds, 100);
}

// ModelOpt 0.47 clamps block scales from below: a block whose scale factor would be 2^-11 gets
// 2^-9.
TEST(ModelOpt, SmallBlocksKeepTheSmallestScale) {
  std::vector<float> x(32, 0.0F);
  x[0] = 2688.0F;
  x[16] = 6 * 0x1p-11F;
  const BlockScaledTensor t = quantize(x, 1, 32, nvfp4_modelopt_clamp);
  EXPECT_EQ(t.scales, (std::vector<std::uint8_t>{0x7E, 0x01}));
  EXPECT_EQ(element_code(t, 0, 16), 0x3U);  // 6 * 2^-11 / 2^-9 = 1.5
  EXPECT_EQ(quantize(x, 1, 32, nvfp4_divide).scales[1], 0x00);
  expect_same(t, golden::quantize(x, 1, 32, nvfp4_modelopt_clamp), "nvfp4-modelopt-clamp");
  EXPECT_EQ(quantize(x, 1, 32, nvfp4_modelopt).scales[1], 0x00);
}

TEST(Aliases, NameTheirFormats) {
  EXPECT_EQ(&find_block_format("mxfp6"), &mxfp6_e2m3_floor);
  EXPECT_EQ(&find_block_format("mxfp8"), &mxfp8_e4m3_floor);
  EXPECT_EQ(&find_block_format("int4"), &int4_g128);
}

}  // namespace
}  // namespace assay::tests
