// SPDX-License-Identifier: Apache-2.0
// The judge on answers whose verdict is known: right ones pass, one wrong number fails and is
// named.
#include "proptests/judge.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "formats/presets.h"
#include "golden/quantize.h"
#include "proptests/properties/qat_judge.h"

namespace assay::proptests {
namespace {

using formats::bf16;
using formats::e2m1;
using formats::fp32;
using golden::Bound;
using golden::Judgement;
using golden::Rational;
using golden::RationalValue;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

RationalValue number(std::int64_t n, std::int64_t d = 1) {
  return RationalValue::finite(Rational(n, d));
}

TEST(Judge, BytesOfFloatsComeBack) {
  const std::vector<float> x{1.0F, -0.0F, nan_value};
  const auto bytes = to_bytes(x);
  EXPECT_EQ(bytes.size(), 12U);
  EXPECT_EQ(bytes[3], 0x3F);
  EXPECT_EQ(to_bytes(to_floats(bytes)), bytes);
  EXPECT_TRUE(to_bytes({}).empty());
  EXPECT_TRUE(to_floats({}).empty());
}

TEST(Judge, CodesAndNumbersAreShownWithBitsAndValue) {
  EXPECT_EQ(show_code(e2m1, 3), "0x3 (1.5)");
  EXPECT_EQ(show_code(e2m1, 0xF), "0xf (-6)");
  EXPECT_EQ(show_code(formats::e4m3, 0x7E), "0x7e (448)");
  EXPECT_EQ(show_code(bf16, 0x3F80), "0x3f80 (1)");
  EXPECT_EQ(show(1.0F), "0x3f800000 (1)");
  EXPECT_EQ(show(-inf), "0xff800000 (-Inf)");
  EXPECT_EQ(show(RationalValue::infinity(false)), "Inf");
  EXPECT_EQ(show(RationalValue::nan()), "NaN");
  EXPECT_EQ(show(RationalValue::zero(true)), "-0");
  EXPECT_EQ(show(RationalValue::zero(false)), "0");
  EXPECT_EQ(show(number(-3, 4)), "-0.75");
}

formats::BlockScaledTensor quantized(std::int64_t rows, std::int64_t cols) {
  std::vector<float> x;
  for (std::int64_t i = 0; i < rows * cols; ++i) x.push_back(static_cast<float>(i % 13) - 6);
  return golden::quantize(x, rows, cols, formats::nvfp4, {});
}

TEST(Judge, EqualTensorsHaveNoMismatch) {
  EXPECT_FALSE(compare(quantized(3, 33), quantized(3, 33)));
}

TEST(Judge, AWrongCodeScaleOrTensorScaleIsNamed) {
  const auto right = quantized(3, 33);
  const std::int64_t row_bytes = 17;  // 33 nibbles
  ASSERT_EQ(right.codes.size(), 3U * row_bytes);
  const auto where = [&](auto&& spoil) {
    auto wrong = right;
    spoil(wrong);
    const auto mismatch = compare(right, wrong);
    return mismatch ? mismatch->where : std::string("none");
  };
  EXPECT_EQ(where([](auto& t) { t.tensor_scale *= 2; }), "tensor_scale");
  EXPECT_EQ(where([](auto& t) { t.scales[0] ^= 1; }), "scale[0,0]");
  EXPECT_EQ(where([](auto& t) { t.scales.at(2 * 3 + 1) ^= 1; }), "scale[2,1]");
  EXPECT_EQ(where([](auto& t) { t.codes[0] ^= 0x01; }), "code[0,0]");
  EXPECT_EQ(where([](auto& t) { t.codes[0] ^= 0x10; }), "code[0,1]");
  EXPECT_EQ(where([](auto& t) { t.codes[2 * row_bytes + 16] ^= 0x01; }), "code[2,32]");
  EXPECT_EQ(where([](auto& t) { t.codes[16] ^= 0x10; }), "codes byte 16 (padding)");
  EXPECT_EQ(where([](auto& t) { t.codes.pop_back(); }), "codes");
  EXPECT_EQ(where([](auto& t) { t.scales.push_back(0); }), "scales");
  EXPECT_EQ(where([](auto& t) { std::fill(t.codes.begin(), t.codes.end(), 0); }), "code[0,0]");
  auto wrong = right;
  wrong.codes[0] = static_cast<std::uint8_t>((right.codes[0] & 0xF0) | 0x9);  // -0.5
  const auto mismatch = compare(right, wrong);
  ASSERT_TRUE(mismatch);
  EXPECT_EQ(right.codes[0] & 0xF, 0xF);  // -6
  EXPECT_EQ(mismatch->expected, "0xf (-6)");
  EXPECT_EQ(mismatch->observed, "0x9 (-0.5)");
  EXPECT_EQ(mismatch->criterion, "bit exact");
  EXPECT_EQ(mismatch->distance, "6 ulp of e2m1");
  wrong.scales[0] = 0x7F;
  EXPECT_EQ(compare(right, wrong)->distance, "not defined (NaN or Inf)");
}

TEST(Judge, ANumberThatTheFormatDoesNotHoldIsOutside) {
  const Bound wide{true, 1, ""};
  EXPECT_EQ(judge_number(bf16, 1.0F, number(1), wide), Judgement::within);
  EXPECT_EQ(judge_number(bf16, std::nextafter(1.0F, 2.0F), number(1), wide), Judgement::outside);
  EXPECT_EQ(judge_number(fp32, std::nextafter(1.0F, 2.0F), number(1), wide), Judgement::within);
  EXPECT_EQ(judge_number(bf16, std::bit_cast<float>(0x7F800001U), RationalValue::nan(), wide),
            Judgement::within)
      << "a NaN's payload is no number";
  EXPECT_EQ(
      judge_number(bf16, std::bit_cast<float>(0x7F800001U), RationalValue::infinity(false), wide),
      Judgement::outside);
}

TEST(Judge, ArraysAreRuledOnElementByElement) {
  const std::vector<RationalValue> exact{number(1), number(2), number(3), number(4)};
  const std::vector<Bound> bounds(4);
  const auto rule = [&](std::vector<float> x) {
    return judge_array("d", 2, fp32, x, exact, bounds);
  };
  EXPECT_FALSE(rule({1, 2, 3, 4}).mismatch);
  EXPECT_TRUE(rule({1, 2, 3, 4}).decided);
  const auto one = rule({1, 2, 5, 7});
  ASSERT_TRUE(one.mismatch);
  EXPECT_EQ(one.mismatch->where, "d[1,0]") << "the first";
  EXPECT_EQ(one.mismatch->expected, "0x40400000 (3)");
  EXPECT_EQ(one.mismatch->observed, "0x40a00000 (5)");
  EXPECT_EQ(one.mismatch->exact, "3");
  EXPECT_EQ(one.mismatch->criterion, "correctly rounded (T = 0)");
  EXPECT_EQ(one.mismatch->distance, "6291456 ulp of fp32");  // 0x00600000
  EXPECT_EQ(rule({1, nan_value, 3, 4}).mismatch->where, "d[0,1]");
  EXPECT_EQ(rule({1, 2, 3, -inf}).mismatch->where, "d[1,1]");
  EXPECT_EQ(rule({1, 2, 3}).mismatch->criterion, "shape");
  EXPECT_EQ(rule({1, 2, 3, 4, 5}).mismatch->criterion, "shape");
}

TEST(Judge, TheErrorShownIsHeldAgainstTAndHalfAnUlp) {
  const std::vector<RationalValue> exact{number(1), number(-2)};
  const std::vector<Bound> bounds(2, {true, Rational(1, 1 << 20), ""});
  // |exact| + T = 1 + 2^-20: half an ulp there is 2^-24; at 2 it is 2^-23.
  const Ruling ruling =
      judge_array("d", 2, fp32, std::vector<float>{1 + 0x1p-21F, -2}, exact, bounds);
  ASSERT_TRUE(ruling.worst);
  EXPECT_EQ(ruling.worst->exact, 1);
  EXPECT_EQ(ruling.worst->allowed, 0x1p-20 + 0x1p-24);
  EXPECT_EQ(ruling.worst->error, 0x1p-21);
}

TEST(Judge, WhatHasNoBoundDecidesNothing) {
  const std::vector<RationalValue> exact{number(1), number(2)};
  const Bound none{false, 0, "no bound"};
  const std::vector<float> wrong{7, 7};
  const auto nothing = judge_array("d", 2, fp32, wrong, exact, std::vector<Bound>{none, none});
  EXPECT_FALSE(nothing.decided);
  EXPECT_FALSE(nothing.mismatch);
  const auto second =
      judge_array("d", 2, fp32, wrong, exact, std::vector<Bound>{none, {true, Rational(1, 4), ""}});
  EXPECT_TRUE(second.decided);
  ASSERT_TRUE(second.mismatch);
  EXPECT_EQ(second.mismatch->where, "d[0,1]");
  EXPECT_NE(second.mismatch->criterion.find("T = 0.25"), std::string::npos);
  EXPECT_TRUE(judge_array("d", 2, fp32, {}, {}, {}).decided) << "nothing to judge is judged";
}

// One QAT step of small integers, which FP32 answers exactly but for d scale.
struct Step {
  QatCase c;
  std::vector<float> y;
  QatGradientBits gradients;

