// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/edits.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/codec.h"
#include "golden/layout.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::RoundingMode;

template <const formats::FormatSpec& format, RoundingMode mode>
float through(float x) {
  if (!std::isfinite(x)) return x;
  const golden::Policy policy =
      golden::policy_of(&format == &formats::e4m3 ? formats::saturating : formats::ieee, format);
  const golden::Value v =
      golden::decode(format, golden::encode(format, golden::value_of(x), mode, policy));
  if (v.is_nan()) return NAN;
  if (v.is_infinite()) return v.negative ? -INFINITY : INFINITY;
  return std::copysign(static_cast<float>(golden::approximate(v.number)), x);
}
/// TF32: 10 fraction bits of FP32.
float through_tf32(float x) {
  if (!std::isfinite(x)) return x;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x0FFFU + (bits >> 13U & 1U)) & ~0x1FFFU);
}

/// A magnitude below 10^exponent becomes that, with no sign.
template <int exponent>
float at_least(float x) {
  constexpr float least = exponent == -5    ? 1e-5F
                          : exponent == -6  ? 1e-6F
                          : exponent == -8  ? 1e-8F
                          : exponent == -10 ? 1e-10F
                                            : 1e-12F;
  return std::fabs(x) < least ? least : x;
}

constexpr ValueEdit values[] = {
    {"omitted", "{} is left out", [](float) { return 0.0F; }},
    {"omitted", "{} is left out, as if it were 1", [](float) { return 1.0F; }, true},
    {"twice", "{} counts twice", [](float x) { return 2.0F * x; }},
    {"twice", "{} multiplies twice", [](float x) { return x * x; }, true},
    {"inverted", "{} is inverted", [](float x) { return 1.0F / x; }, true},
    {"root", "the square root of {} is taken", [](float x) { return std::sqrt(x); }, true},
    {"sign_inverted", "the sign of {} is inverted", [](float x) { return -x; }},
    {"sign_lost", "the sign of {} is lost", [](float x) { return std::fabs(x); }},
    {"negative_lost", "negative numbers in {} count as 0",
     [](float x) { return x < 0.0F ? 0.0F : x; }},
    {"narrowed", "{} is rounded to bf16", through<formats::bf16, RoundingMode::nearest_even>},
    {"narrowed", "{} is truncated to bf16", through<formats::bf16, RoundingMode::toward_zero>},
    {"narrowed", "{} is rounded to fp16", through<formats::fp16, RoundingMode::nearest_even>},
    {"narrowed", "{} is truncated to fp16", through<formats::fp16, RoundingMode::toward_zero>},
    {"narrowed", "{} is rounded to TF32", through_tf32},
    {"narrowed", "{} is rounded to E4M3", through<formats::e4m3, RoundingMode::nearest_even>},
    {"made_integer", "{} is rounded to a whole number", [](float x) { return std::nearbyint(x); }},
    {"made_integer", "{} is truncated to a whole number", [](float x) { return std::trunc(x); }},
    {"made_power_of_two", "{} is truncated to a power of two",
     [](float x) {
       return std::isfinite(x) && x != 0
                  ? std::copysign(std::exp2(std::floor(std::log2(std::fabs(x)))), x)
                  : x;
     }},
    {"subnormals_flushed", "subnormal numbers in {} count as 0",
     [](float x) { return std::fabs(x) < 0x1p-126F ? std::copysign(0.0F, x) : x; }},
    {"nan_lost", "NaN in {} counts as 0", [](float x) { return std::isnan(x) ? 0.0F : x; }},
    {"not_finite_lost", "NaN and infinities in {} count as 0",
     [](float x) { return std::isfinite(x) ? x : 0.0F; }},
    {"infinity_lost", "infinities in {} count as 0",
     [](float x) { return std::isinf(x) ? 0.0F : x; }},
    {"infinity_clamped", "infinities in {} become the largest number",
     [](float x) { return std::isinf(x) ? std::copysign(0x1.fffffep127F, x) : x; }},
    {"infinity_is_nan", "infinities in {} become NaN",
     [](float x) { return std::isinf(x) ? NAN : x; }},
    {"clamped_below", "{} is at least 1e-3", [](float x) { return std::max(x, 1e-3F); }},
    {"clamped_below", "{} is at least 1e-4", [](float x) { return std::max(x, 1e-4F); }},
    {"clamped_below", "{} is at least 1e-5", [](float x) { return std::max(x, 1e-5F); }},
    {"clamped_below", "{} is at least 1e-6", [](float x) { return std::max(x, 1e-6F); }},
    {"clamped_below", "{} is at least 1e-7", [](float x) { return std::max(x, 1e-7F); }},
    {"clamped_below", "{} is at least 1e-8", [](float x) { return std::max(x, 1e-8F); }},
    {"clamped_below", "{} is at least 1e-10", [](float x) { return std::max(x, 1e-10F); }},
    {"clamped_below", "{} is at least 1e-12", [](float x) { return std::max(x, 1e-12F); }},
    {"clamped_below", "{} is at least 2^-23 (FP32's epsilon)",
     [](float x) { return std::max(x, 0x1p-23F); }},
    {"clamped_below", "{} is at least 2^-126", [](float x) { return std::max(x, 0x1p-126F); }},
    {"epsilon_for_small", "magnitudes below 1e-5 in {} become 1e-5", at_least<-5>},
    {"epsilon_for_small", "magnitudes below 1e-6 in {} become 1e-6", at_least<-6>},
    {"epsilon_for_small", "magnitudes below 1e-8 in {} become 1e-8", at_least<-8>},
    {"epsilon_for_small", "magnitudes below 1e-10 in {} become 1e-10", at_least<-10>},
    {"epsilon_for_small", "magnitudes below 1e-12 in {} become 1e-12", at_least<-12>},
    {"zero_as_one", "0 in {} becomes 1", [](float x) { return x == 0 ? 1.0F : x; }},
    {"made_power_of_two", "{} is rounded up to a power of two",
     [](float x) {
       return std::isfinite(x) && x != 0
                  ? std::copysign(std::exp2(std::ceil(std::log2(std::fabs(x)))), x)
                  : x;
     }},
    {"narrowed", "{} is truncated to E4M3", through<formats::e4m3, RoundingMode::toward_zero>},
    {"narrowed", "{} is rounded to E5M2", through<formats::e5m2, RoundingMode::nearest_even>},
    {"clamped", "{} is limited to 448", [](float x) { return std::clamp(x, -448.0F, 448.0F); }},
    {"clamped", "{} is limited to 65504",
     [](float x) { return std::clamp(x, -65504.0F, 65504.0F); }},
    {"clamped", "{} is limited to 1", [](float x) { return std::clamp(x, -1.0F, 1.0F); }},
    {"halved", "half of {} counts", [](float x) { return 0.5F * x; }},
};

