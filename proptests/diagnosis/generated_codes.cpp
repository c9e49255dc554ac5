// SPDX-License-Identifier: Apache-2.0
// The codes of scale factors and elements: their ends, their rounding, and numbers that are not
// finite.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "proptests/diagnosis/fraction.h"
#include "proptests/diagnosis/quantizer_edits.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockFormat;
using Number = golden::RationalValue;
using Code = std::uint32_t;

bool has_e8m0(const BlockFormat& f) { return f.scale == &formats::e8m0; }
bool has_ue4m3(const BlockFormat& f) { return f.scale == &formats::ue4m3; }

/// The scale factor's code.
struct CodeEdit {
  const char* id;
  const char* text;
  Code (*code)(Code);
  bool (*applies)(const BlockFormat&) = nullptr;
};
constexpr CodeEdit scale_codes[] = {
    {"scale_one_low", "codes of scale factors are one too small",
     [](Code c) { return c > 0 ? c - 1 : c; }},
    {"scale_one_high", "codes of scale factors are one too large", [](Code c) { return c + 1; }},
    {"scale_zero_clamped", "the scale factor 0 becomes the smallest one",
     [](Code c) { return std::max(c, 1U); }},
    {"scale_zero_as_one", "the scale factor of a zero block is 1",
     [](Code c) { return c == 0 ? 127U : c; }, has_e8m0},
    {"scale_zero_as_one", "the scale factor of a zero block is 1",
     [](Code c) { return c == 0 ? 0x38U : c; }, has_ue4m3},
    {"e4m3_subnormals_flushed", "subnormal scale factors become 0",
     [](Code c) { return c < 8 ? 0U : c; }, has_ue4m3},
    {"e4m3_subnormals_flushed", "scale factors below 2^-6, before their rounding, become 0",
     [](Code c) { return c <= 8 ? 0U : c; }, has_ue4m3},
    {"e4m3_scale_clamped", "scale factors are at least the smallest normal one",
     [](Code c) { return std::max(c, 8U); }, has_ue4m3},
    {"e4m3_scale_power_of_two", "the mantissa of scale factors is dropped",
     [](Code c) { return c & 0x78U; }, has_ue4m3},
    {"e4m3_scale_power_of_two", "scale factors are rounded up to powers of two",
     [](Code c) { return std::min((c + 7) & 0x78U, 0x78U); }, has_ue4m3},
    {"scale_mantissa_even", "the last bit of scale factors is lost",
     [](Code c) { return c & ~1U; }},
    {"scale_wraps", "scale factors keep seven bits", [](Code c) { return c & 0x7FU; }},
    {"scale_top_bit_set", "the top bit of scale factors is set", [](Code c) { return c | 0x80U; }},
    {"scale_zeroed", "scale factors are 0", [](Code) { return 0U; }},
    {"scale_is_one", "scale factors are 1", [](Code) { return 127U; }, has_e8m0},
    {"scale_is_one", "scale factors are 1", [](Code) { return 0x38U; }, has_ue4m3},
    {"scale_overflow_nan", "the largest scale factor becomes NaN",
     [](Code c) { return c == 254 ? 255U : c; }, has_e8m0},
    {"scale_overflow_nan", "the largest scale factor becomes NaN",
     [](Code c) { return c == 0x7E ? 0x7FU : c; }, has_ue4m3},
    {"scale_overflow_wraps", "the largest scale factor becomes 0",
     [](Code c) { return c == 254 ? 0U : c; }, has_e8m0},
    {"scale_overflow_wraps", "the largest scale factor becomes 0",
     [](Code c) { return c == 0x7E ? 0U : c; }, has_ue4m3},
    {"scale_underflow_nan", "the smallest scale factor becomes NaN",
     [](Code c) { return c == 0 ? 255U : c; }, has_e8m0},
    {"scale_underflow_wraps", "the smallest scale factor becomes the largest",
     [](Code c) { return c == 0 ? 254U : c; }, has_e8m0},
};
constexpr CodeEdit element_codes[] = {
    {"element_code_bit_lost", "the lowest bit of codes is lost", [](Code c) { return c & ~1U; }},
    {"element_limited", "codes stop at 3", [](Code c) { return (c & 7U) > 5 ? (c & 8U) | 5U : c; }},
    {"element_limited", "codes stop at 4", [](Code c) { return (c & 7U) > 6 ? (c & 8U) | 6U : c; }},
    {"positive_zero_negative", "+0 becomes -0", [](Code c) { return c == 0 ? 8U : c; }},
    {"negative_zero_lost", "-0 becomes +0", [](Code c) { return c == 8 ? 0U : c; }},
    {"element_wraps", "the code 7 becomes 0", [](Code c) { return (c & 7U) == 7 ? c & 8U : c; }},
    {"element_zeroed", "codes are 0", [](Code) { return 0U; }},
    {"element_zeroed", "codes are zeros of their sign", [](Code c) { return c & 8U; }},
    {"negative_elements_lost", "negative elements become 0", [](Code c) { return c > 8 ? 0U : c; }},
    {"element_sign_lost", "the sign of elements is lost", [](Code c) { return c & 7U; }},
    {"element_sign_inverted", "the sign of elements is inverted", [](Code c) { return c ^ 8U; }},
    {"element_complemented", "codes of negative elements are complemented",
     [](Code c) { return c >= 8 ? c ^ 7U : c; }},
};

