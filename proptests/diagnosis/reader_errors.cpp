// SPDX-License-Identifier: Apache-2.0
// The known errors of reading block-scaled operands, as edits of the model.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "golden/layout.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::FormatSpec;
using formats::ScaleLayout;
using golden::Exact;
using golden::Value;
using Model = ReaderModel;

bool has_e2m1(const BlockFormat& f) { return f.element == &formats::e2m1; }
bool has_e8m0(const BlockFormat& f) { return f.scale == &formats::e8m0; }
bool has_ue4m3(const BlockFormat& f) { return f.scale == &formats::ue4m3; }
bool two_level(const BlockFormat& f) { return f.tensor_scale == formats::TensorScale::fp32; }

Value e2m1(std::uint32_t code) { return golden::decode(formats::e2m1, code); }
Value halves(std::int64_t n, bool negative) {
  Value v = Value::finite(Exact(n) * Exact::power_of_two(-1));
  return negative ? -v : v;
}

/// Scale factors by the codes of their bytes.
auto scale_codes(Value (*of)(const FormatSpec&, std::uint32_t code)) {
  return [of](Model& m) { m.scale = of; };
}
/// The scale factor of another block: `where` edits row and block, which wrap around.
auto other_block(void (*where)(std::int64_t& row, std::int64_t& block, const golden::BlockGrid&)) {
  return [where](Model& m) {
    m.load_scale = [where](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
      const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
      std::int64_t b = c / g.block_cols;
      where(r, b, g);
      return golden::load_scale(t, (r % g.down + g.down) % g.down,
                                (b % g.across + g.across) % g.across);
    };
  };
}
/// Scale factors read at an index of the caller's; beyond the end: from the beginning.
auto scale_at(std::int64_t (*index)(const golden::BlockGrid&, std::int64_t r, std::int64_t b)) {
  return [index](Model& m) {
    m.load_scale = [index](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
      const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
      const auto size = static_cast<std::int64_t>(t.scales.size());
      return static_cast<std::uint32_t>(t.scales[index(g, r, c / g.block_cols) % size]);
    };
  };
}
auto code_at(std::int64_t (*column)(std::int64_t c, std::int64_t cols, std::int64_t block)) {
  return [column](Model& m) {
    m.load_code = [column](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
      const std::int64_t at = column(c, t.cols, t.format->block.cols);
      const std::int64_t bytes = (t.cols + 1) / 2;
      const std::uint8_t pair = t.codes[r * bytes + std::min(at / 2, bytes - 1)];
      return static_cast<std::uint32_t>(at % 2 == 0 ? pair & 15 : pair >> 4);
    };
  };
}
auto elements(Value (*of)(std::uint32_t code)) {
  return [of](Model& m) { m.element = of; };
}
auto scale_times(int exponent) {
  return [exponent](Model& m) {
    m.factor = [exponent](const Value& s) {
      return s * Value::finite(Exact::power_of_two(exponent));
    };
  };
}
Value reciprocal(const Value& s) {
  if (s.is_nan()) return s;
  return golden::decode(
      formats::fp32,
      golden::encode(formats::fp32, golden::RationalValue::finite(1) / golden::to_rational(s),
                     formats::RoundingMode::nearest_even,
                     golden::policy_of(formats::ieee, formats::fp32)));
}