template <std::int64_t by>
void rows_back(std::int64_t& r, std::int64_t&, const Grid&) {
  if (r >= by) r -= by;
}
template <std::int64_t by>
void columns_back(std::int64_t&, std::int64_t& c, const Grid&) {
  if (c >= by) c -= by;
}

constexpr MapEdit maps[] = {
    {"of_previous_row", "{} is read from the row before", [](auto& r, auto&, const Grid&) { --r; }},
    {"of_previous_column", "{} is read one column too early",
     [](auto&, auto& c, const Grid&) { --c; }},
    {"of_next_row", "{} is read from the next row", [](auto& r, auto&, const Grid&) { ++r; }},
    {"of_next_column", "{} is read one column too far", [](auto&, auto& c, const Grid&) { ++c; }},
    {"of_first_row", "{} is read from the first row in all",
     [](auto& r, auto&, const Grid&) { r = 0; }},
    {"of_first_column", "{} is read from the first column in all",
     [](auto&, auto& c, const Grid&) { c = 0; }},
    {"of_last_row", "{} is read from the last row in all",
     [](auto& r, auto&, const Grid& g) { r = g.rows - 1; }},
    {"of_last_column", "{} is read from the last column in all",
     [](auto&, auto& c, const Grid& g) { c = g.cols - 1; }},
    {"row_pairs_swapped", "{} is exchanged between rows in pairs",
     [](auto& r, auto&, const Grid&) { r ^= 1; }},
    {"column_pairs_swapped", "{} is exchanged between columns in pairs",
     [](auto&, auto& c, const Grid&) { c ^= 1; }},
    {"shared_by_row_pairs", "two rows share {}", [](auto& r, auto&, const Grid&) { r &= ~1; }},
    {"shared_by_column_pairs", "two columns share {}",
     [](auto&, auto& c, const Grid&) { c &= ~1; }},
    {"rows_reversed", "{} is read from the last row to the first",
     [](auto& r, auto&, const Grid& g) { r = g.rows - 1 - r; }},
    {"columns_reversed", "{} is read from the last column to the first",
     [](auto&, auto& c, const Grid& g) { c = g.cols - 1 - c; }},
    {"transposed", "{} is read transposed",
     [](auto& r, auto& c, const Grid& g) {
       const std::int64_t at = c * g.rows + r;
       r = at / g.cols;
       c = at % g.cols;
     }},
    {"by_row", "{} is indexed by row", [](auto& r, auto& c, const Grid& g) { c = r % g.cols; }},
    {"rows_interleaved", "even rows of {} come first, odd ones then",
     [](auto& r, auto&, const Grid& g) {
       const std::int64_t half = (g.rows + 1) / 2;
       r = r < half ? 2 * r : 2 * (r - half) + 1;
     }},
    {"columns_interleaved", "even columns of {} come first, odd ones then",
     [](auto&, auto& c, const Grid& g) {
       const std::int64_t half = (g.cols + 1) / 2;
       c = c < half ? 2 * c : 2 * (c - half) + 1;
     }},
    {"halves_interleaved", "the halves of {} are read in turn, column by column",
     [](auto&, auto& c, const Grid& g) {
       const std::int64_t half = (g.cols + 1) / 2;
       c = c % 2 == 0 ? c / 2 : half + c / 2;
     }},
    {"column_stride", "columns of {} are counted twice as far apart",
     [](auto&, auto& c, const Grid& g) { c = 2 * c % g.cols; }},
    {"column_shared_by_two", "a column of {} serves two",
     [](auto&, auto& c, const Grid&) { c /= 2; }},
    {"row_shared_by_two", "a row of {} serves two", [](auto& r, auto&, const Grid&) { r /= 2; }},
    {"rows_modulo", "rows of {} repeat after 16", [](auto& r, auto&, const Grid&) { r %= 16; }},
    {"rows_modulo", "rows of {} repeat after 32", [](auto& r, auto&, const Grid&) { r %= 32; }},
    {"rows_modulo", "rows of {} repeat after 64", [](auto& r, auto&, const Grid&) { r %= 64; }},
    {"rows_modulo", "rows of {} repeat after 128", [](auto& r, auto&, const Grid&) { r %= 128; }},
    {"columns_modulo", "columns of {} repeat after 4", [](auto&, auto& c, const Grid&) { c %= 4; }},
    {"columns_modulo", "columns of {} repeat after 8", [](auto&, auto& c, const Grid&) { c %= 8; }},
    {"columns_modulo", "columns of {} repeat after 16",
     [](auto&, auto& c, const Grid&) { c %= 16; }},
    {"columns_modulo", "columns of {} repeat after 32",
     [](auto&, auto& c, const Grid&) { c %= 32; }},
    {"columns_modulo", "columns of {} repeat after 64",
     [](auto&, auto& c, const Grid&) { c %= 64; }},
    {"of_tile_before", "{} is that of 16 rows before", rows_back<16>},
    {"of_tile_before", "{} is that of 32 rows before", rows_back<32>},
    {"of_tile_before", "{} is that of 64 rows before", rows_back<64>},
    {"of_tile_before", "{} is that of 128 rows before", rows_back<128>},
    {"of_tile_before", "{} is that of 16 columns before", columns_back<16>},
    {"of_tile_before", "{} is that of 32 columns before", columns_back<32>},
    {"of_tile_before", "{} is that of 64 columns before", columns_back<64>},
    {"of_tile_before", "{} is that of 128 columns before", columns_back<128>},
    {"fours_exchanged", "rows and columns of {} are exchanged within 4 x 4",
     [](auto& r, auto& c, const Grid&) {
       const std::int64_t row = r / 4 * 4 + c % 4;
       c = c / 4 * 4 + r % 4;
       r = row;
     }},
    {"row_stride_padded", "rows of {} are taken to be an even number of columns apart",
     [](auto& r, auto& c, const Grid& g) {
       const std::int64_t at = r * ((g.cols + 1) / 2 * 2) + c;
       r = at / g.cols;
       c = at % g.cols;
     }},
    {"row_stride_padded", "rows of {} are taken to be a multiple of 4 columns apart",
     [](auto& r, auto& c, const Grid& g) {
       const std::int64_t at = r * ((g.cols + 3) / 4 * 4) + c;
       r = at / g.cols;
       c = at % g.cols;
     }},
    {"row_stride_rounded_down",
     "rows of {} are taken to be a multiple of 2 columns apart, rounded down",
     [](auto& r, auto& c, const Grid& g) {
       const std::int64_t at = r * (g.cols / 2 * 2) + c;
       r = at / g.cols;
       c = at % g.cols;
     }},
    {"row_stride_of_rows", "rows of {} are taken to be as far apart as there are rows",
     [](auto& r, auto& c, const Grid& g) {
       const std::int64_t at = r * g.rows + c;
       r = at / g.cols;
       c = at % g.cols;
     }},
    {"row_stride_ignored", "rows of {} are taken to follow each other",
     [](auto& r, auto& c, const Grid& g) {
       const std::int64_t at = r * g.cols + c;
       r = at / (g.cols + g.gap);
       c = at % (g.cols + g.gap);
     }},
};

