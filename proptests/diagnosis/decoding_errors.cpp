// SPDX-License-Identifier: Apache-2.0
// Codes that are decoded otherwise: both ends of E8M0, NaN and subnormals of E4M3, single elements;
// and codes that are found by counting through the rows.
#include <fmt/format.h>

#include <algorithm>

#include "golden/layout.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::FormatSpec;
using golden::Exact;
using golden::Value;
using Model = ReaderModel;

bool has_e8m0(const BlockFormat& f) { return f.scale == &formats::e8m0; }
bool has_ue4m3(const BlockFormat& f) { return f.scale == &formats::ue4m3; }
bool of_e2m1(const BlockFormat& f) { return f.element == &formats::e2m1; }

Value power(int exponent) { return Value::finite(Exact::power_of_two(exponent)); }

/// What an end of E8M0 decodes to; `value` null: what it should.
struct End {
  const char* text;
  Value (*value)();
};
constexpr End low_ends[] = {
    {"", nullptr},
    {"0 decodes to 0", [] { return Value::zero(false); }},
    {"0 decodes to 2^-126", [] { return power(-126); }},
    {"0 decodes to 2^-128", [] { return power(-128); }},
    {"0 decodes to 1", [] { return power(0); }},
    {"0 decodes to NaN", [] { return Value::nan(); }},
};
constexpr End high_ends[] = {
    {"", nullptr},
    {"255 decodes to infinity", [] { return Value::infinity(false); }},
    {"255 decodes to 2^128", [] { return power(128); }},
    {"255 decodes to 2^127", [] { return power(127); }},
    {"255 decodes to 0", [] { return Value::zero(false); }},
    {"255 decodes to 1", [] { return power(0); }},
};

void of_e8m0(std::vector<ReaderError>& rows) {
  for (const End& low : low_ends)
    for (const End& high : high_ends) {
      if (low.value == nullptr && high.value == nullptr) continue;
      const bool both = low.value != nullptr && high.value != nullptr;
      std::string text =
          std::string("the E8M0 code ") + low.text + (both ? " and " : "") + high.text;
      const bool shifted = &low == &low_ends[1] && &high == &high_ends[1];
      if (shifted)
        text =
            "E8M0 codes are shifted into the exponent of an FP32 number without special cases: "
            "code 0 becomes 0 and 255 infinity";
      const char* id = shifted                ? "e8m0_shifted"
                       : both                 ? "e8m0_ends_misread"
                       : low.value != nullptr ? "e8m0_zero_code_misread"
                                              : "e8m0_nan_misread";
      rows.push_back({id, std::move(text),
                      [&low, &high](Model& m) {
                        m.scale = [&low, &high](const FormatSpec& f, std::uint32_t c) {
                          if (c == 0 && low.value != nullptr) return low.value();
                          if (c == 255 && high.value != nullptr) return high.value();
                          return golden::decode(f, c);
                        };
                      },
                      has_e8m0});
    }
}

struct Decoding {
  const char* id;
  const char* text;
  Value (*of)(std::uint32_t code);
};
Value ue4m3(std::uint32_t c) { return golden::decode(formats::ue4m3, c); }
constexpr Decoding scale_decodings[] = {
    {"scale_nan_is_number", "the NaN code of a scale factor decodes to 448",
     [](std::uint32_t c) { return c == 0x7F ? Value::finite(448) : ue4m3(c); }},
    {"scale_nan_is_number", "the NaN code of a scale factor decodes to infinity",
     [](std::uint32_t c) { return c == 0x7F ? Value::infinity(false) : ue4m3(c); }},
    {"scale_nan_is_number", "the NaN code of a scale factor decodes to 0",
     [](std::uint32_t c) { return c == 0x7F ? Value::zero(false) : ue4m3(c); }},
    {"scale_subnormal_exponent", "subnormal E4M3 scale factors are half of what they should be",
     [](std::uint32_t c) { return c < 8 ? ue4m3(c) * power(-1) : ue4m3(c); }},
    {"scale_subnormal_exponent", "subnormal E4M3 scale factors are twice what they should be",
     [](std::uint32_t c) { return c < 8 ? ue4m3(c) * power(1) : ue4m3(c); }},
    {"scale_zero_code_misread", "the scale factor code 0 decodes to 1",
     [](std::uint32_t c) { return c == 0 ? power(0) : ue4m3(c); }},
    {"scale_zero_code_misread", "the scale factor code 0 decodes to the smallest positive number",
     [](std::uint32_t c) { return ue4m3(std::max(c, 1U)); }},
    {"scale_subnormal_clamped", "subnormal scale factors decode to the smallest normal number",
     [](std::uint32_t c) { return ue4m3(std::max(c, 8U)); }},
};
constexpr Decoding fp4_decodings[] = {
    {"element_nan_or_infinity", "the largest code decodes to infinity",
     [](std::uint32_t c) {
       return (c & 7U) == 7 ? Value::infinity(c > 7) : golden::decode(formats::e2m1, c);
     }},
    {"element_nan_or_infinity", "the largest code decodes to NaN",
     [](std::uint32_t c) {
       return (c & 7U) == 7 ? Value::nan() : golden::decode(formats::e2m1, c);
     }},
    {"code_misdecoded", "the codes of 3 and 4 are exchanged",
     [](std::uint32_t c) {
       return golden::decode(formats::e2m1, (c & 7U) == 5 || (c & 7U) == 6 ? c ^ 3U : c);
     }},
    {"code_misdecoded", "negative codes decode as if they were complemented",
     [](std::uint32_t c) { return golden::decode(formats::e2m1, c > 7 ? c ^ 7U : c); }},
};

