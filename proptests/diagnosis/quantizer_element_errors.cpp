// SPDX-License-Identifier: Apache-2.0
// The known errors of quantizers: elements, their codes, and numbers that are not finite.
#include <algorithm>
#include <cmath>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_model.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using formats::OpCode;
using formats::RoundingMode;
using golden::RationalValue;
using Model = QuantizerModel;

std::uint32_t sign_of(const RationalValue& x) { return x.negative ? 8U : 0U; }

/// Codes by a rule for numbers between two codes: true takes the higher magnitude.
auto by_rule(bool (*higher)(const Neighbours&, bool negative)) {
  return [higher](Model& m) {
    m.code = [higher, element = m.format.element](const RationalValue& x, std::uint32_t right) {
      if (x.is_nan()) return right;
      const Neighbours n = neighbours(*element, x);
      return (n.low != n.high && higher(n, x.negative) ? n.high : n.low) | sign_of(x);
    };
  };
}

/// Numbers pass through another format before they are rounded.
auto element_through(const formats::FormatSpec& format, RoundingMode mode) {
  return [&format, mode](Model& m) {
    m.scaled = [&format, mode](const RationalValue& x) {
      return x.is_finite() ? rounded_to(format, mode, x) : x;
    };
  };
}
/// fp16 truncation that keeps magnitudes outside fp16's normal range, as a cast by masking does.
auto element_masked_to_fp16(Model& m) {
  m.scaled = [](const RationalValue& x) {
    constexpr formats::FormatSpec wide{"fp16 significand",      32, 1, 8, 10, 127, true,
                                       formats::Specials::ieee, ""};
    if (!x.is_finite()) return x;
    return golden::to_rational(golden::decode(
        wide, golden::encode(wide, x, RoundingMode::toward_zero,
                             {formats::Overflow::saturate, formats::NanRule::canonical,
                              formats::UnsignedRule::clamp})));
  };
}
auto input_through(const formats::FormatSpec& format) {
  return [&format](Model& m) {
    for (float& x : m.x)
      if (std::isfinite(x)) {
        const RationalValue v = rounded_to(format, RoundingMode::nearest_even,
                                           golden::to_rational(golden::value_of(x)));
        x = v.is_infinite() ? (v.negative ? -INFINITY : INFINITY)
                            : std::copysign(static_cast<float>(v.number.convert_to<double>()), x);
      }
  };
}
void zero_block_codes(Model& m, std::uint32_t code_for_zero) {
  // 0 / 0 in the element phase: what the order protects with if_zero is left bare.
  std::erase_if(m.element_order, [](const auto& o) { return o.op == OpCode::if_zero; });
  m.code = [code_for_zero](const RationalValue& x, std::uint32_t right) {
    return x.is_nan() ? code_for_zero : right;
  };
}

}  // namespace