constexpr Some places[] = {
    {"first", "the first", [](auto i, auto) { return i == 0; }},
    {"last", "the last", [](auto i, auto n) { return i == n - 1; }},
    {"odd", "every odd one", [](auto i, auto) { return i % 2 == 1; }},
    {"even", "every even one", [](auto i, auto) { return i % 2 == 0; }},
    {"first_half", "the first half", [](auto i, auto n) { return i < n / 2; }},
    {"second_half", "the second half", [](auto i, auto n) { return i >= (n + 1) / 2; }},
    {"fourth", "every fourth", [](auto i, auto) { return i % 4 == 3; }},
    {"eighth", "every eighth", [](auto i, auto) { return i % 8 == 7; }},
    {"behind_4", "those behind the last whole 4", [](auto i, auto n) { return i >= n / 4 * 4; }},
    {"behind_8", "those behind the last whole 8", [](auto i, auto n) { return i >= n / 8 * 8; }},
    {"behind_16", "those behind the last whole 16",
     [](auto i, auto n) { return i >= n / 16 * 16; }},
    {"behind_32", "those behind the last whole 32",
     [](auto i, auto n) { return i >= n / 32 * 32; }},
    {"behind_64", "those behind the last whole 64",
     [](auto i, auto n) { return i >= n / 64 * 64; }},
    {"behind_128", "those behind the last whole 128",
     [](auto i, auto n) { return i >= n / 128 * 128; }},
    {"tail_4", "those behind the last whole 4, where there is one",
     [](auto i, auto n) { return n > 4 && i >= n / 4 * 4; }},
    {"tail_8", "those behind the last whole 8, where there is one",
     [](auto i, auto n) { return n > 8 && i >= n / 8 * 8; }},
    {"tail_16", "those behind the last whole 16, where there is one",
     [](auto i, auto n) { return n > 16 && i >= n / 16 * 16; }},
    {"tail_32", "those behind the last whole 32, where there is one",
     [](auto i, auto n) { return n > 32 && i >= n / 32 * 32; }},
    {"last_of_odd", "the last of an odd number",
     [](auto i, auto n) { return i == n - 1 && n % 2 == 1; }},
    {"from_8", "those from 8 on", [](auto i, auto) { return i >= 8; }},
    {"from_16", "those from 16 on", [](auto i, auto) { return i >= 16; }},
    {"from_32", "those from 32 on", [](auto i, auto) { return i >= 32; }},
    {"from_64", "those from 64 on", [](auto i, auto) { return i >= 64; }},
    {"from_128", "those from 128 on", [](auto i, auto) { return i >= 128; }},
    {"from_256", "those from 256 on", [](auto i, auto) { return i >= 256; }},
    {"from_512", "those from 512 on", [](auto i, auto) { return i >= 512; }},
    {"first_16", "the first 16, where there are more",
     [](auto i, auto n) { return n > 16 && i < 16; }},
    {"first_32", "the first 32, where there are more",
     [](auto i, auto n) { return n > 32 && i < 32; }},
    {"first_64", "the first 64, where there are more",
     [](auto i, auto n) { return n > 64 && i < 64; }},
    {"last_16", "the last 16, where there are more",
     [](auto i, auto n) { return n > 16 && i >= (n - 1) / 16 * 16; }},
    {"last_32", "the last 32, where there are more",
     [](auto i, auto n) { return n > 32 && i >= (n - 1) / 32 * 32; }},
    {"first_4", "the first 4, where there are more", [](auto i, auto n) { return n > 4 && i < 4; }},
    {"all_but_first", "all but the first", [](auto i, auto) { return i > 0; }},
    {"all_but_last", "all but the last", [](auto i, auto n) { return i < n - 1; }},
};

}  // namespace

