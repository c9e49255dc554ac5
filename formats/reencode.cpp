// SPDX-License-Identifier: Apache-2.0
#include "formats/reencode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "formats/codec.h"
#include "formats/layout.h"
#include "formats/names.h"

namespace assay::formats {
namespace {

constexpr std::uint32_t nan_e8m0 = 0xFF;
constexpr std::uint32_t nan_ue4m3 = 0x7F;
constexpr std::uint32_t nan_e4m3 = 0x7F;
constexpr std::uint32_t magnitude_bits = 7;
constexpr int half = 16;                                        // elements of an NVFP4 block
constexpr std::array<int, 8> doubled{0, 1, 2, 3, 4, 6, 8, 12};  // E2M1 magnitudes by code

void require_mxfp4(const BlockScaledTensor& t, std::int64_t multiple) {
  if (t.format == nullptr || t.format->element != &e2m1 || t.format->scale != &e8m0 ||
      t.format->tensor_scale != TensorScale::none || t.format->block.rows != 1 ||
      t.format->block.cols < 1 || t.format->block.cols % multiple != 0) {
    throw std::invalid_argument(
        "Only MXFP4 re-encodes losslessly: E2M1 elements with one E8M0 scale factor per row "
        "block.");
  }
}

/// The code of 2^shift times a magnitude, over 3 where asked; -1 where there is none.
constexpr int shifted(std::uint32_t magnitude, int shift, bool thirds) {
  const int numerator = doubled[magnitude] << (shift + 4);
  const int denominator = thirds ? 48 : 16;
  if (numerator % denominator != 0) return -1;
  for (int code = 0; code < 8; ++code) {
    if (doubled[static_cast<std::size_t>(code)] == numerator / denominator) return code;
  }
  return -1;
}

/// The shifts, an interval, that keep every magnitude of a set on the grid.
struct Shifts {
  int first = 1;
  int last = 0;
  [[nodiscard]] constexpr bool any() const { return first <= last; }
};
constexpr Shifts shifts_of(unsigned mask, bool thirds) {
  Shifts result;
  for (int shift = -4; shift <= 4; ++shift) {
    bool fits = true;
    for (std::uint32_t m = 1; m < 8; ++m) {
      if ((mask >> m & 1U) != 0) fits = fits && shifted(m, shift, thirds) >= 0;
    }
    if (!fits) continue;
    if (!result.any()) result.first = shift;
    result.last = shift;
  }
  return result;
}
constexpr auto all_shifts = [] {
  std::array<std::array<Shifts, 2>, 256> table{};
  for (unsigned mask = 0; mask < 256; ++mask)
    table[mask] = {shifts_of(mask, false), shifts_of(mask, true)};
  return table;
}();

/// Magnitudes but zero that occur in columns [col, end).
unsigned magnitudes(const BlockScaledTensor& t, std::int64_t row, std::int64_t col,
                    std::int64_t end) {
  unsigned mask = 0;
  for (std::int64_t c = col; c < end; ++c) mask |= 1U << (element_code(t, row, c) & magnitude_bits);
  return mask & ~1U;
}

/// Calls f(row, first column, end, magnitudes, scale code) for every half-block.
template <class F>
void for_half_blocks(const BlockScaledTensor& t, F f) {
  for (std::int64_t row = 0; row < t.rows; ++row) {
    for (std::int64_t col = 0; col < t.cols; col += half) {
      const std::int64_t end = std::min(col + half, t.cols);
      f(row, col, end, magnitudes(t, row, col, end), scale_code(t, row, col));
    }
  }
}

/// How a half-block is written: its scale factor, and what becomes of its magnitudes.
struct Choice {
  float scale = 0;
  int shift = 0;
  bool thirds = false;
};

/// The largest scale factor s with s odd 2^-distance = 2^-shift (over 3), or the one that keeps
/// codes.
Choice choose(unsigned mask, int odd, int distance) {
  if (odd == 1 && distance >= -9 && distance <= 8) return {std::ldexp(1.0F, distance), 0, false};
  Choice best;
  for (const bool thirds : {false, true}) {
    if (odd == 3 && !thirds) continue;
    const float scale_odd = thirds && odd == 1 ? 3.0F : 1.0F;
    const Shifts shifts = all_shifts[mask][thirds ? 1 : 0];
    for (int shift = shifts.first; shift <= shifts.last; ++shift) {
      const int exponent = distance - shift;
      const float scale = std::ldexp(scale_odd, exponent);
      if (exponent < -9 || scale > 448.0F || scale <= best.scale) continue;
      best = {scale, shift, thirds};
    }
  }
  if (best.scale == 0) throw std::logic_error("this half-block was never observed");
  return best;
}

// The E4M3 code of c 2^shift for every E2M1 code c, -1 where there is none. E4M3 goes down to 2^-9:
// from least_shift on there is none but for zeros.
constexpr int least_shift = -18;
std::array<std::array<int, 16>, 6 - least_shift + 1> e4m3_codes() {
  std::array<std::array<int, 16>, 6 - least_shift + 1> table{};
  for (int shift = least_shift; shift <= 6; ++shift) {
    for (std::uint32_t c = 0; c < 16; ++c) {
      const float x = std::ldexp(decode(e2m1, c), shift);
      const std::uint32_t code =
          encode(e4m3, x, RoundingMode::nearest_even, profile_row(saturating, e4m3).policy);
      table[static_cast<std::size_t>(shift - least_shift)][c] =
          decode(e4m3, code) == x ? static_cast<int>(code) : -1;
    }
  }
  return table;
}

}  // namespace

void Nvfp4Reencoder::Window::meet(int from, int to) {
  first = std::max(first, from);
  last = std::min(last, to);
}

void Nvfp4Reencoder::observe(const BlockScaledTensor& part, std::int64_t row, std::int64_t col) {
  require_mxfp4(part, half);
  for_half_blocks(
      part, [&](std::int64_t r, std::int64_t c, std::int64_t, unsigned mask, std::uint32_t scale) {
        if (mask == 0 || scale == nan_e8m0 || lost_) return;
        constrained_ = true;
        const int e = static_cast<int>(scale) - 127;
        const auto& [plain, thirds] = all_shifts[mask];
        kept_.meet(e - 8, e + 9);
        ones_.meet(e - plain.last - 8, e - plain.first + 9);
        if (thirds.any())
          threes_.meet(e - thirds.last - 8, e - thirds.first + 9);
        else
          threes_.meet(1, 0);
        if (ones_.empty() && threes_.empty()) lost_ = LostElement{row + r, col + c};
      });
}

Nvfp4Reencoder::Factor Nvfp4Reencoder::factor() const {
  if (!constrained_) return {1, 0};
  constexpr int normal = -126;
  if (!kept_.empty()) return {1, std::max(kept_.first, normal)};
  if (!ones_.empty()) return {1, std::max(ones_.first, normal)};
  return {3, std::max(threes_.first, normal)};
}

float Nvfp4Reencoder::tensor_scale() const {
  const Factor g = factor();
  return std::ldexp(static_cast<float>(g.odd), g.exponent);
}

BlockScaledTensor Nvfp4Reencoder::reencode(const BlockScaledTensor& part,
                                           const BlockFormat& target) const {
  if (lost_) throw std::logic_error("a tensor that does not re-encode losslessly was asked for");
  const Factor g = factor();
  BlockScaledTensor out;
  out.format = &target;
  out.rows = part.rows;
  out.cols = part.cols;
  out.scale_layout = part.scale_layout;
  out.tensor_scale = tensor_scale();
  const std::int64_t across = ceil_div(part.cols, half);
  const std::int64_t stride = code_stride(part.rows, part.cols, 4, Layout::row_major);
  out.codes.resize(static_cast<std::size_t>(stride * part.rows));
  out.scales.resize(static_cast<std::size_t>(scale_slots(part.rows, across, out.scale_layout)));
  for_half_blocks(part, [&](std::int64_t row, std::int64_t col, std::int64_t end, unsigned mask,
                            std::uint32_t scale) {
    std::uint8_t& to = out.scales[static_cast<std::size_t>(
        scale_index(row, col / half, part.rows, across, out.scale_layout))];
    if (scale == nan_e8m0) {
      to = nan_ue4m3;
      return;
    }
    Choice choice;
    if (mask != 0) choice = choose(mask, g.odd, static_cast<int>(scale) - 127 - g.exponent);
    to = static_cast<std::uint8_t>(encode(ue4m3, choice.scale, RoundingMode::nearest_even,
                                          profile_row(saturating, ue4m3).policy));
    for (std::int64_t c = col; c < end; ++c) {
      const std::uint32_t code = element_code(part, row, c);
      const int magnitude = shifted(code & magnitude_bits, choice.shift, choice.thirds);
      store_code(&out.codes[static_cast<std::size_t>(row * stride)], c, 4,
                 (code & ~magnitude_bits) | static_cast<std::uint32_t>(std::max(magnitude, 0)));
    }
  });
  return out;
}

E4m3Reencoded reencode_e4m3(const BlockScaledTensor& part, const BlockFormat& target) {
  require_mxfp4(part, 1);
  static const std::array codes = e4m3_codes();
  const BlockGrid grid = block_grid(target.block, part.rows, part.cols);
  const auto block = static_cast<std::size_t>(grid.count());
  // Per target block: the largest scale code with a nonzero element, and of all.
  std::vector<int> nonzero(block, -1), any(block, 0);
  for (std::int64_t r = 0; r < part.rows; ++r) {
    for (std::int64_t c = 0; c < part.cols; ++c) {
      const auto scale = static_cast<int>(scale_code(part, r, c));
      if (scale == static_cast<int>(nan_e8m0)) continue;
      const auto b = static_cast<std::size_t>(grid.block_of(r, c));
      any[b] = std::max(any[b], scale);
      if ((element_code(part, r, c) & magnitude_bits) != 0)
        nonzero[b] = std::max(nonzero[b], scale);
    }
  }
  E4m3Reencoded result;
  BlockScaledTensor& out = result.tensor;
  out.format = &target;
  out.rows = part.rows;
  out.cols = part.cols;
  out.codes.resize(static_cast<std::size_t>(part.rows * part.cols));
  for (std::size_t b = 0; b < block; ++b)
    out.scales.push_back(
        static_cast<std::uint8_t>(std::max(0, (nonzero[b] >= 0 ? nonzero[b] : any[b]) - 6)));
  for (std::int64_t r = 0; r < part.rows; ++r) {
    for (std::int64_t c = 0; c < part.cols; ++c) {
      const auto scale = scale_code(part, r, c);
      int code = nan_e4m3;
      if (scale != nan_e8m0) {
        // Only a zero is more than 6 above.
        const int shift =
            static_cast<int>(scale) - out.scales[static_cast<std::size_t>(grid.block_of(r, c))];
        code = codes[static_cast<std::size_t>(std::clamp(shift, least_shift, 6) - least_shift)]
                    [element_code(part, r, c)];
        if (code < 0) return {{}, LostElement{r, c}};
      }
      out.codes[static_cast<std::size_t>(r * part.cols + c)] = static_cast<std::uint8_t>(code);
    }
  }
  return result;
}

}  // namespace assay::formats
