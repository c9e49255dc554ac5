// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the GPU's QAT kernels, which is host code too: against the CPU kernels bit by
// bit (which certification holds against golden), and the master update against golden.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "formats/philox.h"
#include "golden/master.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/cuda/master_update.cuh"
#include "kernels/cuda/qat_elements.cuh"
#include "kernels/cuda/quantize_orders.cuh"

namespace assay::kernels::cuda {
namespace {

struct Step {
  const formats::BlockFormat* format;
  std::int64_t n, k;
  std::vector<float> x, w, dy, scales;
};

Step draw_step(const formats::BlockFormat& format, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  constexpr std::int64_t widths[] = {64, 37, 16, 100};
  Step s{&format, 3, widths[seed % 4], {}, {}, {}, {}};
  const auto fill = [&](std::vector<float>& v, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) v.push_back(normal(random));
  };
  fill(s.x, s.k);
  fill(s.w, s.n * s.k);
  fill(s.dy, s.n);
  if (format.rule == formats::ScaleRule::given) {
    const std::int64_t block = format.block.cols;
    fill(s.scales, s.n * ((s.k + block - 1) / block));
    for (float& v : s.scales) v *= 0.3F;
    s.scales[1 % s.scales.size()] = 0.0F;
  }
  for (int i = 0; i < 4; ++i) s.w[random() % s.w.size()] *= 8.0F;
  if (seed % 3 == 0) s.w[random() % s.w.size()] = NAN;
  if (seed % 3 == 1)  // weights on codes, midpoints and the clip level of their blocks
    for (float& v : s.w) v = std::round(v * 8) / 4 * 0.25F;
  return s;
}

/// What estimate_kernel computes, lane by lane. G is one product here (m = 1).
template <class Order, Estimator estimator>
void expect_backward(const Step& s, float parameter) {
  const auto device = make_cpu_device();
  Claim claim{.operation = "qat_backward", .b = s.format};
  const std::int64_t blocks = (s.k + Order::block - 1) / Order::block;
  std::vector<float> dx(s.x.size());
  std::vector<float> dw(s.w.size());
  std::vector<float> dscale(static_cast<std::size_t>(s.n * blocks));
  std::vector<float> dbias(s.dy.size());
  QatCall call;
  call.m = 1;
  call.n = s.n;
  call.k = s.k;
  call.x = s.x;
  call.w = s.w;
  call.scales = s.scales;
  call.estimator = estimator;
  call.parameter = parameter;
  call.dy = s.dy;
  call.dx = dx;
  call.dw = dw;
  call.dscale = dscale;
  call.dbias = dbias;
  ASSERT_EQ(device->qat_backward(claim, call), Status::ok);
  float amax = 0.0F;
  for (const float v : s.w)
    if (std::isfinite(v)) amax = std::max(amax, std::fabs(v));
  constexpr bool learned = std::is_same_v<Order, Learned<Order::block>>;
  for (std::int64_t r = 0; r < s.n; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = r * s.k + b * Order::block;
      const auto count =
          static_cast<int>(std::min<std::int64_t>(Order::block, s.k - b * Order::block));
      float block_amax = 0.0F;
      bool finite = true;
      for (int i = 0; i < count; ++i) {
        finite = finite && std::isfinite(s.w[first + i]);
        block_amax = std::max(block_amax, std::fabs(s.w[first + i]));
      }
      float scale = 0.0F;
      float tensor_scale = 1.0F;
      if constexpr (learned) {
        scale = s.scales[r * blocks + b];
      } else {
        const Order order(amax);
        tensor_scale = Order::has_tensor_scale ? order.decode : 1.0F;
        scale = Order::decode_scale(order.factors(block_amax).code);
      }
      if (!finite) scale = NAN;
      const EstimatorBlock block(double{scale} * tensor_scale);
      const BlockFactors factors = Order::factors_of(scale, tensor_scale);
      double fours[Order::block / 4] = {};
      for (int i = 0; i < count; ++i) {
        const float w = s.w[first + i];
        const float g = s.dy[r] * s.x[b * Order::block + i];
        const float q = Order::rounded(w, factors);
        EXPECT_EQ(bits_of(weight_gradient<estimator>(block, w, q, g, parameter)),
                  bits_of(dw[first + i]))
            << s.format->name << " " << static_cast<int>(estimator) << " w " << w << " scale "
            << scale;
        if constexpr (estimator == Estimator::lsq || estimator == Estimator::pact)
          fours[i / 4] += scale_term<estimator>(block, w, q, g);
      }
      if constexpr (estimator == Estimator::lsq || estimator == Estimator::pact) {
        for (int step = 1; step < Order::block / 4; step *= 2)
          for (int i = 0; i + step < Order::block / 4; i += 2 * step) fours[i] += fours[i + step];
        const float ours = scale_gradient<estimator>(block, fours[0], count, tensor_scale);
        const float theirs = dscale[r * blocks + b];
        EXPECT_TRUE(bits_of(ours) == bits_of(theirs) || (std::isnan(ours) && std::isnan(theirs)))
            << s.format->name << " " << ours << " " << theirs;
      }
    }
}

template <class Order>
void expect_all(const formats::BlockFormat& format) {
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const Step step = draw_step(format, seed);
    expect_backward<Order, Estimator::identity>(step, 0);
    expect_backward<Order, Estimator::clip_mask>(step, 0);
    expect_backward<Order, Estimator::lsq>(step, 0);
    expect_backward<Order, Estimator::pact>(step, 0);
    expect_backward<Order, Estimator::ewgs>(step, 0.3F);
    expect_backward<Order, Estimator::dge>(step, 0);
    expect_backward<Order, Estimator::trust_mask>(step, 0.5F);
  }
}

