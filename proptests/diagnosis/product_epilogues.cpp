// SPDX-License-Identifier: Apache-2.0
// What may go wrong in the epilogue of a product, at each of its intermediate results.
#include <cmath>

#include "proptests/arena.h"
#include "proptests/diagnosis/product_rows.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;
using golden::Value;
using Number = RationalValue;

/// An intermediate result of the epilogue, and the order of additions that has it.
struct Intermediate {
  const char* id;
  const char* text;
  Number (*of)(const ValueEdit& edit, const Number& s, const Number& c, const Number& bias);
};
constexpr Intermediate intermediates[] = {
    {"scaled_sum", "the scaled sum, before beta C and the bias are added,",
     [](const auto& e, const auto& s, const auto& c, const auto& b) {
       return edited_value(e, s) + c + b;
     }},
    {"beta_c", "beta C",
     [](const auto& e, const auto& s, const auto& c, const auto& b) {
       return s + edited_value(e, c) + b;
     }},
    {"sum_with_c", "the scaled sum with beta C, before the bias is added,",
     [](const auto& e, const auto& s, const auto& c, const auto& b) {
       return edited_value(e, s + c) + b;
     }},
    {"sum_with_bias", "the scaled sum with the bias, before beta C is added,",
     [](const auto& e, const auto& s, const auto& c, const auto& b) {
       return edited_value(e, s + b) + c;
     }},
    {"addends", "beta C with the bias, before they meet the sum,",
     [](const auto& e, const auto& s, const auto& c, const auto& b) {
       return s + edited_value(e, c + b);
     }},
    {"result", "the result before its rounding",
     [](const auto& e, const auto& s, const auto& c, const auto& b) {
       return edited_value(e, s + c + b);
     }},
};

/// The bias or C, once for each part of k, or a number of times.
void repeated(std::vector<ProductRow>& out, bool bias) {
  const std::string what = bias ? "the bias" : "beta C";
  const std::string id = bias ? "bias" : "c";
  const auto times = [bias](ProductModel& p, float n) {
    if (bias ? p.bias.empty() : p.beta == 0.0F) return false;
    if (!bias) p.beta *= n;
    for (float& x : p.bias)
      if (bias) x *= n;
    return n != 1.0F;
  };
  for (const int n : {3, 4, 8, 16})
    out.push_back({id + "_repeated", what + " is added " + std::to_string(n) + " times",
                   [times, n](ProductModel& p) { return times(p, static_cast<float>(n)); }});
  for (const std::int64_t tile : {16, 32, 64, 128, 256, 512})
    out.push_back({id + "_repeated",
                   what + " is added once for each " + std::to_string(tile) + " along k",
                   [times, tile](ProductModel& p) {
                     return times(p, static_cast<float>((p.k + tile - 1) / tile));
                   }});
}

/// The tensor scales or all factors multiply an addend too.
struct Factors {
  const char* id;
  const char* text;
  float (*of)(const ProductModel& p);
};
float ga(const ProductModel& p) { return p.a ? p.a->t.tensor_scale : 1.0F; }
constexpr Factors factors[] = {
    {"scaled_by_tensor_scales", "the tensor scales",
     [](const ProductModel& p) { return ga(p) * p.b.t.tensor_scale; }},
    {"scaled_by_tensor_scales", "the tensor scale of A", ga},
    {"scaled_by_tensor_scales", "the tensor scale of B",
     [](const ProductModel& p) { return p.b.t.tensor_scale; }},
    {"scaled_by_all_factors", "alpha and the tensor scales",
     [](const ProductModel& p) { return p.alpha * ga(p) * p.b.t.tensor_scale; }},
};

}  // namespace

Value edited_value(const ValueEdit& edit, const Value& x) {
  const float v = x.is_nan()        ? NAN
                  : x.is_infinite() ? (x.negative ? -INFINITY : INFINITY)
                  : x.is_zero()     ? (x.negative ? -0.0F : 0.0F)
                                    : static_cast<float>(golden::approximate(x.number));
  return golden::value_of(edit.value(v));
}
Number edited_value(const ValueEdit& edit, const Number& x) {
  const float v = x.is_nan()        ? NAN
                  : x.is_infinite() ? (x.negative ? -INFINITY : INFINITY)
                  : x.is_zero()     ? (x.negative ? -0.0F : 0.0F)
                                    : static_cast<float>(x.number.convert_to<double>());
  // What the edit leaves alone stays exact.
  const float now = edit.value(v);
  return now == v || (std::isnan(now) && std::isnan(v))
             ? x
             : golden::to_rational(golden::value_of(now));
}

std::vector<ProductRow> epilogue_rows() {
  std::vector<ProductRow> out;
  for (const Intermediate& at : intermediates)
    for (const ValueEdit& edit : value_edits()) {
      if (edit.factor) continue;
      out.push_back({std::string(at.id) + "_" + edit.id, said(edit.text, at.text),
                     [&at, &edit](ProductModel& p) {
                       p.finish = [&at, &edit](const Number& s, const Number& c, const Number& b) {
                         return at.of(edit, s, c, b);
                       };
                       return true;
                     }});
    }
  repeated(out, true);
  repeated(out, false);
  for (const Factors& f : factors)
    for (const bool bias : {true, false})
      out.push_back({std::string(bias ? "bias_" : "c_") + f.id,
                     std::string(f.text) + " multiply " + (bias ? "the bias" : "beta C") + " too",
                     [&f, bias](ProductModel& p) {
                       const float factor = f.of(p);
                       if (factor == 1.0F || (bias ? p.bias.empty() : p.beta == 0.0F)) return false;
                       if (!bias) p.beta *= factor;
                       for (float& x : p.bias)
                         if (bias) x *= factor;
                       return true;
                     }});
  out.push_back(
      {"zero_alpha_skips", "the product is left out where alpha is 0", [](ProductModel& p) {
         if (p.alpha != 0.0F) return false;
         p.finish = [](const Number&, const Number& c, const Number& b) { return c + b; };
         return true;
       }});
  out.push_back(
      {"c_is_output", "what the output held stands for C", [](ProductModel& p) {
         if (p.beta == 0.0F) return false;
         const std::uint32_t bits =
             first_run.poison * (p.claim.output == &formats::bf16 ? 0x0101U : 0x01010101U);
         const Value there = golden::decode(*p.claim.output, bits);
         std::fill(p.c.begin(), p.c.end(), static_cast<float>(golden::approximate(there.number)));
         return true;
       }});
  out.push_back({"c_weight_one_minus_alpha", "C is weighted by 1 - alpha", [](ProductModel& p) {
                   if (p.beta == 0.0F) return false;
                   p.beta = 1.0F - p.alpha;
                   return true;
                 }});
  out.push_back(
      {"bias_also_without_product", "beta multiplies C and the bias", [](ProductModel& p) {
         if (p.beta == 0.0F || p.bias.empty()) return false;
         for (float& x : p.bias) x *= p.beta;
         return true;
       }});
  return out;
}

}  // namespace assay::proptests::diagnosis
