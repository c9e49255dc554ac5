// SPDX-License-Identifier: Apache-2.0
// Conversions to codes of four bits: where these are packed, and single thresholds between them;
// and NaN that is rounded like a number on its way to bf16.
#include <fmt/format.h>

#include "proptests/diagnosis/fraction.h"
#include "proptests/diagnosis/stages.h"
#include "proptests/properties/convert_expected.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

/// NaN that goes the way of numbers, through the integer arithmetic that rounds FP32 to bf16.
void of_rounded_nan(std::vector<Hypothesis>& out) {
  struct Rounded {
    const char* text;
    std::uint32_t (*code)(std::uint32_t bits);
  };
  static constexpr Rounded rows[] = {
      {"NaN is rounded as a number is: one with a small payload becomes infinite, one with a large "
       "payload 0",
       [](std::uint32_t b) { return (b + 0x7FFFU + (b >> 16U & 1U)) >> 16U & 0xFFFFU; }},
      {"NaN is truncated as a number is: one with a small payload becomes infinite",
       [](std::uint32_t b) { return b >> 16U; }},
      {"NaN keeps the top of its payload", [](std::uint32_t b) { return b >> 16U | 0x40U; }}};
  for (const Rounded& row : rows)
    out.push_back(edited(
        converting, "nan_rounded_as_number", row.text,
        [&row](ConvertModel& m, const Case&) {
          m.code = [&row](const kernels::Claim& c, std::uint32_t bits) {
            return (bits & 0x7FFFFFFFU) > 0x7F800000U ? row.code(bits) : converted(c, bits);
          };
        },
        [](const kernels::Claim& c) {
          return c.code == &formats::bf16 && c.output == &formats::fp32;
        }));
}

/// Where codes of four bits are packed.
struct Packing {
  const char* id;
  const char* text;
  std::int64_t (*nibble)(std::int64_t r, std::int64_t c, std::int64_t cols);
};
std::int64_t whole_row(std::int64_t cols) { return (cols + 1) / 2 * 2; }
template <std::int64_t tail>
std::int64_t tail_swapped(std::int64_t r, std::int64_t c, std::int64_t cols) {
  return r * whole_row(cols) + (c >= cols / tail * tail ? c ^ 1 : c);
}
constexpr Packing packings[] = {
    {"nibbles_swapped", "the even element is in the high nibble of its byte",
     [](auto r, auto c, auto cols) { return r * whole_row(cols) + (c ^ 1); }},
    {"codes_packed_across_rows",
     "codes are packed through the whole matrix: a row of odd length does not begin at a byte",
     [](auto r, auto c, auto cols) { return r * cols + c; }},
    {"codes_stride_rounded_down", "rows of codes are floor(k / 2) bytes apart",
     [](auto r, auto c, auto cols) { return r * (cols / 2) * 2 + c; }},
    {"last_code_nibble", "the last code of an odd row is in the high nibble",
     [](auto r, auto c, auto cols) {
       return r * whole_row(cols) + (c + 1 == cols && cols % 2 == 1 ? c + 1 : c);
     }},
    {"last_code_lost", "the last code of an odd row is not stored",
     [](auto r, auto c, auto cols) {
       return c + 1 == cols && cols % 2 == 1 ? -1 : r * whole_row(cols) + c;
     }},
    {"tail_nibbles_swapped",
     "the even element is in the high nibble behind the last whole 4 columns", tail_swapped<4>},
    {"tail_nibbles_swapped",
     "the even element is in the high nibble behind the last whole 8 columns", tail_swapped<8>},
    {"tail_nibbles_swapped",
     "the even element is in the high nibble behind the last whole 16 columns", tail_swapped<16>},
    {"tail_nibbles_swapped",
     "the even element is in the high nibble behind the last whole 32 columns", tail_swapped<32>},
};

/// Between two neighbouring codes of a format with few of them.
void of_thresholds(std::vector<Hypothesis>& out) {
  constexpr double values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const auto say = [&](const char* id, const std::string& text, std::uint32_t low,
                       std::function<std::uint32_t(const RationalValue&, std::uint32_t)> code) {
    out.push_back(edited(
        converting, id, text,
        [low, code](ConvertModel& m, const Case&) {
          m.code = [low, code](const kernels::Claim& c, std::uint32_t bits) {
            const RationalValue x = golden::to_rational(golden::decode(*c.output, bits));
            const std::uint32_t right = converted(c, bits);
            const Neighbours n = neighbours(*c.code, x);
            return n.low == low && n.high == low + 1 ? code(x, right) : right;
          };
        },
        [](const kernels::Claim& c) { return c.code == &formats::e2m1; }));
  };
  for (std::uint32_t low = 0; low < 7; ++low) {
    const std::string between = fmt::format("between {:g} and {:g} ", values[low], values[low + 1]);
    for (const FractionRule& rule : threshold_rules())
      say(rule.id, between + rule.text, low, [&rule](const RationalValue& x, std::uint32_t right) {
        return rounded_by(rule, formats::e2m1, x, right);
      });
    for (const bool up : {false, true})
      say("tie_at_one_midpoint",
          fmt::format("the tie at {:g} goes {}", (values[low] + values[low + 1]) / 2,
                      up ? "up" : "down"),
          low, [low, up](const RationalValue& x, std::uint32_t right) {
            return neighbours(formats::e2m1, x).side != 0
                       ? right
                       : golden::with_sign(formats::e2m1, up ? low + 1 : low, x.negative);
          });
  }
}

}  // namespace

std::vector<Hypothesis> generated_of_packing() {
  std::vector<Hypothesis> out;
  for (const Packing& row : packings)
    out.push_back(edited(
        converting, row.id, row.text,
        [&row](ConvertModel& m, const Case&) { m.nibble_at = row.nibble; },
        [](const kernels::Claim& c) { return c.code->storage_bits == 4; }));
  of_thresholds(out);
  of_rounded_nan(out);
  return out;
}

}  // namespace assay::proptests::diagnosis