QuantizerEdit of_scale_code(std::string id, std::string text, std::function<Code(Code)> code,
                            bool (*applies)(const BlockFormat&)) {
  return {std::move(id), std::move(text),
          [code = std::move(code)](QuantizerModel& q, const Case&) {
            q.scale_code = code;
            return true;
          },
          applies};
}
QuantizerEdit of_stored_scale(const std::string& id, const std::string& text,
                              std::function<Code(Code)> code, bool (*applies)(const BlockFormat&)) {
  return {"stored_" + id, text + ", as they are stored; elements know the right ones",
          [code = std::move(code)](QuantizerModel& q, const Case&) {
            q.store = [code](formats::BlockScaledTensor& t) {
              Grid g = scales_of(t);
              const Code nan = golden::canonical_nan(*t.format->scale);
              for (std::int64_t r = 0; r < g.rows; ++r)
                for (std::int64_t b = 0; b < g.cols; ++b)
                  if (const Code c = g.get(r, b); c != nan) g.set(r, b, code(c) & 0xFFU);
            };
            return true;
          },
          applies};
}

/// The exponent field of amax less 2, as the byte that it leaves: neither end is looked at.
Code exponent_field(const Number& amax, bool up) {
  const auto bits =
      std::bit_cast<std::uint32_t>(static_cast<float>(amax.number.convert_to<double>()));
  return ((bits >> 23U) - 2U + (up && (bits & 0x7FFFFFU) > 0x400000U ? 1U : 0U)) & 0xFFU;
}

