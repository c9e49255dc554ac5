// SPDX-License-Identifier: Apache-2.0
// What may go wrong in conversions of single numbers to codes.
#include <fmt/format.h>

#include <cmath>

#include "golden/layout.h"
#include "proptests/arena.h"
#include "proptests/diagnosis/fraction.h"
#include "proptests/diagnosis/stages.h"
#include "proptests/properties/convert_expected.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::RoundingMode;
using golden::RationalValue;

// --- Conversions ---------------------------------------------------------------------------

float as_float(const formats::FormatSpec& format, std::uint32_t bits) {
  const golden::Value v = golden::decode(format, bits);
  if (v.is_nan()) return NAN;
  if (v.is_infinite()) return v.negative ? -INFINITY : INFINITY;
  return std::copysign(static_cast<float>(golden::approximate(v.number)),
                       v.negative ? -1.0F : 1.0F);
}

struct ResultEdit {
  const char* id;
  const char* text;
  std::uint32_t (*code)(const formats::FormatSpec& f, const golden::Value& x, std::uint32_t right);
};
bool beyond(const formats::FormatSpec& f, const golden::Value& x) {
  return x.is_infinite() || (x.is_finite() && golden::max_finite(f) < golden::abs(x.number));
}
std::uint32_t signed_code(const formats::FormatSpec& f, std::uint32_t magnitude, bool negative) {
  return golden::with_sign(f, magnitude, negative && golden::sign_mask(f) != 0);
}
std::uint32_t nan_code(const formats::FormatSpec& f, std::uint32_t right, bool negative) {
  return golden::has_nan(f) ? golden::canonical_nan(f, negative && golden::sign_mask(f) != 0)
                            : right;
}
constexpr ResultEdit results[] = {
    {"nan_as_zero", "NaN becomes 0",
     [](const auto&, const auto& x, auto right) { return x.is_nan() ? 0U : right; }},
    {"nan_as_largest", "NaN becomes the largest number",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? golden::max_finite_code(f) : right;
     }},
    {"nan_as_largest", "NaN becomes the largest number of its sign",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? signed_code(f, golden::max_finite_code(f), x.negative) : right;
     }},
    {"nan_sign", "NaN has the other sign",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? right ^ golden::sign_mask(f) : right;
     }},
    {"nan_sign_kept", "the sign of NaN is kept",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() && x.negative ? right | golden::sign_mask(f) : right;
     }},
    {"nan_sign_kept", "the sign of NaN is lost",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? right & ~golden::sign_mask(f) : right;
     }},
    {"nan_as_zero", "NaN becomes a zero of its sign",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? signed_code(f, 0, x.negative) : right;
     }},
    {"nan_as_negative_zero", "NaN becomes -0",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? golden::sign_mask(f) : right;
     }},
    {"nan_as_infinity", "NaN becomes the code of infinity",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() && f.specials == formats::Specials::ieee
                  ? signed_code(f, golden::max_finite_code(f) + 1, x.negative)
                  : right;
     }},
    {"nan_as_largest", "NaN becomes the negative of the largest number",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? signed_code(f, golden::max_finite_code(f), true) : right;
     }},
    {"nan_payload", "NaN has the lowest payload",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() && f.specials == formats::Specials::ieee
                  ? signed_code(f, golden::max_finite_code(f) + 2, x.negative)
                  : right;
     }},
    {"nan_payload", "NaN has all bits set",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? golden::code_mask(f) : right;
     }},
    {"overflow_before_rounding",
     "overflow is decided before the rounding: what would round to the largest number is NaN",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) && golden::magnitude_of(f, right) == golden::max_finite_code(f) &&
                      x.is_finite()
                  ? nan_code(f, right, x.negative)
                  : right;
     }},
    {"overflow_before_rounding",
     "overflow is decided before the rounding: what would round to the largest number is infinite",
     [](const auto& f, const auto& x, auto right) {
       return f.specials == formats::Specials::ieee && beyond(f, x) && x.is_finite()
                  ? signed_code(f, golden::max_finite_code(f) + 1, x.negative)
                  : right;
     }},
    {"saturates_late",
     "overflow is decided one step too late: what rounds to the code behind the largest gets it",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || f.mantissa_bits == 0) return right;
       const golden::Exact top = golden::max_finite(f);
       const golden::Exact step = top + -golden::decode(f, golden::max_finite_code(f) - 1).number;
       const golden::Exact twice = golden::abs(x.number) + golden::abs(x.number);
       const bool next = top + top + step < twice && !(top + top + step + step < twice);
       return next ? signed_code(f, golden::max_finite_code(f) + 1, x.negative) : right;
     }},
    {"overflow_is_nan", "numbers beyond the largest become NaN",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? nan_code(f, right, x.negative) : right;
     }},
    {"infinity_is_nan", "infinities become NaN",
     [](const auto& f, const auto& x, auto right) {
       return x.is_infinite() ? nan_code(f, right, x.negative) : right;
     }},
    {"infinity_as_zero", "infinities become 0",
     [](const auto&, const auto& x, auto right) { return x.is_infinite() ? 0U : right; }},
    {"overflow_saturates", "numbers beyond the largest become the largest",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? signed_code(f, golden::max_finite_code(f), x.negative) : right;
     }},
    {"infinity_saturates", "infinities become the largest number",
     [](const auto& f, const auto& x, auto right) {
       return x.is_infinite() ? signed_code(f, golden::max_finite_code(f), x.negative) : right;
     }},
    {"overflow_is_infinity", "numbers beyond the largest become the code behind it",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? signed_code(f, golden::max_finite_code(f) + 1, x.negative) : right;
     }},
    {"overflow_wraps", "numbers beyond the largest become 0",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? signed_code(f, 0, x.negative) : right;
     }},
    {"saturates_one_low", "the largest code is never given, but the one below",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == golden::max_finite_code(f) ? right - 1 : right;
     }},
    {"subnormals_flushed", "subnormal codes become 0",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t m = golden::magnitude_of(f, right);
       return m < (1U << static_cast<unsigned>(f.mantissa_bits)) ? right - m : right;
     }},
    {"subnormals_flushed", "subnormal codes become +0",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t m = golden::magnitude_of(f, right);
       return m < (1U << static_cast<unsigned>(f.mantissa_bits)) ? 0U : right;
     }},
    {"subnormals_clamped", "subnormal codes become the smallest normal one",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t m = golden::magnitude_of(f, right);
       const std::uint32_t least = 1U << static_cast<unsigned>(f.mantissa_bits);
       return m > 0 && m < least ? right - m + least : right;
     }},
    {"underflow_clamped", "what rounds to 0 becomes the smallest number",
     [](const auto& f, const auto& x, auto right) {
       return !x.is_zero() && golden::magnitude_of(f, right) == 0 ? right + 1 : right;
     }},
    {"sign_lost", "the sign is lost",
     [](const auto& f, const auto&, auto right) { return right & ~golden::sign_mask(f); }},
    {"sign_inverted", "the sign is inverted",
     [](const auto& f, const auto&, auto right) { return right ^ golden::sign_mask(f); }},
    {"underflow_sign_lost", "what rounds to zero loses its sign (-0 keeps it)",
     [](const auto& f, const auto& x, auto right) {
       return golden::magnitude_of(f, right) == 0 && !x.is_zero() ? right & ~golden::sign_mask(f)
                                                                  : right;
     }},
    {"negative_as_nan", "negative numbers become NaN",
     [](const auto& f, const auto& x, auto right) {
       return x.negative && !x.is_zero() && !x.is_nan() ? nan_code(f, right, x.negative) : right;
     }},
    {"zero_as_nan", "zero becomes NaN",
     [](const auto& f, const auto& x, auto right) {
       return x.is_zero() ? nan_code(f, right, x.negative) : right;
     }},
    {"zero_as_smallest", "zero becomes the smallest positive code",
     [](const auto&, const auto& x, auto right) { return x.is_zero() ? right + 1 : right; }},
    {"zero_as_one", "zero becomes 1",
     [](const auto& f, const auto& x, auto right) {
       return x.is_zero() ? golden::encode(f, golden::Value::finite(1), RoundingMode::nearest_even,
                                           golden::policy_of(formats::saturating, f))
                          : right;
     }},
    {"smallest_code_lost", "the smallest code becomes the one above",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == 0 ? right + 1 : right;
     }},
    {"smallest_number_lost", "what rounds to the smallest positive number becomes 0",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == 1 ? right - 1 : right;
     }},
    {"subnormals_flushed",
     "numbers below the smallest normal one become 0, also where they round up",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero()) return right;
       const golden::Exact least =
           golden::decode(f, 1U << static_cast<unsigned>(f.mantissa_bits)).number;
       return golden::abs(x.number) < least ? signed_code(f, 0, x.negative) : right;
     }},
    {"subnormals_truncated", "subnormal codes are truncated",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero()) return right;
       const golden::Exact least =
           golden::decode(f, 1U << static_cast<unsigned>(f.mantissa_bits)).number;
       return golden::abs(x.number) < least
                  ? golden::encode(f, x, RoundingMode::toward_zero,
                                   golden::policy_of(formats::saturating, f))
                  : right;
     }},
    {"source_subnormals_flushed", "subnormal numbers of the source become 0",
     [](const auto& f, const auto& x, auto right) {
       // Of FP16; those of FP32 and bf16 are among the edits of the input.
       if (!x.is_finite() || x.is_zero()) return right;
       return golden::abs(x.number) < golden::Exact::power_of_two(-14)
                  ? signed_code(f, 0, x.negative)
                  : right;
     }},
    {"zero_sign_inverted", "zeros have the other sign",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == 0 ? right ^ golden::sign_mask(f) : right;
     }},
    {"zero_sign_lost", "-0 becomes +0",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == 0 ? 0U : right;
     }},
    {"negative_lost", "negative numbers become 0",
     [](const auto&, const auto& x, auto right) { return x.negative ? 0U : right; }},
    {"carry_lost", "a carry out of the mantissa does not reach the exponent",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero() || f.mantissa_bits == 0) return right;
       const std::uint32_t down = golden::encode(f, x, RoundingMode::toward_zero,
                                                 golden::policy_of(formats::saturating, f));
       const std::uint32_t mantissa = (1U << static_cast<unsigned>(f.mantissa_bits)) - 1;
       return (right & ~mantissa) != (down & ~mantissa) ? down & ~mantissa : right;
     }},
    {"carry_lost", "a mantissa that rounds up to the next exponent stays at its largest",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero() || f.mantissa_bits == 0) return right;
       const std::uint32_t down = golden::encode(f, x, RoundingMode::toward_zero,
                                                 golden::policy_of(formats::saturating, f));
       const std::uint32_t mantissa = (1U << static_cast<unsigned>(f.mantissa_bits)) - 1;
       return (right & ~mantissa) != (down & ~mantissa) ? down : right;
     }},
    {"subnormal_carry_lost",
     "what rounds up from the subnormals to the smallest normal number stays at the largest of "
     "them",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero()) return right;
       const std::uint32_t least = 1U << static_cast<unsigned>(f.mantissa_bits);
       return golden::magnitude_of(f, right) == least &&
                      golden::abs(x.number) < golden::decode(f, least).number
                  ? right - 1
                  : right;
     }},
    {"bias_off", "exponents are one too small",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t step = 1U << static_cast<unsigned>(f.mantissa_bits);
       return golden::magnitude_of(f, right) >= step ? right - step : right;
     }},
    {"bias_off", "exponents are one too large",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t step = 1U << static_cast<unsigned>(f.mantissa_bits);
       return golden::magnitude_of(f, right) + step <= golden::max_finite_code(f) ? right + step
                                                                                  : right;
     }},
    {"magnitude_of_negatives", "negative numbers count as positive",
     [](const auto& f, const auto& x, auto right) {
       if (!x.negative || x.is_nan()) return right;
       return golden::encode(f, -x, RoundingMode::nearest_even,
                             golden::policy_of(formats::saturating, f));
     }},
};

