// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/quantize_domains.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "formats/codec.h"
#include "golden/layout.h"

namespace assay::proptests::domains {
namespace {

using formats::BlockFormat;

constexpr std::array midpoints{0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};

bool two_level(const BlockFormat& format) {
  return format.tensor_scale == formats::TensorScale::fp32;
}
float draw_tensor_scale(Draw& draw, const BlockFormat& format) {
  return two_level(format) ? power_of_two(static_cast<int>(draw.between(-20, 20))) : 1.0F;
}
std::uint32_t code_at(const BlockFormat& format, std::int64_t index) {
  const CodeRange range = scale_codes(format);
  return range.first + static_cast<std::uint32_t>(index % (range.last - range.first + 1));
}
/// All of them, each once, small and large in turn: a few cases in a row tell an error of large
/// exponents from one of all.
std::uint32_t mixed_code_at(const BlockFormat& format, std::int64_t index) {
  const CodeRange range = scale_codes(format);
  const std::int64_t count = range.last - range.first + 1;
  std::int64_t step = count * 5 / 8;
  while (std::gcd(step, count) != 1) ++step;
  return code_at(format, index % count * step);
}
/// Codes of two-level formats need a block beside them that fixes the tensor scale.
std::int64_t row_blocks(const BlockFormat& format) { return two_level(format) ? 2 : 1; }

}  // namespace

CodeRange scale_codes(const BlockFormat& format) {
  if (format.scale == &formats::ue4m3) return {1, 126};
  return {format.order == &formats::orders::deepseek_v4 ? 1U : 0U, 252};
}

void every_tie(Draw& draw, themes::Case& c, std::int64_t index) {
  const BlockFormat& format = *c.claim.a;
  const std::int64_t block = format.block.cols;
  const float g = draw_tensor_scale(draw, format);
  const float scale = formats::decode(*format.scale, code_at(format, index)) * g;
  c.rows = 1;
  c.cols = block * row_blocks(format);
  c.x.assign(c.cols, 0.0F);
  const auto first = static_cast<std::int64_t>(draw.below(block));
  const auto place = [&](std::int64_t i) -> float& { return c.x[(first + i) % block]; };
  for (std::int64_t i = 0; i < block; ++i)
    place(i) = i < 14 ? midpoints[i / 2] * (i % 2 == 0 ? scale : -scale)
                      : draw.midpoint() * scale * draw.sign();
  place(14) = 6.0F * scale * draw.sign();
  if (two_level(format)) c.x[block + draw.below(block)] = 2688.0F * g * draw.sign();
}

void every_scale_threshold(Draw& draw, themes::Case& c, std::int64_t index) {
  const BlockFormat& format = *c.claim.a;
  const std::int64_t block = format.block.cols;
  const float g = draw_tensor_scale(draw, format);
  const std::uint32_t code = mixed_code_at(format, index);
  const float scale = formats::decode(*format.scale, code);
  std::vector<float> thresholds{4.0F * scale, 6.0F * scale};
  if (two_level(format)) {
    // Above the largest code there is nothing but saturation.
    const float next = code == 126 ? scale : formats::decode(*format.scale, code + 1);
    thresholds = {(scale + next) / 2.0F * 6.0F * g};
  }
  c.rows = static_cast<std::int64_t>(thresholds.size()) * 3;
  c.cols = block * row_blocks(format);
  c.x.assign(c.rows * c.cols, 0.0F);
  for (std::int64_t r = 0; r < c.rows; ++r) {
    const float threshold = thresholds[r / 3];
    const float amax = r % 3 == 0   ? std::nextafter(threshold, 0.0F)
                       : r % 3 == 1 ? threshold
                                    : std::nextafter(threshold, INFINITY);
    for (std::int64_t i = 0; i < block; ++i) c.x[r * c.cols + i] = draw.in_binades(-3, -1) * amax;
    c.x[r * c.cols + static_cast<std::int64_t>(draw.below(block))] = amax * draw.sign();
  }
  if (two_level(format)) c.x[block + draw.below(block)] = 2688.0F * g * draw.sign();
}

formats::BlockScaledTensor draw_stable(Draw& draw, const BlockFormat& format,
                                       std::uint32_t scale_code) {
  const std::int64_t block = format.block.cols;
  formats::BlockScaledTensor t =
      draw_tensor(draw, format, 1, block * row_blocks(format), formats::ScaleLayout::row_major,
                  Codes::any, Scales::one);
  t.tensor_scale = draw_tensor_scale(draw, format);
  const std::uint32_t largest = two_level(format) ? 7U : draw.of({6U, 7U});
  for (std::int64_t i = 0; i < block && largest == 6; ++i)
    if ((golden::load_code(t, 0, i) & 7U) == 7)
      golden::store_code(t, 0, i, golden::load_code(t, 0, i) - 1);
  golden::store_scale(t, 0, 0, scale_code);
  golden::store_code(t, 0, static_cast<std::int64_t>(draw.below(block)),
                     largest | (draw.one_in(2) ? 8U : 0U));
  if (two_level(format)) {
    golden::store_scale(t, 0, 1, 0x7E);
    golden::store_code(t, 0, block + static_cast<std::int64_t>(draw.below(block)), 7);
  }
  return t;
}

void idempotence(Draw& draw, themes::Case& c, std::int64_t index) {
  const BlockFormat& format = *c.claim.a;
  const formats::BlockScaledTensor t = draw_stable(draw, format, code_at(format, index));
  c.rows = t.rows;
  c.cols = t.cols;
  c.x.resize(c.cols);
  for (std::int64_t i = 0; i < c.cols; ++i)
    c.x[i] = formats::decode(*format.element, golden::load_code(t, 0, i)) *
             (formats::decode(*format.scale, golden::load_scale(t, 0, i / format.block.cols)) *
              t.tensor_scale);
}

std::int64_t many_rows(Draw& draw, std::int64_t index) {
  return index % 1024 == 0 ? 65535 + draw.between(1, 64) : draw.between(2, 20);
}

void many_rows(Draw& draw, themes::Case& c, std::int64_t index) {
  c.rows = many_rows(draw, index);
  c.cols = 1;
  c.x.resize(c.rows);
  themes::narrow(draw, c);
}

}  // namespace assay::proptests::domains