TEST(QatElements, Nvfp4IsTheCpuKernel) { expect_all<NvFp4Te>(formats::nvfp4); }
TEST(QatElements, DividedNvfp4IsTheCpuKernel) { expect_all<NvFp4Divide>(formats::nvfp4_divide); }
TEST(QatElements, Mxfp4IsTheCpuKernel) { expect_all<MxFp4Rceil>(formats::mxfp4_rceil); }
TEST(QatElements, LearnedIsTheCpuKernel) {
  expect_all<Learned<32>>(formats::article);
  expect_all<Learned<16>>(formats::article_attention);
}

TEST(DgeSlope, PowerIsWithinItsBound) {
  double worst = 0;
  double first = 0;
  for (std::uint32_t bits = 0x3D000000U; bits <= 0x3F800000U; bits += 11) {
    const float z = float_of(bits);
    worst =
        std::max(worst, std::fabs(double{minus_four_fifths(z)} / std::pow(double{z}, -0.8) - 1));
    first = std::max(
        first,
        std::fabs(double{float_of(0x4C2BA59BU - bits / 5U)} / std::pow(double{z}, -0.2) - 1));
  }
  EXPECT_LT(worst, 12 * 0x1p-24);
  EXPECT_LT(first, 0.032);
}

TEST(DgeSlope, IsOneFifthAtEdgesAndCappedAtMidpoints) {
  for (const float edge : {0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F}) {
    EXPECT_EQ(dge_slope(edge), 0.2F) << edge;
    EXPECT_EQ(dge_slope(-edge), 0.2F) << edge;
  }
  for (const float middle : {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F})
    EXPECT_EQ(dge_slope(middle), 3.0F) << middle;
}

void expect_masters(const golden::MasterUpdate& update, const std::vector<std::uint32_t>& masters,
                    const std::vector<float>& gradients) {
  const golden::MasterStep exact = golden::update_masters(masters, gradients, update);
  for (std::size_t i = 0; i < masters.size(); ++i) {
    const std::uint32_t word =
        update.random_bits == 0 ? 0 : formats::philox_bits(update.seed, i, update.random_bits);
    ASSERT_EQ(
        updated_master(static_cast<std::uint16_t>(masters[i]), gradients[i], update.learning_rate,
                       1.0 / double{update.loss_scale}, update.random_bits, word),
        exact.codes[i])
        << std::hex << masters[i] << " " << std::bit_cast<std::uint32_t>(gradients[i]) << " bits "
        << update.random_bits;
  }
}

TEST(MasterUpdate, IsGolden) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 80; ++round) {
    golden::MasterUpdate update;
    update.format = &formats::bf16;
    update.loss_scale = std::ldexp(1.0F, static_cast<int>(random() % 17));
    update.learning_rate = 1e-3F * static_cast<float>(1 + random() % 100);
    update.seed = random();
    update.random_bits = round % 17;
    if (update.random_bits > 0) update.rounding = formats::RoundingMode::stochastic;
    std::vector<std::uint32_t> masters;
    std::vector<float> gradients;
    for (int i = 0; i < 400; ++i) {
      const auto word = static_cast<std::uint32_t>(random());
      masters.push_back(i % 4 == 0 ? word & 0xFFFFU : 0x3C00U + (word & 0x83FFU));
      const auto g = static_cast<float>(static_cast<std::int32_t>(random()));
      gradients.push_back(std::ldexp(g, -31 + static_cast<int>(random() % 40) - 20));
      if (i % 7 == 0) gradients.back() = 0.0F;
      // Updates of one half step: the rate is a power of two now and then.
      if (i % 11 == 0) gradients.back() = std::ldexp(1.0F, static_cast<int>(random() % 60) - 40);
    }
    if (round % 3 == 0) update.learning_rate = 0x1p-8F;
    masters[0] = 0x7F7FU;  // next to overflow
    gradients[0] = -3.3e38F;
    masters[1] = 0xFF80U;
    masters[2] = 0x7FC0U;
    masters[3] = 0x8000U;
    gradients[3] = 0.0F;
    masters[4] = 0x0001U;  // subnormal
    gradients[4] = 0x1p-140F;
    expect_masters(update, masters, gradients);
  }
}

}  // namespace
}  // namespace assay::kernels::cuda