template <class Code>
Hypothesis converting_by(const char* id, const std::string& text, Code code) {
  return edited(converting, id, text, [code](ConvertModel& m, const Case&) { m.code = code; });
}

std::vector<Hypothesis> of_results() {
  std::vector<Hypothesis> out;
  for (const ResultEdit& edit : results)
    out.push_back(
        converting_by(edit.id, edit.text, [&edit](const kernels::Claim& c, std::uint32_t bits) {
          return edit.code(*c.code, golden::decode(*c.output, bits), converted(c, bits));
        }));
  for (const FractionRule& rule : fraction_rules())
    out.push_back(
        converting_by(rule.id, rule.text, [&rule](const kernels::Claim& c, std::uint32_t bits) {
          return rounded_by(rule, *c.code, golden::to_rational(golden::decode(*c.output, bits)),
                            converted(c, bits));
        }));
  for (const ValueEdit& edit : value_edits())
    out.push_back(converting_by(
        (std::string("input_") + edit.id).c_str(), said(edit.text, "the input"),
        [&edit](const kernels::Claim& c, std::uint32_t bits) {
          return golden::encode(*c.code, golden::value_of(edit.value(as_float(*c.output, bits))),
                                c.rounding, golden::policy_of(*c.profile, *c.code));
        }));
  for (Hypothesis& h : generated_of_packing()) out.push_back(std::move(h));
  // Another mode, or profile, than the claimed one.
  for (const auto& [mode, text] :
       {std::pair(RoundingMode::nearest_even, "to nearest, ties to even"),
        {RoundingMode::nearest_away, "to nearest, ties away from zero"},
        {RoundingMode::toward_zero, "toward zero"},
        {RoundingMode::toward_positive, "toward plus infinity"},
        {RoundingMode::toward_negative, "toward minus infinity"},
        {RoundingMode::to_odd, "to odd"}})
    out.push_back(edited(converting, "rounded_otherwise",
                         std::string("numbers are rounded ") + text,
                         [mode](ConvertModel& m, const Case&) {
                           if (m.claim.rounding == mode) return false;
                           m.claim.rounding = mode;
                           return true;
                         }));
  for (const formats::Profile* profile : formats::all_profiles)
    out.push_back(edited(
        converting, "profile_of_another",
        "NaN, infinities and overflow are those of the profile " + std::string(profile->name),
        [profile](ConvertModel& m, const Case&) {
          if (m.claim.profile == profile) return false;
          m.claim.profile = profile;
          return true;
        }));
  cross(out, converting,
        Stage<ConvertModel>{
            "input", "the input",
            [](ConvertModel& m) { return std::vector{grid_of(m.source, m.rows, m.cols)}; }, false,
            false});
  return out;
}

}  // namespace

std::vector<Hypothesis> generated_of_conversions() { return of_results(); }

}  // namespace assay::proptests::diagnosis