Grid grid_of(std::vector<float>& x, std::int64_t rows, std::int64_t cols) {
  return {rows, cols,
          [&x, cols](auto r, auto c) { return std::bit_cast<std::uint32_t>(x[r * cols + c]); },
          [&x, cols](auto r, auto c, auto bits) { x[r * cols + c] = std::bit_cast<float>(bits); }};
}
Grid grid_of(std::vector<std::uint16_t>& x, std::int64_t rows, std::int64_t cols) {
  return {
      rows, cols, [&x, cols](auto r, auto c) { return std::uint32_t{x[r * cols + c]}; },
      [&x, cols](auto r, auto c, auto bits) { x[r * cols + c] = static_cast<std::uint16_t>(bits); },
      16};
}
Grid grid_of(std::vector<std::uint32_t>& x, std::int64_t rows, std::int64_t cols) {
  return {rows, cols, [&x, cols](auto r, auto c) { return x[r * cols + c]; },
          [&x, cols](auto r, auto c, auto bits) { x[r * cols + c] = bits; }};
}
Grid codes_of(formats::BlockScaledTensor& t) {
  return {t.rows, t.cols, [&t](auto r, auto c) { return golden::load_code(t, r, c); },
          [&t](auto r, auto c, auto bits) { golden::store_code(t, r, c, bits); }, 0};
}
Grid scales_of(formats::BlockScaledTensor& t) {
  if (t.rows == 0 || t.cols == 0) return {};
  const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
  return {g.down, g.across, [&t](auto r, auto c) { return golden::load_scale(t, r, c); },
          [&t](auto r, auto c, auto bits) { golden::store_scale(t, r, c, bits); }, 0};
}

