// SPDX-License-Identifier: Apache-2.0
// QAT gradients against two independent checks written here: forward-mode automatic differentiation
// of the surrogate, and exact difference quotients of the loss where the surrogate is linear.
#include "golden/qat.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "formats/presets.h"

namespace assay::golden {
namespace {

using formats::BlockFormat;

struct Case {
  std::int64_t m, n, k, block;
  std::vector<float> x, w, bias, scales, dy;

  [[nodiscard]] QatLayer layer(const BlockFormat& format, Estimator estimator) const {
    QatLayer result;
    result.m = m;
    result.n = n;
    result.k = k;
    result.x = x;
    result.w = w;
    result.bias = bias;
    result.scales = scales;
    result.weight_format = &format;
    result.estimator = estimator;
    return result;
  }
  [[nodiscard]] std::int64_t blocks_across() const { return (k + block - 1) / block; }
  [[nodiscard]] std::size_t block_of(std::int64_t row, std::int64_t col) const {
    return row * blocks_across() + col / block;
  }
};

// Learned scales. Some weights sit exactly on the clip boundary, one FP32 step outside, on ties, at
// zero.
Case learned_case(std::uint32_t seed, std::int64_t block) {
  Case c{3, 4, 2 * block + 5, block, {}, {}, {}, {}, {}};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  const auto fill = [&](std::vector<float>& v, std::int64_t size) {
    for (std::int64_t i = 0; i < size; ++i) v.push_back(normal(random));
  };
  fill(c.x, c.m * c.k);
  fill(c.bias, c.n);
  fill(c.dy, c.m * c.n);
  for (std::int64_t i = 0; i < c.n * c.blocks_across(); ++i) {
    c.scales.push_back(0.2F + 0.1F * std::abs(normal(random)));
  }
  for (std::int64_t j = 0; j < c.n; ++j) {
    for (std::int64_t p = 0; p < c.k; ++p) {
      float& s = c.scales[c.block_of(j, p)];
      if (p % block == 0) s = std::ldexp(std::round(std::ldexp(s, 18)), -18);  // 6 s is exact
      const float boundary = 6.0F * s;
      switch ((p + j) % 8) {
        case 0:
          c.w.push_back(boundary);
          break;
        case 1:
          c.w.push_back(-boundary);
          break;
        case 2:
          c.w.push_back(std::nextafter(boundary, 100.0F));
          break;
        case 3:
          c.w.push_back(2.5F * s);
          break;
        case 4:
          c.w.push_back(0.0F);
          break;
        default:
          c.w.push_back(normal(random));
      }
    }
  }
  return c;
}

// d(value)/d(parameter) carried along.
struct Dual {
  long double value = 0;
  long double slope = 0;
};
Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
Dual operator*(Dual a, Dual b) {
  return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
Dual operator/(Dual a, Dual b) {
  return {a.value / b.value, (a.slope * b.value - a.value * b.slope) / (b.value * b.value)};
}
// The boundary belongs to the identity branch.
Dual clip(Dual u) {
  if (u.value > 6) return {6, 0};
  if (u.value < -6) return {-6, 0};
  return u;
}
// E2M1 to nearest even of the FP32 quotient, straight-through: the slope passes.
Dual round_e2m1(Dual u, float quotient) {
  constexpr float grid[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  const float magnitude = std::min(std::abs(quotient), 6.0F);
  int best = 0;
  for (int i = 1; i < 8; ++i) {
    const float d = std::abs(magnitude - grid[i]);
    const float d_best = std::abs(magnitude - grid[best]);
    if (d < d_best || (d == d_best && i % 2 == 0)) best = i;
  }
  return {std::copysign(grid[best], quotient), u.slope};
}

// sum dy y as a Dual: `seed_*` select the parameter that has slope 1 (-1: none of that kind).
struct Parameter {
  std::int64_t x = -1, w = -1, bias = -1, scale = -1;
};
Dual surrogate_loss(const Case& c, Parameter at, bool identity) {
  const auto param = [](float v, std::int64_t index, std::int64_t chosen) {
    return Dual{v, index == chosen ? 1.0L : 0.0L};
  };
  Dual loss;
  for (std::int64_t i = 0; i < c.m; ++i) {
    for (std::int64_t j = 0; j < c.n; ++j) {
      Dual y = param(c.bias[j], j, at.bias);
      for (std::int64_t p = 0; p < c.k; ++p) {
        const auto b = static_cast<std::int64_t>(c.block_of(j, p));
        const float w_value = c.w[j * c.k + p];
        const Dual w = param(w_value, j * c.k + p, at.w);
        const Dual s = param(c.scales[b], b, at.scale);
        const Dual u = w / s;
        // Whether the exact quotient is inside decides; long double of two floats is not exact, the
        // comparison |w| <= 6 s in long double is.
        Dual clipped = clip(u);
        if (std::abs(w.value) <= 6 * s.value) clipped = u;
        if (identity) clipped = u;
        const Dual w_hat = s * round_e2m1(clipped, w_value / c.scales[b]);
        y = y + param(c.x[i * c.k + p], i * c.k + p, at.x) * w_hat;
      }
      loss = loss + Dual{c.dy[i * c.n + j], 0} * y;
    }
  }
  return loss;
}

long double number(const Value& v) { return v.number.rational().convert_to<long double>(); }
long double number(const Radical& v) { return v.sum.number.convert_to<long double>(); }
void expect_close(long double got, long double want, const char* what, std::int64_t index) {
  EXPECT_LE(std::abs(got - want), 1e-15L * (16 + std::abs(want))) << what << ' ' << index;
}

TEST(GoldenQat, GradientsAreThoseOfAutomaticDifferentiation) {
  for (const BlockFormat* format : {&formats::article, &formats::article_attention}) {
    const Case c = learned_case(7, format->block.cols);
    const QatGradients lsq = qat_backward(c.layer(*format, Estimator::lsq), c.dy);
    const QatGradients mask = qat_backward(c.layer(*format, Estimator::clip_mask), c.dy);
    const QatGradients identity = qat_backward(c.layer(*format, Estimator::identity), c.dy);
    for (std::int64_t i = 0; i < c.m * c.k; ++i) {
      expect_close(number(lsq.dx[i]), surrogate_loss(c, {.x = i}, false).slope, "dx", i);
    }
    for (std::int64_t i = 0; i < c.n * c.k; ++i) {
      const long double clipped = surrogate_loss(c, {.w = i}, false).slope;
      expect_close(number(lsq.dw[i]), clipped, "dw lsq", i);
      expect_close(number(mask.dw[i]), clipped, "dw clip_mask", i);
      expect_close(number(identity.dw[i]), surrogate_loss(c, {.w = i}, true).slope, "dw", i);
    }
    for (std::int64_t j = 0; j < c.n; ++j) {
      expect_close(number(lsq.dbias[j]), surrogate_loss(c, {.bias = j}, false).slope, "dbias", j);
    }
    ASSERT_EQ(lsq.dscale.size(), c.scales.size());
    for (std::size_t b = 0; b < c.scales.size(); ++b) {
      const std::int64_t last = static_cast<std::int64_t>(b) % c.blocks_across();
      const std::int64_t width = std::min(c.block, c.k - last * c.block);
      EXPECT_EQ(lsq.dscale[b].radicand, 6 * width);
      expect_close(lsq.dscale[b].sum.number.convert_to<long double>(),
                   surrogate_loss(c, {.scale = static_cast<std::int64_t>(b)}, false).slope,
                   "dscale", static_cast<std::int64_t>(b));
    }
    EXPECT_TRUE(identity.dscale.empty());
    EXPECT_TRUE(mask.dscale.empty());
  }
}

// The loss in exact numbers, w_hat of every weight given.
Rational loss(const Case& c, const std::vector<Rational>& x, const std::vector<Rational>& w_hat,
              const std::vector<Rational>& bias) {
  Rational sum = 0;
  for (std::int64_t i = 0; i < c.m; ++i) {
    for (std::int64_t j = 0; j < c.n; ++j) {
      Rational y = bias[j];
      for (std::int64_t p = 0; p < c.k; ++p) y += x[i * c.k + p] * w_hat[j * c.k + p];
      sum += Rational(c.dy[i * c.n + j]) * y;
    }
  }
  return sum;
}
std::vector<Rational> rationals(const std::vector<float>& v) { return {v.begin(), v.end()}; }

// v(w, s) = s (clip(w / s) + c) with c = q - clip(u) frozen at the point: what "straight-through"
// means as a function. It is linear in s and in w on either side of the boundary.
Rational surrogate(const Rational& w, const Rational& s, const Rational& frozen) {
  Rational u = w / s;
  if (u > 6) u = 6;
  if (u < -6) u = -6;
  return s * (u + frozen);
}

TEST(GoldenQat, GradientsAreExactDifferenceQuotients) {
  const Case c = learned_case(3, 16);
  const QatLayer layer = c.layer(formats::article_attention, Estimator::lsq);
  const QatForward forward = qat_forward(layer);
  const QatGradients gradients = qat_backward(layer, c.dy);
  std::vector<Rational> x = rationals(c.x);
  std::vector<Rational> bias = rationals(c.bias);
  const std::vector<Rational> w = rationals(c.w);
  const std::vector<Rational> s = rationals(c.scales);
  std::vector<Rational> w_hat;
  std::vector<Rational> frozen;
  for (std::int64_t i = 0; i < c.n * c.k; ++i) {
    const Rational scale = s[c.block_of(i / c.k, i % c.k)];
    w_hat.push_back(forward.w_hat[i].number.rational());
    frozen.push_back((w_hat[i] - surrogate(w[i], scale, 0)) / scale);
  }
  const Rational base = loss(c, x, w_hat, bias);
  Rational check = 0;
  for (std::int64_t i = 0; i < c.m * c.n; ++i) {
    check += Rational(c.dy[i]) * forward.y[i].number.rational();
  }
  ASSERT_EQ(base, check) << "forward";
  const Rational h(1, Integer(1) << 40);  // smaller than any distance to the clip boundary but 0
  for (std::int64_t i = 0; i < c.m * c.k; ++i) {
    x[i] += h;
    EXPECT_EQ((loss(c, x, w_hat, bias) - base) / h, gradients.dx[i].number.rational()) << i;
    x[i] -= h;
  }
  for (std::int64_t j = 0; j < c.n; ++j) {
    bias[j] += h;
    EXPECT_EQ((loss(c, x, w_hat, bias) - base) / h, gradients.dbias[j].number.rational()) << j;
    bias[j] -= h;
  }
  int on_boundary = 0;
  int outside = 0;
  for (std::int64_t i = 0; i < c.n * c.k; ++i) {
    const Rational scale = s[c.block_of(i / c.k, i % c.k)];
    const Rational excess = boost::multiprecision::abs(w[i]) - 6 * scale;
    on_boundary += excess == 0 ? 1 : 0;
    outside += excess > 0 ? 1 : 0;
    // The boundary is inside: the quotient is taken toward zero.
    const Rational step = w[i] > 0 ? Rational(-h) : h;
    std::vector<Rational> moved = w_hat;
    moved[i] = surrogate(w[i] + step, scale, frozen[i]);
    EXPECT_EQ((loss(c, x, moved, bias) - base) / step, gradients.dw[i].sum.number) << i;
  }
  EXPECT_GT(on_boundary, 8);
  EXPECT_GT(outside, 8);
  for (std::size_t b = 0; b < s.size(); ++b) {
    // A larger scale moves the boundary outwards: weights on it count as inside, weights one FP32
    // step outside stay there.
    std::vector<Rational> moved = w_hat;
    for (std::int64_t i = 0; i < c.n * c.k; ++i) {
      if (c.block_of(i / c.k, i % c.k) == b) moved[i] = surrogate(w[i], s[b] + h, frozen[i]);
    }
    EXPECT_EQ((loss(c, x, moved, bias) - base) / h, gradients.dscale[b].sum.number) << b;
  }
}

TEST(GoldenQat, TensorScaleEntersTheScaleGradient) {
  Case c{1, 1, 16, 16, std::vector<float>(16, 1.0F), {}, {}, {}, {1.0F}};
  for (int i = 0; i < 16; ++i) c.w.push_back(0.1F * static_cast<float>(i) - 0.5F);
  const QatLayer layer = c.layer(formats::nvfp4_divide, Estimator::lsq);
  const QatForward forward = qat_forward(layer);
  const QatGradients gradients = qat_backward(layer, c.dy);
  const Rational g = Exact::from_float(forward.w_codes.tensor_scale).rational();
  const Rational stored = decode(formats::ue4m3, forward.w_codes.scales[0]).number.rational();
  // v = w + s g (q - u) for s at its value: dv/ds = g (q - u); W_hat = q s g.
  Rational expected = 0;
  for (int i = 0; i < 16; ++i) {
    const Rational w(c.w[i]);
    const Rational q = forward.w_hat[i].number.rational() / (stored * g);
    const bool inside = boost::multiprecision::abs(w) <= 6 * stored * g;
    expected += inside ? Rational(g * (q - w / (stored * g))) : Rational(w > 0 ? 6 * g : -6 * g);
  }
  ASSERT_EQ(gradients.dscale.size(), 1U);
  EXPECT_EQ(gradients.dscale[0].sum.number, expected);
  EXPECT_EQ(gradients.dscale[0].radicand, 96);
}

TEST(GoldenQat, MaskUsesTheUnroundedWeight) {
  // RNE puts 6.5 and 7 on 6, where a mask on the rounded value would let them pass.
  Case c{1,  1,      4,     16, {1, 1, 1, 1}, {6.0F, 6.5F, -7.0F, std::nextafter(6.0F, 7.0F)},
         {}, {1.0F}, {1.0F}};
  const QatGradients g =
      qat_backward(c.layer(formats::article_attention, Estimator::clip_mask), c.dy);
  EXPECT_EQ(g.dw[0].sum.number, 1);
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(g.dw[i].sum.is_zero()) << i;
}

TEST(GoldenQat, ANegativeScaleMasksAsItsMagnitude) {
  // |w| <= 6 |s|: 1.5 is inside, 1.75 is not. u = w / s changes sign, and with it dv/ds outside.
  for (const float s : {0.25F, -0.25F}) {
    Case c{1, 1, 4, 16, {1, 1, 1, 1}, {1.5F, -1.5F, 1.75F, -1.0F}, {}, {s}, {1.0F}};
    const QatGradients g = qat_backward(c.layer(formats::article_attention, Estimator::lsq), c.dy);
    EXPECT_EQ(g.dw_passes, (std::vector<bool>{true, true, false, true})) << s;
    EXPECT_EQ(g.dscale[0].sum.number, Rational(s < 0 ? -6 : 6)) << s;  // only 1.75 is not exact
  }
}

TEST(GoldenQat, ZeroScaleAndNanBlocks) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Case c{1, 2, 2, 16, {1, 1}, {0.0F, -3.0F, 1.0F, nan}, {}, {0.0F, 1.0F}, {2.0F, 3.0F}};
  const QatLayer layer = c.layer(formats::article_attention, Estimator::lsq);
  const QatForward y = qat_forward(layer);
  EXPECT_TRUE(y.y[0].is_zero());
  EXPECT_TRUE(y.y[1].is_nan());
  const QatGradients g = qat_backward(layer, c.dy);
  EXPECT_EQ(g.dw[0].sum.number, 2) << "zero is inside";
  EXPECT_TRUE(g.dw[1].sum.is_zero());
  EXPECT_EQ(g.dscale[0].sum.number, Rational(-12));
  EXPECT_TRUE(g.dw[2].sum.is_zero()) << "a comparison with NaN is false";
  EXPECT_TRUE(g.dw[3].sum.is_zero());
  EXPECT_TRUE(g.dscale[1].sum.is_nan());
  EXPECT_TRUE(g.dx[0].is_nan());
  const QatGradients identity =
      qat_backward(c.layer(formats::article_attention, Estimator::identity), c.dy);
  EXPECT_EQ(identity.dw[3].sum.number, 3);
}

TEST(GoldenQat, FakeQuantizedInputsEnterForwardAndWeightGradient) {
  Case c{1, 1, 2, 16, {448.0F, 17.0F}, {1.0F, 1.0F}, {}, {1.0F}, {1.0F}};
  QatLayer layer = c.layer(formats::article_attention, Estimator::identity);
  layer.input_format = &formats::fp8_deepseek_v3;  // scale 1; 17 is a tie between 16 and 18
  EXPECT_EQ(qat_forward(layer).y[0].number, Exact(448 + 16));
  const QatGradients g = qat_backward(layer, c.dy);
  EXPECT_EQ(g.dw[1].sum.number, 16);
  EXPECT_EQ(g.dx[1].number, Exact(1));
}

TEST(GoldenQat, RootIsRoundedCorrectly) {
  const Policy policy = policy_of(formats::ieee, formats::fp32);
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    Radical x;
    const Integer a = Integer(random() % 1000003) - 500000;
    const Integer b = 1 + Integer(random() % 9973);
    x.sum = RationalValue::finite(Rational(a, b));
    x.radicand = 6 * (1 + static_cast<std::int64_t>(random() % 40));
    const std::uint32_t code = encode(formats::fp32, x, RoundingMode::nearest_even, policy);
    // Nearest: the square of x lies between the squares of the midpoints around the code.
    const Rational magnitude =
        boost::multiprecision::abs(decode(formats::fp32, code).number.rational());
    const Rational square = x.sum.number * x.sum.number / x.radicand;
    if (square == 0) continue;
    const std::uint32_t bits = code & 0x7FFFFFFF;
    const Rational below = (magnitude + decode(formats::fp32, bits - 1).number.rational()) / 2;
    const Rational above = (magnitude + decode(formats::fp32, bits + 1).number.rational()) / 2;
    EXPECT_LE(below * below, square);
    EXPECT_GE(above * above, square);
  }
  // 3 / sqrt(36) = 1/2, a rational root.
  Radical half;
  half.sum = to_rational(value_of(-3.0F));
  half.radicand = 36;
  EXPECT_EQ(encode(formats::fp32, half, RoundingMode::nearest_even, policy), 0xBF000000U);
  const auto [lower, upper] = magnitude_enclosure(half, 10);
  EXPECT_TRUE(lower == upper);
}

TEST(GoldenQat, RejectsWrongShapes) {
  const Case c = learned_case(1, 16);
  QatLayer layer = c.layer(formats::article_attention, Estimator::lsq);
  EXPECT_THROW((void)qat_backward(layer, std::span(c.dy).first(3)), std::invalid_argument);
  layer.x = layer.x.first(2);
  EXPECT_THROW((void)qat_forward(layer), std::invalid_argument);
  layer.x = c.x;
  layer.rounding = RoundingMode::stochastic;
  EXPECT_THROW((void)qat_forward(layer), std::invalid_argument);
}

TEST(GoldenQat, RejectsEveryEmptyOrIncompleteLayer) {
  const Case c = learned_case(1, 16);
  const QatLayer good = c.layer(formats::article_attention, Estimator::lsq);
  EXPECT_NO_THROW((void)qat_forward(good));
  QatLayer no_rows = good;
  no_rows.m = 0;
  no_rows.x = {};
  QatLayer no_outputs = good;
  no_outputs.n = 0;
  no_outputs.w = no_outputs.bias = no_outputs.scales = {};
  QatLayer no_inputs = good;
  no_inputs.k = 0;
  no_inputs.x = no_inputs.w = no_inputs.scales = {};
  QatLayer no_format = good;
  no_format.weight_format = nullptr;
  QatLayer less_w = good;
  less_w.w = good.w.first(good.w.size() - 1);
  QatLayer less_scales = good;
  less_scales.scales = good.scales.first(good.scales.size() - 1);
  const float one = 1;
  QatLayer other_bias = good;
  other_bias.bias = std::span(&one, 1);
  if (good.n == 1) other_bias.bias = good.x;
  for (const QatLayer& wrong :
       {no_rows, no_outputs, no_inputs, no_format, less_w, less_scales, other_bias}) {
    EXPECT_THROW((void)qat_forward(wrong), std::invalid_argument);
    EXPECT_THROW((void)qat_backward(wrong, c.dy), std::invalid_argument);
  }
}

}  // namespace
}  // namespace assay::golden