void of_decodings(std::vector<ReaderError>& rows) {
  for (const Decoding& d : scale_decodings)
    rows.push_back(
        {d.id, d.text,
         [&d](Model& m) { m.scale = [&d](const FormatSpec&, std::uint32_t c) { return d.of(c); }; },
         has_ue4m3});
  for (const Decoding& d : fp4_decodings)
    rows.push_back({d.id, d.text, [&d](Model& m) { m.element = d.of; }, of_e2m1});
}

std::uint32_t nibble(const BlockScaledTensor& t, std::int64_t at) {
  const auto byte = static_cast<std::size_t>(at / 2);
  if (byte >= t.codes.size()) return 0;
  return at % 2 == 0 ? t.codes[byte] & 15U : t.codes[byte] >> 4U;
}

void of_counting(std::vector<ReaderError>& rows) {
  rows.push_back({"codes_packed_across_rows",
                  "codes are found by row * k + column: rows of odd length are taken to be packed "
                  "without a gap",
                  [](Model& m) {
                    m.load_code = [](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
                      return nibble(t, r * t.cols + c);
                    };
                  },
                  of_e2m1});
  rows.push_back({"codes_stride_rounded_down",
                  "rows of codes are taken to be floor(k / 2) bytes apart",
                  [](Model& m) {
                    m.load_code = [](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
                      return nibble(t, r * (t.cols / 2) * 2 + c);
                    };
                  },
                  of_e2m1});
  rows.push_back({"last_code_nibble", "the last code of an odd row is read from the high nibble",
                  [](Model& m) {
                    m.load_code = [](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
                      const bool lone = c + 1 == t.cols && t.cols % 2 == 1;
                      return nibble(t, r * ((t.cols + 1) / 2) * 2 + c + (lone ? 1 : 0));
                    };
                  },
                  of_e2m1});
  for (const std::int64_t tail : {4, 8, 16, 32})
    rows.push_back({"tail_nibbles_swapped",
                    fmt::format("the even element is read from the high nibble behind the last "
                                "whole {} columns",
                                tail),
                    [tail](Model& m) {
                      m.load_code = [tail](const BlockScaledTensor& t, std::int64_t r,
                                           std::int64_t c) {
                        const std::int64_t at = c >= t.cols / tail * tail ? c ^ 1 : c;
                        return nibble(t, r * ((t.cols + 1) / 2) * 2 + at);
                      };
                    },
                    of_e2m1});
  const auto counted = [&](const char* id, const char* text,
                           std::int64_t (*at)(const BlockScaledTensor& t,
                                              const golden::BlockGrid& g, std::int64_t r,
                                              std::int64_t c)) {
    rows.push_back(
        {id, text, [at](Model& m) {
           m.load_scale = [at](const BlockScaledTensor& t, std::int64_t r, std::int64_t c) {
             const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
             const std::int64_t flat = at(t, g, r, c);
             return golden::load_scale(t, std::min(flat / g.across, g.down - 1), flat % g.across);
           };
         }});
  };
  counted(
      "scales_packed_across_rows",
      "scale factors are found by (row * k + column) / block: rows are taken to hold whole blocks",
      [](const auto& t, const auto& g, auto r, auto c) { return (r * t.cols + c) / g.block_cols; });
  counted("scale_columns_rounded_down", "a row is taken to have floor(k / block) scale factors",
          [](const auto& t, const auto& g, auto r, auto c) {
            return r * (t.cols / g.block_cols) + c / g.block_cols;
          });
}

}  // namespace

std::vector<ReaderError> decoding_errors() {
  std::vector<ReaderError> rows;
  of_e8m0(rows);
  of_decodings(rows);
  of_counting(rows);
  // Products ask all of them of either operand.
  for (ReaderError& row : rows)
    if (row.applies != nullptr)
      row.spoil = [spoil = std::move(row.spoil), applies = row.applies](Model& m) {
        if (applies(*m.t.format)) spoil(m);
      };
  return rows;
}

}  // namespace assay::proptests::diagnosis
