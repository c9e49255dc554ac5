// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/quantize_themes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace assay::proptests::themes {
namespace {

/// A block whose scale is (nearly) `scale`: elements around the midpoints, and the amax that gives
/// the scale: 6 units for NVFP4 and the round-up rules, others for the power-of-two rules.
void fill_ties(Draw& draw, std::span<float> block, float scale, int steps) {
  for (float& x : block) x = draw.near(draw.midpoint() * scale, steps) * draw.sign();
  block[draw.below(block.size())] =
      draw.of({6.0F, 6.0F, 4.0F, 5.0F, 5.75F, 7.5F}) * scale * draw.sign();
}

bool two_level(const Case& c) { return c.claim.a->tensor_scale == formats::TensorScale::fp32; }

/// A scale that a block may store, in units of the tensor scale: few significant bits, or a power
/// of two.
float block_scale(Draw& draw, const Case& c) {
  if (!two_level(c)) return power_of_two(static_cast<int>(draw.between(-30, 30)));
  const auto significand = static_cast<float>(draw.between(8, 15));
  return significand * power_of_two(static_cast<int>(draw.between(-8, 4)));
}

template <class Fill>
void for_each_block(Case& c, const Fill& fill) {
  const std::int64_t width = c.claim.a->block.cols;
  for (std::int64_t r = 0; r < c.rows; ++r)
    for (std::int64_t first = 0; first < c.cols; first += width)
      fill(std::span<float>(&c.x[r * c.cols + first], std::min(width, c.cols - first)));
}

/// One element that fixes the tensor scale of two-level formats at exactly, or nearly, g: the
/// largest number over g, 6 * 448 and of Four Over Six 6 * 256.
void pin_tensor_amax(Draw& draw, Case& c, float g) {
  const float largest = c.claim.a->candidates == nullptr ? 2688.0F : 1536.0F;
  if (two_level(c)) c.x[draw.below(c.x.size())] = largest * g * draw.sign();
}

/// Any FP32 number that is neither NaN nor infinite.
void anything(Draw& draw, Case& c) {
  for (float& x : c.x) x = draw.any_finite();
}

}  // namespace

void ties(Draw& draw, Case& c) {
  const float g = two_level(c) ? power_of_two(static_cast<int>(draw.between(-20, 20))) : 1.0F;
  for_each_block(c, [&](std::span<float> b) { fill_ties(draw, b, block_scale(draw, c) * g, 0); });
  pin_tensor_amax(draw, c, g);
}

void near_ties(Draw& draw, Case& c) {
  const float g = two_level(c) ? std::fabs(draw.in_binades(-20, 20)) : 1.0F;
  for_each_block(c, [&](std::span<float> b) { fill_ties(draw, b, block_scale(draw, c) * g, 3); });
  pin_tensor_amax(draw, c, g);
}

void scale_thresholds(Draw& draw, Case& c) {
  const float g = two_level(c) && draw.one_in(2) ? std::fabs(draw.in_binades(-10, 10)) : 1.0F;
  for_each_block(c, [&](std::span<float> block) {
    float amax = 0;
    if (two_level(c)) {  // a midpoint between UE4M3 codes has 5 significant bits, the last one set
      const auto odd = static_cast<float>(2 * draw.between(8, 15) + 1);
      amax = odd * power_of_two(static_cast<int>(draw.between(-13, 3))) * 6.0F * g;
    } else {  // 2^k and 1.5 * 2^k are where the power-of-two rules step
      const float significand = draw.of({1.0F, 1.5F, 1.75F});
      amax = significand * power_of_two(static_cast<int>(draw.between(-40, 40)));
    }
    for (float& x : block) x = draw.in_binades(-3, 1) * (amax / 16.0F);
    block[draw.below(block.size())] = draw.near(amax, 2) * draw.sign();
  });
  pin_tensor_amax(draw, c, g);
}

void zero_blocks(Draw& draw, Case& c) {
  const bool everywhere = draw.one_in(4);
  for_each_block(c, [&](std::span<float> block) {
    const bool zero = everywhere || draw.one_in(2);
    for (float& x : block) x = zero ? 0.0F * draw.sign() : draw.in_binades(-4, 2);
  });
}

void tiny_blocks(Draw& draw, Case& c) {
  const int top = draw.of({0, -100, -126, -135});
  for_each_block(c, [&](std::span<float> block) {
    const int high = std::max(-149, top - static_cast<int>(draw.between(0, 24)));
    const int low = std::max(-149, high - 3);
    for (float& x : block) x = draw.near(draw.in_binades(low, high), 2);
  });
  if (draw.one_in(2)) c.x[draw.below(c.x.size())] = power_of_two(top);
}

void saturation(Draw& draw, Case& c) {
  const int top = draw.of({127, 126, 100, 3});
  for_each_block(c, [&](std::span<float> block) {
    for (float& x : block) x = draw.in_binades(top - 4, top);
    const float largest =
        draw.one_in(2) ? std::numeric_limits<float>::max() : draw.near(power_of_two(top), 3);
    block[draw.below(block.size())] = largest * draw.sign();
  });
}

void signs(Draw& draw, Case& c) {
  for (float& x : c.x) x = draw.one_in(4) ? 0.0F * draw.sign() : draw.in_binades(-5, 0);
  for_each_block(c, [&](std::span<float> block) {
    block[draw.below(block.size())] = -std::fabs(draw.in_binades(1, 3));
  });
}

void not_finite(Draw& draw, Case& c) {
  mixture(draw, c);
  for (std::int64_t i = draw.between(1, 3); i > 0; --i)
    c.x[draw.below(c.x.size())] = draw.not_finite();
}

void narrow(Draw& draw, Case& c) {
  for (float& x : c.x) {
    const float magnitude = power_of_two(static_cast<int>(draw.between(-3, 2)));
    x = draw.sign() * magnitude * (1.0F + static_cast<float>(draw.below(128)) / 128.0F);
  }
}

void padded(Draw& draw, Case& c) {
  mixture(draw, c);
  c.spread = padded_rows(draw);
}
void far(Draw& draw, Case& c) {
  mixture(draw, c);
  c.spread = far_rows(draw);
}

void mixture(Draw& draw, Case& c) {
  using Theme = void (*)(Draw&, Case&);
  draw.of({Theme{ties}, Theme{near_ties}, Theme{scale_thresholds}, Theme{tiny_blocks},
           Theme{narrow}, Theme{anything}})(draw, c);
}

}  // namespace assay::proptests::themes
