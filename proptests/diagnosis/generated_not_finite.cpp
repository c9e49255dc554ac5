// SPDX-License-Identifier: Apache-2.0
// NaN and infinities in a quantizer: what they do to their block, to the maxima and to others.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "proptests/diagnosis/quantizer_edits.h"

namespace assay::proptests::diagnosis {
namespace {

using Number = golden::RationalValue;
using Code = std::uint32_t;

/// Which numbers do not spoil their block, what is made of them, and whether infinities count in
/// the amax.
void of_not_finite(std::vector<QuantizerEdit>& out) {
  struct Spoils {
    const char* id;
    const char* text;
    bool (*spoils)(float);
  };
  static constexpr Spoils kinds[] = {
      {"nan_block_lost", "NaN does not spoil its block (infinities do)",
       [](float v) { return std::isinf(v); }},
      {"infinity_block_lost", "infinities do not spoil their block (NaN does)",
       [](float v) { return std::isnan(v); }},
      {"not_finite_block_lost", "neither NaN nor infinities spoil their block",
       [](float) { return false; }},
      {"positive_infinity_lost", "-Inf does not spoil its block",
       [](float v) { return std::isnan(v) || v == INFINITY; }},
      {"negative_infinity_lost", "+Inf does not spoil its block",
       [](float v) { return std::isnan(v) || v == -INFINITY; }},
  };
  struct Becomes {
    const char* text;
    Code (*code)(float x, Code as_it_is);
  };
  static constexpr Becomes becomes[] = {
      {"they become what a saturating conversion makes of them", [](float, Code c) { return c; }},
      {"they become 0", [](float, Code) { return 0U; }},
      {"they become the largest element", [](float, Code) { return 7U; }},
      {"they become the largest element of their sign",
       [](float x, Code) { return std::signbit(x) ? 15U : 7U; }},
      {"they become -6", [](float, Code) { return 15U; }},
      {"they become zeros of their sign", [](float x, Code) { return std::signbit(x) ? 8U : 0U; }},
  };
  for (const Spoils& s : kinds)
    for (const Becomes& b : becomes)
      for (const bool counts : {false, true})
        out.push_back({s.id,
                       std::string(s.text) + "; " + b.text +
                           (counts ? ", and infinities count in the amax" : ""),
                       [&s, &b, counts](QuantizerModel& q, const Case&) {
                         q.spoils = s.spoils;
                         q.code_of_input = [&b](float x, Code c) {
                           return std::isfinite(x) ? c : b.code(x, c);
                         };
                         if (counts) q.counts = [](float v) { return !std::isnan(v); };
                         return true;
                       }});
  for (const Some& which : some())
    for (const bool largest : {true, false})
      out.push_back(
          {std::string("nan_not_seen_") + which.id,
           std::string("NaN and infinities of a block are not looked for in ") + which.text +
               (largest ? "; they become what a saturating conversion makes of them"
                        : "; they become 0"),
           [&which, largest](QuantizerModel& q, const Case&) {
             q.looked_at = [&which, width = q.format.block.cols, cols = q.cols](auto, auto c,
                                                                                auto first) {
               return !which.holds(c - first, std::min(cols - first, width));
             };
             if (!largest)
               q.code_of_input = [](float x, Code c) { return std::isfinite(x) ? c : 0U; };
             return true;
           }});
  out.push_back({"infinity_in_tensor_amax", "infinities count in the amax of the tensor",
                 [](QuantizerModel& q, const Case&) {
                   if (q.format.tensor_scale != formats::TensorScale::fp32) return false;
                   const bool any =
                       std::any_of(q.x.begin(), q.x.end(), [](float v) { return std::isinf(v); });
                   if (any) q.tensor_amax = [](const Number&) { return Number::infinity(false); };
                   return any;
                 }});
  out.push_back({"nan_in_tensor_amax", "NaN counts in the amax of the tensor",
                 [](QuantizerModel& q, const Case&) {
                   if (q.format.tensor_scale != formats::TensorScale::fp32) return false;
                   const bool any =
                       std::any_of(q.x.begin(), q.x.end(), [](float v) { return std::isnan(v); });
                   if (any) q.tensor_amax = [](const Number&) { return Number::nan(); };
                   return any;
                 }});
  for (const Code scale : {0xFFU, 0x7FU, 0x7EU, 0xFEU, 0x80U, 0x38U, 0U, 1U})
    out.push_back({"spoiled_scale_otherwise",
                   fmt::format("the scale factor of a block with NaN or an infinity has the code "
                               "0x{:02X}",
                               scale),
                   [scale](QuantizerModel& q, const Case&) {
                     q.spoiled_scale = scale;
                     return true;
                   }});
  struct Codes {
    const char* text;
    Code (*code)(float);
  };
  static constexpr Codes codes[] = {
      {"codes 7", [](float) { return 7U; }},
      {"codes 15", [](float) { return 15U; }},
      {"codes 7 and 15 by sign", [](float v) { return std::signbit(v) ? 15U : 7U; }},
      {"zeros of their sign", [](float v) { return std::signbit(v) ? 8U : 0U; }},
      {"codes 7 for NaN", [](float v) { return std::isnan(v) ? 7U : 0U; }},
      {"codes 7 for what is not finite", [](float v) { return std::isfinite(v) ? 0U : 7U; }},
  };
  for (const Codes& c : codes)
    out.push_back({"nan_codes_kept",
                   std::string("a block with NaN or an infinity has element ") + c.text,
                   [&c](QuantizerModel& q, const Case&) {
                     q.spoiled_codes = c.code;
                     return true;
                   }});
}

/// A number that is not finite spoils more than its block.
void of_spreading(std::vector<QuantizerEdit>& out) {
  for (const bool row : {true, false})
    out.push_back({"nan_spreads",
                   row ? "NaN or an infinity spoils the whole row"
                       : "NaN or an infinity spoils the whole tensor",
                   [row](QuantizerModel& q, const Case&) {
                     const auto bad = [](float v) { return !std::isfinite(v); };
                     for (std::int64_t r = 0; r < q.rows; ++r) {
                       const auto first = row ? q.x.begin() + r * q.cols : q.x.begin();
                       const auto last = row ? first + q.cols : q.x.end();
                       if (std::any_of(first, last, bad)) std::fill(first, last, NAN);
                     }
                     return true;
                   }});
}

}  // namespace

std::vector<QuantizerEdit> not_finite_edits() {
  std::vector<QuantizerEdit> out;
  of_not_finite(out);
  of_spreading(out);
  return out;
}

}  // namespace assay::proptests::diagnosis