std::vector<ReaderError> make_rows() {
  std::vector<ReaderError> rows{
      // Codes.
      {"nibbles_swapped", "the even element is read from the high nibble",
       code_at([](std::int64_t c, std::int64_t, std::int64_t) { return c ^ 1; })},
      {"nibbles_split", "codes are read as GGML packs them: halves of a block in the two nibbles",
       code_at([](std::int64_t c, std::int64_t, std::int64_t block) {
         const std::int64_t i = c % block;
         const std::int64_t half = block / 2;
         return c - i + (i < half ? 2 * i : 2 * (i - half) + 1);
       })},
      {"half_flushed", "the subnormal 0.5 decodes to 0",
       elements([](std::uint32_t c) { return e2m1((c & 7U) == 1 ? c - 1 : c); })},
      {"negative_zero_lost", "code 8 decodes to +0",
       elements([](std::uint32_t c) { return e2m1(c == 8 ? 0 : c); })},
      {"sign_lost", "the sign of elements is lost",
       elements([](std::uint32_t c) { return e2m1(c & 7U); })},
      {"sign_inverted", "the sign of elements is inverted",
       elements([](std::uint32_t c) { return e2m1(c ^ 8U); })},
      {"element_as_integer", "codes are read as sign and integer magnitude",
       elements([](std::uint32_t c) { return halves(2 * (c & 7U), (c & 8U) != 0); })},
      {"codes_twos_complement", "codes are read as integers in two's complement",
       elements([](std::uint32_t c) {
         return Value::finite(
             Exact(c < 8 ? static_cast<std::int64_t>(c) : static_cast<std::int64_t>(c) - 16));
       })},
      {"element_bias_off", "elements are read with a bias that is off by one",
       elements([](std::uint32_t c) { return e2m1(c) * Value::finite(2); })},
      {"element_bias_off", "elements are read with a bias that is off by one",
       elements([](std::uint32_t c) { return e2m1(c) * halves(1, false); })},
      {"half_as_three_quarters", "subnormal elements are decoded by the normal formula",
       elements([](std::uint32_t c) {
         if ((c & 7U) > 1) return e2m1(c);
         return halves((c & 7U) == 0 ? 2 : 3, (c & 8U) != 0) * halves(1, false);
       })},
  };
  for (ReaderError& row : rows) row.applies = has_e2m1;
  std::vector<ReaderError> of_scales{
      // Scale factors: their values.
      {"e8m0_zero_code_is_zero", "the E8M0 code 0 decodes to 0 instead of 2^-127",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return c == 0 ? Value::zero(false) : golden::decode(f, c);
       }),
       has_e8m0},
      {"e8m0_code_signed", "E8M0 codes from 128 on are read as signed bytes",
       scale_codes([](const FormatSpec& f, std::uint32_t code) {
         return code < 128 || code == 255
                    ? golden::decode(f, code)
                    : Value::finite(Exact::power_of_two(static_cast<int>(code) - 256));
       }),
       has_e8m0},
      {"e8m0_nan_is_infinity", "the E8M0 code 255 decodes to Inf",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return c == 255 ? Value::infinity(false) : golden::decode(f, c);
       }),
       has_e8m0},
      {"e8m0_nan_is_number", "the E8M0 code 255 decodes to 2^128",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return c == 255 ? Value::finite(Exact::power_of_two(128)) : golden::decode(f, c);
       }),
       has_e8m0},
      {"scale_nan_is_number", "the NaN code of a scale factor decodes to a number",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return golden::decode(f, c).is_nan() ? Value::finite(480) : golden::decode(f, c);
       }),
       has_ue4m3},
      {"scale_nan_is_zero", "a NaN scale factor counts as 0",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         const Value v = golden::decode(f, c);
         return v.is_nan() ? Value::zero(false) : v;
       })},
      {"scale_nan_is_one", "a NaN scale factor counts as 1",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         const Value v = golden::decode(f, c);
         return v.is_nan() ? Value::finite(1) : v;
       })},
      {"scale_subnormal_as_normal",
       "subnormal E4M3 scale factors are decoded by the normal formula",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return c > 0 && c < 8 ? Value::finite(Exact(8 + c) * Exact::power_of_two(-10))
                               : golden::decode(f, c);
       }),
       has_ue4m3},
      {"scale_subnormal_as_normal",
       "E4M3 scale factors with exponent 0 are decoded by the normal formula",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return c < 8 ? Value::finite(Exact(8 + c) * Exact::power_of_two(-10))
                      : golden::decode(f, c);
       }),
       has_ue4m3},
      {"scale_subnormals_flushed", "subnormal E4M3 scale factors are read as 0",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return c < 8 ? Value::zero(false) : golden::decode(f, c);
       }),
       has_ue4m3},
      {"scale_mantissa_dropped", "the mantissa of E4M3 scale factors is dropped",
       scale_codes([](const FormatSpec& f, std::uint32_t c) {
         return golden::decode(f, c == 0x7F ? c : c & 0x78U);
       }),
       has_ue4m3},
      {"scale_as_e5m2", "E4M3 scale factors are read as E5M2",
       scale_codes([](const FormatSpec&, std::uint32_t c) {
         constexpr FormatSpec e5m2{"e5m2", 8, 1, 5, 2, 15, true, formats::Specials::ieee, ""};
         return golden::decode(e5m2, c);
       }),
       has_ue4m3},
      {"scale_as_e8m0", "E4M3 scale factors are read as E8M0",
       scale_codes(
           [](const FormatSpec&, std::uint32_t c) { return golden::decode(formats::e8m0, c); }),
       has_ue4m3},
      {"scale_as_e4m3", "E8M0 scale factors are read as E4M3",
       scale_codes(
           [](const FormatSpec&, std::uint32_t c) { return golden::decode(formats::e4m3, c); }),
       has_e8m0},
      {"scale_as_integer", "the byte of a scale factor is read as a linear number",
       scale_codes([](const FormatSpec&, std::uint32_t c) {
         return Value::finite(static_cast<std::int64_t>(c));
       })},
      {"scale_bias_off", "scale factors are twice what they should be", scale_times(1)},
      {"scale_bias_off", "scale factors are half of what they should be", scale_times(-1)},
      // Scale factors: which ones.
      {"scale_twice", "scale factors multiply twice",
       [](Model& m) { m.factor = [](const Value& s) { return s * s; }; }},
      {"scale_not_applied", "scale factors are left out",
       [](Model& m) { m.factor = [](const Value&) { return Value::finite(1); }; }},
      {"scale_inverted", "scale factors divide instead of multiplying",
       [](Model& m) { m.factor = reciprocal; }},
      {"scale_row_off_by_one", "elements meet the scale factor of the next row",
       other_block([](auto& r, auto&, const auto&) { ++r; })},
      {"scale_row_off_by_one", "elements meet the scale factor of the row before",
       other_block([](auto& r, auto&, const auto&) { --r; })},
      {"scale_row_off_by_one", "elements meet the scale factor of the next row, the last its own",
       other_block([](auto& r, auto&, const auto& g) { r = std::min(r + 1, g.down - 1); })},
      {"scale_row_off_by_one",
       "elements meet the scale factor of the row before, the first its own",
       other_block([](auto& r, auto&, const auto&) { r = std::max<std::int64_t>(r - 1, 0); })},
      {"scale_block_off_by_one", "elements meet the scale factor of the next block",
       other_block([](auto&, auto& b, const auto&) { ++b; })},
      {"scale_block_off_by_one", "elements meet the scale factor of the block before",
       other_block([](auto&, auto& b, const auto&) { --b; })},
      {"scale_block_off_by_one",
       "elements meet the scale factor of the next block, the last its own",
       other_block([](auto&, auto& b, const auto& g) { b = std::min(b + 1, g.across - 1); })},
      {"scale_block_off_by_one",
       "elements meet the scale factor of the block before, the first its own",
       other_block([](auto&, auto& b, const auto&) { b = std::max<std::int64_t>(b - 1, 0); })},
      {"scale_of_first_row", "all rows meet the scale factors of the first",
       other_block([](auto& r, auto&, const auto&) { r = 0; })},
      {"scale_of_first_block", "all blocks meet the scale factor of the first",
       other_block([](auto&, auto& b, const auto&) { b = 0; })},
      {"scale_block_twice_as_wide", "a scale factor serves twice as many elements",
       other_block([](auto&, auto& b, const auto&) { b /= 2; })},
      {"scale_block_half_as_wide", "a scale factor serves half as many elements",
       [](Model& m) {
         m.load_scale = [](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
           const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
           return golden::load_scale(t, r, 2 * c / g.block_cols % g.across);
         };
       }},
      {"scales_transposed", "scale factors are read column-major",
       [](Model& m) {
         m.load_scale = [](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
           const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
           const std::int64_t at = c / g.block_cols * g.down + r;
           return golden::load_scale(t, at / g.across, at % g.across);
         };
       }},
      {"scale_rows_swapped", "scale factors of rows in pairs are exchanged",
       other_block([](auto& r, auto&, const auto& g) { r = std::min(r ^ 1, g.down - 1); })},
      {"swizzle_ignored", "scale factors are read as the other layout: row-major or 128x4",
       [](Model& m) {
         if (m.t.scale_layout == ScaleLayout::swizzled_128x4)
           scale_at([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return r * g.across + b;
           })(m);
         else
           scale_at([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return golden::scale_index(ScaleLayout::swizzled_128x4, g.down, g.across, r, b);
           })(m);
       }},
      {"swizzle_rows_interleaved", "the swizzle exchanges the row-in-32 and the row-by-32 indices",
       [](Model& m) {
         if (m.t.scale_layout == ScaleLayout::swizzled_128x4)
           scale_at([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return (r / 128 * ((g.across + 3) / 4) + b / 4) * 512 + r % 128 / 4 * 16 + r % 4 * 4 +
                    b % 4;
           })(m);
       }},
      {"swizzle_unpadded", "the swizzle counts blocks without padding them to a multiple of 4",
       [](Model& m) {
         if (m.t.scale_layout == ScaleLayout::swizzled_128x4)
           scale_at([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return (r / 128 * g.across + b / 4 * 4) * 128 + r % 32 * 16 + r % 128 / 32 * 4 + b % 4;
           })(m);
       }},
      {"swizzle_tail_rows", "rows beyond the first 32 meet the scale factors of the first 32",
       other_block([](auto& r, auto&, const auto&) { r %= 32; })},
      // The tensor scale.
      {"tensor_scale_omitted", "the tensor scale is left out",
       [](Model& m) { m.tensor_scale = [](float) { return 1.0F; }; }, two_level},
      {"tensor_scale_inverted", "the tensor scale divides instead of multiplying",
       [](Model& m) { m.tensor_scale = [](float g) { return 1.0F / g; }; }, two_level},
      {"tensor_scale_twice", "the tensor scale multiplies twice",
       [](Model& m) { m.tensor_scale = [](float g) { return g * g; }; }, two_level},
  };
  rows.insert(rows.end(), of_scales.begin(), of_scales.end());
  // A single entry of the decoding table is wrong.
  constexpr std::array<int, 9> in_halves{0, 1, 2, 3, 4, 6, 8, 12, 16};
  for (std::uint32_t code = 0; code < 8; ++code)
    for (const int value : in_halves) {
      if (value == in_halves.at(code)) continue;
      const char* id = code == 7 && value == 8 ? "six_as_four" : "code_misdecoded";
      rows.push_back({id, fmt::format("code {} decodes to {}", code, value / 2.0),
                      [code, value](Model& m) {
                        m.element = [code, value](std::uint32_t c) {
                          return (c & 7U) == code ? halves(value, (c & 8U) != 0) : e2m1(c);
                        };
                      },
                      has_e2m1});
    }
  return rows;
}

}  // namespace

const std::vector<ReaderError>& reader_errors() {
  static const std::vector<ReaderError> rows = [] {
    std::vector<ReaderError> all = make_rows();
    for (ReaderError& row : decoding_errors()) all.push_back(std::move(row));
    return all;
  }();
  return rows;
}

}  // namespace assay::proptests::diagnosis
