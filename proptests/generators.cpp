// SPDX-License-Identifier: Apache-2.0
#include "proptests/generators.h"

#include <bit>
#include <cmath>
#include <limits>

#include "golden/layout.h"

namespace assay::proptests {

float power_of_two(int e) { return std::ldexp(1.0F, e); }

float Draw::any_finite() {
  const std::uint32_t bits = word();
  return std::bit_cast<float>((bits & 0x7F800000U) == 0x7F800000U ? bits & 0xBFFFFFFFU : bits);
}

float Draw::in_binades(int first, int last) {
  const auto exponent = static_cast<int>(between(first, last));
  const std::uint32_t fraction = word() & 0x7FFFFFU;
  // Few-bit significands are as likely as full ones: they make sums exact and ties exact.
  const std::uint32_t kept = of({0x7FFFFFU, 0x7F0000U, 0x600000U, 0U});
  return sign() * std::ldexp(std::bit_cast<float>(0x3F800000U | (fraction & kept)), exponent);
}

float Draw::near(float x, int steps) {
  const auto moved = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(std::fabs(x))) +
                     between(-steps, steps);
  if (moved < 0) return std::copysign(0.0F, x);
  constexpr std::int64_t largest = 0x7F7FFFFF;
  return std::copysign(
      std::bit_cast<float>(static_cast<std::uint32_t>(moved > largest ? largest : moved)), x);
}

float Draw::midpoint() { return of({0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F}); }

float Draw::not_finite() {
  constexpr std::array<std::uint32_t, 6> patterns{0x7F800000U, 0xFF800000U, 0x7FC00000U,
                                                  0xFFC00000U, 0x7F800001U, 0x7FFFFFFFU};
  return std::bit_cast<float>(of(patterns));
}

std::uint16_t Draw::bf16(int first_exponent, int last_exponent) {
  if (one_in(8)) return of<std::uint16_t>({0x0000, 0x8000, 0x3F80, 0xBF80, 0x3F81, 0x3FFF});
  return static_cast<std::uint16_t>(
      std::bit_cast<std::uint32_t>(in_binades(first_exponent, last_exponent)) >> 16U);
}

namespace {

std::uint32_t e8m0_code(Draw& draw, Scales scales, std::int64_t row, std::int64_t block) {
  switch (scales) {
    case Scales::one:
      return 127;
    case Scales::powers_of_two:
      return static_cast<std::uint32_t>(119 + (row * 5 + block * 3) % 17);
    case Scales::any_normal:
      return static_cast<std::uint32_t>(draw.between(107, 147));
    case Scales::extreme:
      break;
  }
  return draw.of<std::uint32_t>({0, 1, 2, 126, 127, 128, 134, 253, 254});
}

std::uint32_t ue4m3_code(Draw& draw, Scales scales, std::int64_t row, std::int64_t block) {
  switch (scales) {
    case Scales::one:
      return 0x38;
    case Scales::powers_of_two:
      return static_cast<std::uint32_t>((2 + (row * 5 + block * 3) % 13) << 3);
    case Scales::any_normal:
      return static_cast<std::uint32_t>(draw.between(0x08, 0x7E));
    case Scales::extreme:
      break;
  }
  return draw.of<std::uint32_t>({0x00, 0x01, 0x07, 0x08, 0x09, 0x37, 0x39, 0x7D, 0x7E});
}

std::uint32_t e2m1_code(Draw& draw, Codes codes, bool hot, bool last) {
  switch (codes) {
    case Codes::any:
      break;
    case Codes::positive:
      return static_cast<std::uint32_t>(draw.below(8));
    case Codes::one_hot:
      return hot ? 2U : 0U;
    case Codes::tail_only:
      return last ? static_cast<std::uint32_t>(draw.between(1, 7)) : 0U;
  }
  return static_cast<std::uint32_t>(draw.below(16));
}

/// Never a NaN. With scales of 1, magnitudes from 2^-3 to 15: such numbers are multiples of 2^-6,
/// and 2^24 2^-7 bounds any sum of at most 2^10 of their products with E2M1, which FP32 then holds.
std::uint32_t e4m3_code(Draw& draw, Codes codes, Scales scales, bool hot, bool last) {
  constexpr std::uint32_t one = 0x38;
  if (codes == Codes::one_hot) return hot ? one : 0U;
  if (codes == Codes::tail_only && !last) return 0;
  const std::uint32_t magnitude = scales == Scales::one
                                      ? static_cast<std::uint32_t>(draw.between(0x20, 0x57))
                                      : static_cast<std::uint32_t>(draw.between(1, 0x7E));
  const bool zero = codes != Codes::tail_only && draw.one_in(8);
  const bool negative = codes == Codes::any && draw.one_in(2);
  return (zero ? 0U : magnitude) | (negative ? 0x80U : 0U);
}

}  // namespace

formats::BlockScaledTensor draw_tensor(Draw& draw, const formats::BlockFormat& format,
                                       std::int64_t rows, std::int64_t cols,
                                       formats::ScaleLayout layout, Codes codes, Scales scales) {
  formats::BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.scale_layout = layout;
  if (rows == 0 || cols == 0) return t;
  t.codes.assign(golden::code_bytes(*format.element, rows, cols, t.layout), 0);
  t.scales.assign(golden::scale_bytes(format, rows, cols, layout), 0);
  const golden::BlockGrid grid = golden::block_grid(format, rows, cols);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b)
      golden::store_scale(t, r, b,
                          format.scale == &formats::e8m0 ? e8m0_code(draw, scales, r, b)
                                                         : ue4m3_code(draw, scales, r, b));
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t hot = draw.between(0, cols - 1);
    for (std::int64_t c = 0; c < cols; ++c)
      golden::store_code(t, r, c,
                         format.element == &formats::e4m3
                             ? e4m3_code(draw, codes, scales, c == hot, c == cols - 1)
                             : e2m1_code(draw, codes, c == hot, c == cols - 1));
  }
  if (format.tensor_scale == formats::TensorScale::fp32)
    t.tensor_scale = scales == Scales::one ? 1.0F
                     : scales == Scales::powers_of_two
                         ? power_of_two(static_cast<int>(draw.between(-6, 6)))
                         : std::fabs(draw.in_binades(-8, 4));
  return t;
}

}  // namespace assay::proptests