  explicit Step(kernels::Estimator estimator) {
    c.claim.b = &formats::article;
    c.estimator = estimator;
    c.parameter = 0.5F;
    c.m = 2;
    c.n = 3;
    c.k = 40;  // a whole block and a part of one
    const auto fill = [](std::vector<float>& v, std::int64_t size, int step, float unit) {
      for (std::int64_t i = 0; i < size; ++i)
        v.push_back(unit * static_cast<float>((i * step + 5) % 17 - 8));
    };
    fill(c.x, c.m * c.k, 5, 1);
    fill(c.w, c.n * c.k, 3, 0.25F);
    fill(c.bias, c.n, 7, 1);
    fill(c.dy, c.m * c.n, 3, 1);
    c.scales.assign(c.n * c.blocks(), 0.25F);  // clips beyond 1.5
    const auto numbers = [](const std::vector<golden::Value>& exact) {
      std::vector<float> v;
      for (const auto& x : exact) v.push_back(static_cast<float>(golden::approximate(x.number)));
      return v;
    };
    y = numbers(golden::qat_forward(c.layer()).y);
    const auto exact = golden::qat_backward(c.layer(), c.dy);
    gradients.dx = numbers(exact.dx);
    gradients.dbias = numbers(exact.dbias);
    const auto rounded = [](const std::vector<golden::Radical>& x) {
      std::vector<float> v;
      for (const auto& d : x)
        v.push_back(std::bit_cast<float>(golden::encode(
            fp32, d, formats::RoundingMode::nearest_even, golden::policy_of(formats::ieee, fp32))));
      return v;
    };
    gradients.dw = rounded(exact.dw);
    gradients.dscale = rounded(exact.dscale);
  }
};

constexpr kernels::Estimator estimators[] = {
    kernels::Estimator::identity,  kernels::Estimator::clip_mask, kernels::Estimator::lsq,
    kernels::Estimator::pact,      kernels::Estimator::ewgs,      kernels::Estimator::dge,
    kernels::Estimator::trust_mask};

TEST(QatJudge, TheExactStepPasses) {
  for (const auto estimator : estimators) {
    const Step step(estimator);
    EXPECT_EQ(step.gradients.dscale.empty(), !kernels::has_scale_gradient(estimator));
    for (const Ruling& ruling :
         {judge_forward(step.c, step.y), judge_backward(step.c, step.gradients)}) {
      EXPECT_TRUE(ruling.decided);
      EXPECT_FALSE(ruling.mismatch) << ruling.mismatch->where;
    }
  }
}

TEST(QatJudge, EverySingleWrongNumberIsNamed) {
  const auto off = [](float v) { return v + std::copysign(0.001F * std::abs(v) + 0.001F, v); };
  const auto place = [](const char* name, std::size_t i, std::int64_t cols) {
    return std::string(name) + "[" + std::to_string(i / cols) + "," + std::to_string(i % cols) +
           "]";
  };
  for (const auto estimator : estimators) {
    Step step(estimator);
    for (std::size_t i = 0; i < step.y.size(); ++i) {
      const float right = std::exchange(step.y[i], off(step.y[i]));
      const auto ruling = judge_forward(step.c, step.y);
      ASSERT_TRUE(ruling.mismatch) << i;
      EXPECT_EQ(ruling.mismatch->where, place("y", i, step.c.n));
      step.y[i] = right;
    }
    const auto spoil = [&](const char* name, std::vector<float>& values, std::int64_t cols) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float right = std::exchange(values[i], off(values[i]));
        const auto ruling = judge_backward(step.c, step.gradients);
        ASSERT_TRUE(ruling.mismatch) << name << i;
        EXPECT_EQ(ruling.mismatch->where, place(name, i, cols));
        EXPECT_TRUE(ruling.decided);
        values[i] = right;
      }
    };
    spoil("dx", step.gradients.dx, step.c.k);
    spoil("dw", step.gradients.dw, step.c.k);
    spoil("dbias", step.gradients.dbias, step.c.n);
    spoil("dscale", step.gradients.dscale, step.c.blocks());
  }
}

