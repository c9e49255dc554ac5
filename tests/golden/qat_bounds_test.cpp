// SPDX-License-Identifier: Apache-2.0
// The QAT bounds against a plain FP32 step, and against the same step with planted bugs.
#include "golden/qat_bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "formats/presets.h"

namespace assay::golden {
namespace {

using formats::fp32;

enum class Bug {
  none,
  mask_on_rounded,
  no_mask,
  gradient_scale_missing,
  dropped_row,
  sign_of_outside
};

struct Step {
  std::int64_t m = 7, n = 3, k = 72, block = 32;
  bool reciprocal = false;  // u by a product with 1/s
  std::vector<float> x, w, bias, scales, dy;
  std::vector<float> y, dx, dw, dscale, dbias;

  Step(std::uint32_t seed, float magnitude) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& v, std::int64_t size, float scale) {
      for (std::int64_t i = 0; i < size; ++i) v.push_back(scale * normal(rng));
    };
    fill(x, m * k, magnitude);
    fill(w, n * k, 1.0F);
    fill(bias, n, 1.0F);
    fill(dy, m * n, magnitude);
    for (std::int64_t i = 0; i < n * across(); ++i) {
      scales.push_back(0.2F + 0.05F * std::abs(normal(rng)));
    }
  }
  [[nodiscard]] std::int64_t across() const { return (k + block - 1) / block; }
  [[nodiscard]] QatLayer layer(Estimator estimator) const {
    QatLayer result;
    result.m = m;
    result.n = n;
    result.k = k;
    result.x = x;
    result.w = w;
    result.bias = bias;
    result.scales = scales;
    result.weight_format = &formats::article;
    result.estimator = estimator;
    return result;
  }

  // A kernel in plain FP32: codes from golden's forward, everything else its own.
  void run(const QatForward& forward, Bug bug) {
    std::vector<float> q(w.size());
    y.assign(m * n, 0);
    dx.assign(m * k, 0);
    dw.assign(n * k, 0);
    dscale.assign(n * across(), 0);
    dbias.assign(n, 0);
    std::vector<float> w_hat(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
      w_hat[i] = static_cast<float>(approximate(forward.w_hat[i].number));
      const std::size_t b = i / k * across() + i % k / block;
      q[i] = std::round(2 * w_hat[i] / scales[b]) / 2;
    }
    const std::int64_t rows = bug == Bug::dropped_row ? m - 1 : m;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        float acc = bias[j];
        for (std::int64_t p = 0; p < k; ++p) {
          acc = std::fma(x[i * k + p], w_hat[j * k + p], acc);
          dx[i * k + p] += dy[i * n + j] * w_hat[j * k + p];
        }
        y[i * n + j] = acc;
        dbias[j] += dy[i * n + j];
      }
    }
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t p = 0; p < k; ++p) {
        const std::int64_t at = j * k + p;
        const std::int64_t b = j * across() + p / block;
        float g = 0;
        for (std::int64_t i = 0; i < rows; ++i) g += dy[i * n + j] * x[i * k + p];
        const double clip = 6.0 * scales[b];
        bool inside = std::abs(static_cast<double>(w[at])) <= clip;
        const float outside = std::copysign(6.0F, bug == Bug::sign_of_outside ? 1.0F : w[at]);
        const float u = reciprocal ? w[at] * (1.0F / scales[b]) : w[at] / scales[b];
        dscale[b] += g * (inside ? q[at] - u : outside);
        if (bug == Bug::mask_on_rounded || bug == Bug::no_mask) inside = true;
        dw[at] = inside ? g : 0.0F;
      }
    }
    for (std::int64_t b = 0; b < n * across(); ++b) {
      const auto width = static_cast<float>(std::min(block, k - b % across() * block));
      if (bug != Bug::gradient_scale_missing) dscale[b] = dscale[b] / std::sqrt(6.0F * width);
    }
  }
};

template <class Exact>
int outside(const std::vector<float>& computed, const std::vector<Exact>& exact,
            const std::vector<Bound>& bounds) {
  int count = 0;
  for (std::size_t i = 0; i < computed.size(); ++i) {
    const auto code = std::bit_cast<std::uint32_t>(computed[i]);
    if constexpr (std::is_same_v<Exact, Value>) {
      count += judge(fp32, code, to_rational(exact[i]), bounds[i]) != Judgement::within ? 1 : 0;
    } else {
      count += judge(fp32, code, exact[i], bounds[i]) != Judgement::within ? 1 : 0;
    }
  }
  return count;
}

