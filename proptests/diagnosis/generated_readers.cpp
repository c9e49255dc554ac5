// SPDX-License-Identifier: Apache-2.0
// What may go wrong in dequantizers: codes and scale factors that are decoded otherwise, factors
// that meet in another order, places that are read for other places.
#include <fmt/format.h>

#include <cmath>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_edits.h"
#include "proptests/diagnosis/stages.h"
#include "proptests/diagnosis/swizzles.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::RoundingMode;
using golden::RationalValue;
using golden::Value;

Value rounded(const formats::FormatSpec& format, RoundingMode mode, const Value& x) {
  return golden::decode(format, golden::encode(format, golden::to_rational(x), mode,
                                               golden::policy_of(formats::ieee, format)));
}
Value flushed(const Value& x) {
  if (!x.is_finite()) return x;
  return std::fabs(golden::approximate(x.number)) < 0x1p-126 ? Value::zero(x.negative) : x;
}

/// Two factors of the three that are multiplied first, and what becomes of their product.
struct Order {
  const char* text;
  Value (*inner)(const Value& element, const Value& scale, const Value& tensor);
  Value (*outer)(const Value& inner, const Value& element, const Value& scale, const Value& tensor);
};
constexpr Order orders[] = {
    {"scale factor * tensor scale", [](const auto&, const auto& s, const auto& g) { return s * g; },
     [](const auto& i, const auto& e, const auto&, const auto&) { return e * i; }},
    {"element * scale factor", [](const auto& e, const auto& s, const auto&) { return e * s; },
     [](const auto& i, const auto&, const auto&, const auto& g) { return i * g; }},
    {"element * tensor scale", [](const auto& e, const auto&, const auto& g) { return e * g; },
     [](const auto& i, const auto&, const auto& s, const auto&) { return i * s; }},
};
struct Between {
  const char* id;
  const char* text;
  Value (*of)(const Value&);
};
constexpr Between betweens[] = {
    {"product_rounded_twice", "is rounded to FP32 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::fp32, RoundingMode::nearest_even, v); }},
    {"product_rounded_twice", "is truncated to FP32 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::fp32, RoundingMode::toward_zero, v); }},
    {"product_narrowed", "is rounded to bf16 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::bf16, RoundingMode::nearest_even, v); }},
    {"product_narrowed", "is truncated to bf16 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::bf16, RoundingMode::toward_zero, v); }},
    {"product_narrowed", "is rounded to fp16 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::fp16, RoundingMode::nearest_even, v); }},
    {"product_narrowed", "is truncated to fp16 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::fp16, RoundingMode::toward_zero, v); }},
    {"product_narrowed", "is rounded to TF32 before the third factor multiplies it",
     [](const Value& v) { return rounded(formats::tf32, RoundingMode::nearest_even, v); }},
    {"product_flushed", "counts as 0 where it is subnormal in FP32", flushed},
    {"product_flushed",
     "is rounded to FP32 before the third factor multiplies it, and counts as 0 where subnormal",
     [](const Value& v) { return flushed(rounded(formats::fp32, RoundingMode::nearest_even, v)); }},
};

void of_products(std::vector<Hypothesis>& out) {
  for (const Order& order : orders)
    for (const Between& between : betweens)
      out.push_back(
          {between.id, std::string(order.text) + " " + between.text, dequantizing.is,
           [&order, &between](const Case& c, const Prediction& right) -> std::optional<Prediction> {
             const ReaderModel m = dequantizing.of(c);
             const golden::FactoredMatrix f = m.run();
             const Value g = golden::value_of(f.tensor_scale);
             Prediction p = right;
             for (std::size_t i = 0; i < f.elements.size(); ++i) {
               const Value v = order.outer(between.of(order.inner(f.elements[i], f.scales[i], g)),
                                           f.elements[i], f.scales[i], g);
               p[0].numbers[i] = golden::to_rational(v);
               if (!p[0].negative_zero.empty()) p[0].negative_zero[i] = v.is_zero() && v.negative;
             }
             return p;
           }});
  // A zero does not meet the scale factor.
  struct Zero {
    const char* id;
    const char* text;
    bool (*holds)(const Value& element, const Value& scale, const Value& tensor);
  };
  static constexpr Zero zeros[] = {
      {"zero_times_nan_is_zero", "zero elements stay 0 whatever their scale factor is",
       [](const auto& e, const auto&, const auto&) { return e.is_zero(); }},
      {"nan_scale_is_zero", "a NaN scale factor counts as 0",
       [](const auto&, const auto& s, const auto&) { return s.is_nan(); }},
      {"zero_scale_wins", "a scale factor of 0 gives 0 whatever the tensor scale is",
       [](const auto&, const auto& s, const auto&) { return s.is_zero(); }}};
  for (const Zero& zero : zeros)
    for (const bool keeps_sign : {true, false})
      out.push_back({zero.id, std::string(zero.text) + (keeps_sign ? "" : ", +0 always"),
                     dequantizing.is,
                     [&zero, keeps_sign](const Case& c,
                                         const Prediction& right) -> std::optional<Prediction> {
                       const golden::FactoredMatrix f = dequantizing.of(c).run();
                       const Value g = golden::value_of(f.tensor_scale);
                       Prediction p = right;
                       for (std::size_t i = 0; i < f.elements.size(); ++i) {
                         if (!zero.holds(f.elements[i], f.scales[i], g)) continue;
                         const bool negative = keeps_sign && f.elements[i].negative;
                         p[0].numbers[i] = RationalValue::zero(negative);
                         if (!p[0].negative_zero.empty()) p[0].negative_zero[i] = negative;
                       }
                       return p;
                     }});
}

void of_places(std::vector<Hypothesis>& out) {
  for (const Swizzle& row : swizzles())
    out.push_back(edited(
        dequantizing, row.id, row.text,
        [&row](ReaderModel& m, const Case&) {
          m.load_scale = [&row](const formats::BlockScaledTensor& t, std::int64_t r,
                                std::int64_t c) {
            const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
            const std::int64_t at = row.at(g, r, c / g.block_cols);
            return static_cast<std::uint32_t>(
                t.scales[static_cast<std::size_t>(at) % t.scales.size()]);
          };
        },
        [](const kernels::Claim& c) {
          return c.scale_layout == formats::ScaleLayout::swizzled_128x4;
        }));
  cross(out, dequantizing, Stage<ReaderModel>{"codes", "the codes", [](ReaderModel& m) {
                                                return std::vector{codes_of(m.t)};
                                              }});
  cross(out, dequantizing, Stage<ReaderModel>{"scale", "the scale factors", [](ReaderModel& m) {
                                                return std::vector{scales_of(m.t)};
                                              }});
  cross(out, dequantizing,
        scalar<ReaderModel>("tensor_scale", "the tensor scale",
                            [](ReaderModel& m) { return &m.t.tensor_scale; }));
}

void of_values(std::vector<Hypothesis>& out) {
  // A single code of one sign.
  constexpr double values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (std::uint32_t code = 0; code < 16; ++code)
    for (std::uint32_t other = 0; other < 16; ++other)
      if (other != code)
        out.push_back(edited(dequantizing, "code_misdecoded",
                             fmt::format("code {} decodes to {}{:g}, as code {} does", code,
                                         other > 7 ? "-" : "", values[other & 7U], other),
                             [code, other](ReaderModel& m, const Case&) {
                               m.element = [code, other](std::uint32_t c) {
                                 return golden::decode(formats::e2m1, c == code ? other : c);
                               };
                             }));
  for (const ValueEdit& edit : value_edits())
    out.push_back(
        edited(dequantizing, std::string("scale_") + edit.id, said(edit.text, "each scale factor"),
               [&edit](ReaderModel& m, const Case&) {
                 m.factor = [&edit](const Value& s) {
                   const RationalValue x = edited_number(edit, golden::to_rational(s));
                   return x.is_nan()        ? Value::nan()
                          : x.is_infinite() ? Value::infinity(x.negative)
                                            : golden::value_of(x.number.convert_to<double>());
                 };
               }));
}

}  // namespace

std::vector<Hypothesis> generated_of_readers() {
  std::vector<Hypothesis> out;
  of_products(out);
  of_places(out);
  of_values(out);
  return out;
}

}  // namespace assay::proptests::diagnosis