void of_scales(std::vector<QuantizerEdit>& out) {
  for (const CodeEdit& e : scale_codes) {
    out.push_back(of_scale_code(e.id, e.text, e.code, e.applies));
    out.push_back(of_stored_scale(e.id, e.text, e.code, e.applies));
  }
  // An end of the range at any code.
  for (Code end = 1; end < 255; ++end)
    for (const bool lowest : {true, false}) {
      const auto code = [end, lowest](Code c) {
        return lowest ? std::max(c, end) : std::min(c, end);
      };
      for (const bool power : {true, false}) {
        if (!power && end > 0x7D) continue;
        const double value =
            golden::approximate(golden::decode(power ? formats::e8m0 : formats::ue4m3, end).number);
        const std::string text = fmt::format("scale factors are at {} {:.6g} (code {})",
                                             lowest ? "least" : "most", value, end);
        const char* id = lowest ? "scale_limited_below" : "scale_limited";
        out.push_back(of_scale_code(id, text, code, power ? has_e8m0 : has_ue4m3));
        out.back().learned = true;
      }
    }
  for (const bool zero_too : {false, true})
    for (const bool up : {false, true})
      for (const bool stored : {false, true})
        out.push_back(
            {"e8m0_exponent_wraps",
             std::string("the exponent of a scale factor is not limited below: it wraps to large "
                         "codes and NaN where amax is tiny") +
                 (zero_too ? ", a zero block too" : "") +
                 (stored ? "; elements know the right one" : ""),
             [zero_too, up, stored](QuantizerModel& q, const Case&) {
               const auto wrapped = [zero_too, up](const Number& a, Code right) {
                 if (a.is_zero() && !zero_too) return right;
                 return right > 1 ? right : exponent_field(a, up);
               };
               if (!stored) {
                 const auto last = std::make_shared<Number>();
                 q.block_amax = [last](const Number& a) { return *last = a; };
                 q.scale_code = [last, wrapped](Code c) { return wrapped(*last, c); };
                 return true;
               }
               const auto maxima = std::make_shared<std::vector<Number>>();
               q.block_amax = [maxima](const Number& a) {
                 maxima->push_back(a);
                 return a;
               };
               q.store = [maxima, wrapped](formats::BlockScaledTensor& t) {
                 Grid g = scales_of(t);
                 const Code nan = golden::canonical_nan(*t.format->scale);
                 std::size_t i = 0;
                 for (std::int64_t r = 0; r < g.rows; ++r)
                   for (std::int64_t b = 0; b < g.cols; ++b)
                     if (const Code c = g.get(r, b); c != nan && i < maxima->size())
                       g.set(r, b, wrapped((*maxima)[i++], c));
                 maxima->clear();
               };
               return true;
             },
             has_e8m0});
}

void of_elements(std::vector<QuantizerEdit>& out) {
  const auto by_code = [&](std::string id, std::string text,
                           std::function<Code(const Number&, Code)> code) {
    out.push_back(
        {std::move(id), std::move(text), [code = std::move(code)](QuantizerModel& q, const Case&) {
           q.code = code;
           return true;
         }});
  };
  for (const CodeEdit& e : element_codes)
    by_code(e.id, e.text, [&e](const Number&, Code c) { return e.code(c); });
  for (const FractionRule& rule : fraction_rules())
    by_code(rule.id, rule.text, [&rule](const Number& x, Code right) {
      return rounded_by(rule, formats::e2m1, x, right);
    });
  // One threshold of seven.
  constexpr double values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (Code low = 0; low < 7; ++low) {
    const double middle = (values[low] + values[low + 1]) / 2;
    for (const FractionRule& rule : threshold_rules())
      by_code(rule.id,
              fmt::format("between {:g} and {:g} {}", values[low], values[low + 1], rule.text),
              [&rule, low](const Number& x, Code right) {
                const Neighbours n = neighbours(formats::e2m1, x);
                return n.low == low && n.high == low + 1 ? rounded_by(rule, formats::e2m1, x, right)
                                                         : right;
              });
    by_code("tie_at_one_midpoint",
            fmt::format("the tie at {:g} goes to {:g}, not to the even code", middle,
                        low % 2 == 0 ? values[low + 1] : values[low]),
            [low](const Number& x, Code right) {
              const Neighbours n = neighbours(formats::e2m1, x);
              if (n.low != low || n.high != low + 1 || n.side != 0) return right;
              return (x.negative ? 8U : 0U) | (low % 2 == 0 ? low + 1 : low);
            });
    // Wherever it should be given.
    for (Code other = 0; other < 8; ++other)
      if (other != low)
        by_code(
            "code_misencoded",
            fmt::format("the code of {:g} is that of {:g}", values[low], values[other]),
            [low, other](const Number&, Code c) { return (c & 7U) == low ? (c & 8U) | other : c; });
  }
  for (const auto& [id, text, most] :
       {std::tuple("saturation_missing", "numbers that round beyond 6 become 0", 7),
        {"saturation_missing", "numbers of 8 and more become 0", 8}})
    by_code(id, text, [most](const Number& x, Code c) {
      return x.is_infinite() || x.number >= most || x.number <= -most ? c & 8U : c;
    });
}

}  // namespace

std::vector<QuantizerEdit> code_edits() {
  std::vector<QuantizerEdit> out = not_finite_edits();
  of_elements(out);
  of_scales(out);
  return out;
}

}  // namespace assay::proptests::diagnosis