struct Count {
  int y, dx, dw, dscale, dbias;
};
Count count_outside(std::uint32_t seed, float magnitude, Bug bug, bool reciprocal = false) {
  Step step(seed, magnitude);
  step.reciprocal = reciprocal;
  const QatLayer layer = step.layer(Estimator::lsq);
  const QatForward forward = qat_forward(layer);
  const QatGradients exact = qat_backward(layer, step.dy);
  const QatBounds y = qat_forward_bounds(layer);
  const QatBounds bounds = qat_backward_bounds(layer, step.dy);
  step.run(forward, bug);
  return {outside(step.y, forward.y, y.y), outside(step.dx, exact.dx, bounds.dx),
          outside(step.dw, exact.dw, bounds.dw), outside(step.dscale, exact.dscale, bounds.dscale),
          outside(step.dbias, exact.dbias, bounds.dbias)};
}

TEST(GoldenQatBounds, APlainStepIsWithin) {
  for (std::uint32_t seed = 0; seed < 6; ++seed) {
    // 2^-70: products of x and dy round in the subnormal range.
    for (const float magnitude : {1.0F, 0x1p-70F, 0x1p40F}) {
      for (const bool reciprocal : {false, true}) {
        const Count c = count_outside(seed, magnitude, Bug::none, reciprocal);
        EXPECT_EQ(c.y + c.dx + c.dw + c.dscale + c.dbias, 0) << seed << ' ' << magnitude;
      }
    }
  }
}

TEST(GoldenQatBounds, PlantedBugsAreOutside) {
  EXPECT_GT(count_outside(1, 1.0F, Bug::mask_on_rounded).dw, 0);
  EXPECT_GT(count_outside(1, 1.0F, Bug::no_mask).dw, 0);
  EXPECT_EQ(count_outside(1, 1.0F, Bug::gradient_scale_missing).dscale, 9);
  EXPECT_EQ(count_outside(1, 1.0F, Bug::dropped_row).dscale, 9);
  EXPECT_GT(count_outside(1, 1.0F, Bug::dropped_row).dw, 150);
  EXPECT_GT(count_outside(1, 1.0F, Bug::sign_of_outside).dscale, 0);
}

TEST(GoldenQatBounds, MaskedElementsMustBeZeroToTheBit) {
  Step step(2, 1.0F);
  const QatLayer layer = step.layer(Estimator::clip_mask);
  const QatGradients exact = qat_backward(layer, step.dy);
  const QatBounds bounds = qat_backward_bounds(layer, step.dy);
  int masked = 0;
  for (std::size_t i = 0; i < exact.dw.size(); ++i) {
    if (exact.dw_passes[i]) continue;
    ++masked;
    EXPECT_EQ(judge(fp32, 1, exact.dw[i], bounds.dw[i]), Judgement::outside);
    EXPECT_EQ(judge(fp32, 0, exact.dw[i], bounds.dw[i]), Judgement::within);
  }
  EXPECT_GT(masked, 5);
  EXPECT_TRUE(bounds.dscale.empty());
}

// One row of the weight w0 and a zero, as FP32 bits, that share a scale; G = x0 and 1.
struct OneBlock {
  std::uint32_t w0, s;
  float x0;

  [[nodiscard]] Bound bound() const {
    Bound result;
    (void)judged(0, &result);
    return result;
  }
  [[nodiscard]] Judgement judged(std::uint32_t answer, Bound* used = nullptr) const {
    const std::vector<float> x{x0, 1.0F};
    const std::vector<float> w{std::bit_cast<float>(w0), 0.0F};
    const std::vector<float> scales{std::bit_cast<float>(s)};
    const std::vector<float> dy{1.0F};
    QatLayer layer;
    layer.m = layer.n = 1;
    layer.k = 2;
    layer.x = x;
    layer.w = w;
    layer.scales = scales;
    layer.weight_format = &formats::article_attention;
    layer.estimator = Estimator::lsq;
    const Bound bound = qat_backward_bounds(layer, dy).dscale[0];
    if (used != nullptr) *used = bound;
    return judge(fp32, answer, qat_backward(layer, dy).dscale[0], bound);
  }
};

constexpr std::uint32_t plus_inf = 0x7f800000;
constexpr std::uint32_t minus_inf = 0xff800000;
constexpr std::uint32_t quiet_nan = 0x7fc00000;
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr std::uint32_t tight_w = 0x40a9329e, tight_s = 0x406198d3;  // u is just below q = 1.5