std::vector<QuantizerError> element_errors() {
  return {
      // Rounding of elements.
      {"ties_away", "midpoints round away from zero instead of to the even code",
       by_rule([](const Neighbours& n, bool) { return n.side >= 0; })},
      {"ties_to_zero", "midpoints round toward zero instead of to the even code",
       by_rule([](const Neighbours& n, bool) { return n.side > 0; })},
      {"ties_up", "midpoints round toward plus infinity instead of to the even code",
       by_rule([](const Neighbours& n, bool negative) {
         return n.side > 0 || (n.side == 0 && !negative);
       })},
      {"ties_down", "midpoints round toward minus infinity instead of to the even code",
       by_rule([](const Neighbours& n, bool negative) {
         return n.side > 0 || (n.side == 0 && negative);
       })},
      {"ties_to_odd", "midpoints round to the odd code", by_rule([](const Neighbours& n, bool) {
         return n.side > 0 || (n.side == 0 && n.high % 2 == 1);
       })},
      {"elements_truncated", "elements are truncated instead of rounded",
       by_rule([](const Neighbours&, bool) { return false; })},
      {"elements_rounded_up", "elements round away from zero wherever they are inexact",
       by_rule([](const Neighbours&, bool) { return true; })},
      {"elements_ceiled", "elements round toward plus infinity",
       by_rule([](const Neighbours&, bool negative) { return !negative; })},
      {"elements_floored", "elements round toward minus infinity",
       by_rule([](const Neighbours&, bool negative) { return negative; })},
      {"double_rounding_bf16", "elements are rounded to bf16 before they are rounded",
       element_through(formats::bf16, RoundingMode::nearest_even)},
      {"double_rounding_fp16", "elements pass through fp16 before they are rounded",
       element_masked_to_fp16},
      {"double_rounding_fp16", "elements are rounded to fp16 before they are rounded",
       element_through(formats::fp16, RoundingMode::nearest_even)},
      {"double_rounding_fp16", "elements are truncated to fp16 before they are rounded",
       element_through(formats::fp16, RoundingMode::toward_zero)},
      {"double_rounding_e4m3", "elements are rounded to E4M3 before they are rounded",
       [](Model& m) {
         m.scaled = [](const RationalValue& x) {
           if (!x.is_finite()) return x;
           return golden::to_rational(golden::decode(
               formats::e4m3,
               golden::encode(formats::e4m3, x, RoundingMode::nearest_even,
                              golden::policy_of(formats::saturating, formats::e4m3))));
         };
       }},
      {"input_rounded_bf16", "the input is rounded to bf16 before anything else",
       input_through(formats::bf16)},
      {"input_rounded_fp16", "the input is rounded to fp16 before anything else",
       input_through(formats::fp16)},
      // Codes.
      {"element_subnormal_flushed", "the code 0.5 is never produced: what rounds to it becomes 0",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) { return (c & 7U) == 1 ? c & 8U : c; };
       }},
      {"element_subnormal_flushed", "elements below 1 become 0",
       [](Model& m) {
         m.code = [](const RationalValue& x, std::uint32_t c) {
           return x.is_finite() && x.number > -1 && x.number < 1 ? c & 8U : c;
         };
       }},
      {"negative_zero_lost", "-0, and what rounds to it, becomes +0",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) { return c == 8 ? 0 : c; };
       }},
      {"sign_lost", "the sign of elements is lost",
       [](Model& m) { m.code = [](const RationalValue&, std::uint32_t c) { return c & 7U; }; }},
      {"sign_inverted", "the sign of elements is inverted",
       [](Model& m) { m.code = [](const RationalValue&, std::uint32_t c) { return c ^ 8U; }; }},
      {"saturation_missing", "magnitudes beyond the largest code wrap instead of saturating",
       [](Model& m) {
         m.code = [](const RationalValue& x, std::uint32_t c) {
           return x.is_infinite() || x.number >= 7 || x.number <= -7 ? c & 8U : c;
         };
       }},
      {"saturation_missing", "magnitudes that round beyond the largest code wrap to zero",
       [](Model& m) {
         m.code = [](const RationalValue& x, std::uint32_t c) {
           return x.is_infinite() || x.number >= 8 || x.number <= -8 ? c & 8U : c;
         };
       }},
      {"saturates_at_four", "magnitudes beyond 4 saturate at 4",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) { return (c & 7U) == 7 ? c - 1 : c; };
       }},
      {"codes_twos_complement", "negative codes are stored in two's complement",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) {
           return (c & 8U) != 0 ? (16U - (c & 7U)) & 15U : c;
         };
       }},
  };
}

std::vector<QuantizerError> special_errors() {
  return {
      // Special numbers.
      {"zero_block_not_a_number", "a zero block divides 0 by 0, and the NaN becomes a code",
       [](Model& m) { zero_block_codes(m, 7); }},
      {"zero_block_not_a_number", "a zero block divides 0 by 0, and the NaN becomes a code",
       [](Model& m) {
         m.scaled = [](const RationalValue& x) { return x; };
         zero_block_codes(m, 15);
       }},
      {"nan_block_lost", "a NaN element does not spoil its block; it becomes a number",
       [](Model& m) { m.spoil_blocks = false; }},
      {"nan_block_lost", "a NaN element becomes 0",
       [](Model& m) {
         m.spoil_blocks = false;
         for (float& x : m.x)
           if (std::isnan(x)) x = 0.0F;
       }},
      {"nan_block_lost", "NaN and infinite elements become 0",
       [](Model& m) {
         m.spoil_blocks = false;
         for (float& x : m.x)
           if (!std::isfinite(x)) x = 0.0F;
       }},
      {"infinity_clamped",
       "an infinity becomes the largest FP32 number instead of spoiling its block",
       [](Model& m) {
         for (float& x : m.x)
           if (std::isinf(x)) x = std::copysign(0x1.fffffep127F, x);
       }},
      {"nan_codes_kept", "a spoiled block keeps element codes",
       [](Model& m) {
         m.spoil_blocks = false;
         m.store = [x = m.x](BlockScaledTensor& t) {
           const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
           for (std::int64_t i = 0; i < t.rows * t.cols; ++i)
             if (!std::isfinite(x[i]))
               golden::store_scale(t, i / t.cols, i % t.cols / grid.block_cols,
                                   golden::canonical_nan(*t.format->scale));
         };
       }},
      {"input_subnormals_flushed", "subnormal inputs count as zero",
       [](Model& m) {
         for (float& x : m.x)
           if (std::fabs(x) < 0x1p-126F) x = std::copysign(0.0F, x);
       }},
  };
}

}  // namespace assay::proptests::diagnosis