TEST(QatJudge, ArraysOfAnotherSizeFail) {
  Step step(kernels::Estimator::lsq);
  step.gradients.dscale.pop_back();
  EXPECT_EQ(judge_backward(step.c, step.gradients).mismatch->where, "dscale");
  step.y.pop_back();
  EXPECT_EQ(judge_forward(step.c, step.y).mismatch->where, "y");
}

TEST(QatJudge, AStepThatMayOverflowEverywhereDecidesNothing) {
  Step step(kernels::Estimator::identity);
  step.c.w.assign(step.c.w.size(), 0.5F);
  step.c.x.assign(step.c.x.size(), 3e38F);
  step.c.dy.assign(step.c.dy.size(), 3e38F);
  EXPECT_FALSE(judge_backward(step.c, step.gradients).decided);
  EXPECT_FALSE(judge_backward(step.c, step.gradients).mismatch);
  EXPECT_FALSE(judge_forward(step.c, step.y).decided);
}

TEST(QatJudge, AnExactNanIsDemandedOnlyWhereThereIsABound) {
  Step step(kernels::Estimator::lsq);
  step.c.w[0] = nan_value;  // its block's d scale is NaN, and so is y's first column
  const auto y = judge_forward(step.c, step.y);
  ASSERT_TRUE(y.mismatch);
  EXPECT_EQ(y.mismatch->where, "y[0,0]");
  for (std::int64_t i = 0; i < step.c.m; ++i) step.y[i * step.c.n] = nan_value;
  EXPECT_FALSE(judge_forward(step.c, step.y).mismatch);
}

}  // namespace
}  // namespace assay::proptests