TEST(GoldenQatBounds, AnInfinityThatMeetsAnUncertainSignIsNotJudgeable) {
  ASSERT_EQ(std::bit_cast<float>(tight_w) / std::bit_cast<float>(tight_s), 1.5F);
  for (const std::uint32_t answer : {plus_inf, minus_inf, quiet_nan}) {
    EXPECT_EQ((OneBlock{tight_w, tight_s, -inf}.judged(answer)), Judgement::not_judgeable);
  }
  // u = q exactly, but w times the rounded 1/3 need not be: exact NaN, and no answer.
  const auto three = std::bit_cast<std::uint32_t>(3.0F);
  EXPECT_EQ((OneBlock{three, three, inf}.judged(plus_inf)), Judgement::not_judgeable);
}

TEST(GoldenQatBounds, ACertainInfinityOrNanIsDemanded) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  struct Row {
    OneBlock block;
    std::uint32_t right;
  };
  const Row rows[] = {
      {{bits(1.25F), bits(1.0F), inf}, minus_inf},  // q = 1 (tie to even): q - u = -0.25
      {{bits(1.25F), bits(1.0F), -inf}, plus_inf},
      {{bits(1.3F), bits(0.7F), inf}, plus_inf},    // u = 1.857, q = 2
      {{bits(9.0F), bits(1.0F), -inf}, minus_inf},  // outside: +Q
      {{bits(-9.0F), bits(1.0F), -inf}, plus_inf},
      {{bits(1.5F), bits(1.0F), inf}, quiet_nan},  // s a power of two: u = q in any evaluation
      {{0, tight_s, inf}, quiet_nan},              // Inf times the 0 of w = 0
      {{tight_w, tight_s, nan_value}, quiet_nan},  // a NaN G
      {{quiet_nan, tight_s, 1.0F}, quiet_nan},     // a NaN block
  };
  for (const Row& row : rows) {
    for (const std::uint32_t answer : {plus_inf, minus_inf, quiet_nan, 0U}) {
      EXPECT_EQ(row.block.judged(answer),
                answer == row.right ? Judgement::within : Judgement::outside)
          << std::hex << row.block.w0 << ' ' << row.block.s << ' ' << answer;
    }
  }
}

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

// Where u is exact T knows only the roundings of q - u (here 0.25), of the sum and of the gradient
// scale: 7 of them for two weights, not those of |q| + |u|. Where u may be off by a few ulps of u,
// it is those that count, and nothing larger.
TEST(GoldenQatBounds, TheBoundGrowsWithTheDifferenceAndNotWithItsOperands) {
  const Rational root = magnitude_enclosure({RationalValue::finite(1), 12}, 64).second;
  const Rational tiny = Exact::power_of_two(-147).rational();
  const Bound exact_u = OneBlock{bits_of(4.25F), bits_of(1.0F), 1.0F}.bound();
  ASSERT_TRUE(exact_u.judgeable);
  EXPECT_TRUE(exact_u.error >= root * gamma(7) / 4);
  EXPECT_TRUE(exact_u.error <= root * gamma(7) / 4 + tiny);
  const Bound divided = OneBlock{tight_w, tight_s, 1.0F}.bound();  // q - u about 1e-8, u below 1.5
  ASSERT_TRUE(divided.judgeable);
  EXPECT_TRUE(divided.error <= root * 3 / 2 * gamma(3) + tiny);
}

TEST(GoldenQatBounds, AScaleWhoseReciprocalOverflowsIsNotJudgeable) {
  for (const float s : {0x1p-130F, 0x1.8p-126F, 0x1.8p126F}) {
    EXPECT_FALSE((OneBlock{bits_of(s * 1.25F), bits_of(s), 1.0F}.bound().judgeable)) << s;
  }
  // A power of two has an exact reciprocal; a zero weight needs only a finite one.
  for (const float s : {0x1p-127F, 0x1p-126F, 0x1p125F}) {
    EXPECT_TRUE((OneBlock{bits_of(s), bits_of(s), 1.0F}.bound().judgeable)) << s;
  }
  for (const float s : {0.0F, 0x1.8p-127F, 0x1.8p127F}) {
    const OneBlock zeros{0, bits_of(s), 1.0F};
    EXPECT_EQ(zeros.judged(0), Judgement::within) << s;
    EXPECT_EQ(zeros.judged(1), Judgement::outside) << s;
  }
}

TEST(GoldenQatBounds, AFiniteTermWithoutABoundSpoilsAnInfinity) {
  const float s = 0x1.8p-130F;
  EXPECT_EQ((OneBlock{bits_of(9.0F), bits_of(s), inf}.judged(plus_inf)), Judgement::not_judgeable)
      << "the zero weight beside it may be 0 * Inf";
}

}  // namespace
}  // namespace assay::golden