std::span<const ValueEdit> value_edits() { return values; }
std::span<const MapEdit> map_edits() { return maps; }
std::span<const Some> some() { return places; }

bool apply(const MapEdit& edit, Grid& g, bool wrap) {
  if (g.rows <= 0 || g.cols <= 0) return false;
  std::vector<std::uint32_t> moved;
  moved.reserve(static_cast<std::size_t>(g.rows * g.cols));
  bool changed = false;
  for (std::int64_t r = 0; r < g.rows; ++r)
    for (std::int64_t c = 0; c < g.cols; ++c) {
      std::int64_t from_r = r;
      std::int64_t from_c = c;
      edit.move(from_r, from_c, g);
      if (g.gap > 0 && from_c >= g.cols && from_c < g.cols + g.gap) {
        moved.push_back(g.pad);
        changed = true;
        continue;
      }
      if (wrap) {
        from_r = (from_r % g.rows + g.rows) % g.rows;
        from_c = (from_c % g.cols + g.cols) % g.cols;
      } else {
        from_r = std::clamp<std::int64_t>(from_r, 0, g.rows - 1);
        from_c = std::clamp<std::int64_t>(from_c, 0, g.cols - 1);
      }
      moved.push_back(g.get(from_r, from_c));
      changed = changed || moved.back() != g.get(r, c);
    }
  if (!changed) return false;
  for (std::int64_t r = 0; r < g.rows; ++r)
    for (std::int64_t c = 0; c < g.cols; ++c)
      g.set(r, c, moved[static_cast<std::size_t>(r * g.cols + c)]);
  return true;
}

bool apply(const ValueEdit& edit, Grid& g) {
  if (g.width == 0) return false;
  const auto shift = static_cast<unsigned>(32 - g.width);
  bool changed = false;
  for (std::int64_t r = 0; r < g.rows; ++r)
    for (std::int64_t c = 0; c < g.cols; ++c) {
      const std::uint32_t bits = g.get(r, c);
      const std::uint32_t now =
          std::bit_cast<std::uint32_t>(edit.value(std::bit_cast<float>(bits << shift))) >> shift;
      if (now == bits) continue;
      g.set(r, c, now);
      changed = true;
    }
  return changed;
}

std::string said(const char* text, const std::string& stage) {
  std::string out = text;
  const std::size_t at = out.find("{}");
  return at == std::string::npos ? out : out.replace(at, 2, stage);
}

}  // namespace assay::proptests::diagnosis
