// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/decodes.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::FormatSpec;
using golden::Exact;
using golden::Value;

unsigned mantissa_bits(const FormatSpec& f) { return static_cast<unsigned>(f.mantissa_bits); }
std::uint32_t mantissa(const FormatSpec& f, std::uint32_t code) {
  return golden::magnitude_of(f, code) & ((1U << mantissa_bits(f)) - 1);
}
std::uint32_t exponent(const FormatSpec& f, std::uint32_t code) {
  return golden::magnitude_of(f, code) >> mantissa_bits(f);
}
std::uint32_t top_exponent(const FormatSpec& f) {
  return golden::magnitude_mask(f) >> mantissa_bits(f);
}
bool subnormal(const FormatSpec& f, std::uint32_t code) {
  return f.mantissa_bits > 0 && exponent(f, code) == 0 && mantissa(f, code) != 0;
}
bool negative(const FormatSpec& f, std::uint32_t code) {
  return (code & golden::sign_mask(f)) != 0;
}
Value with_sign(const FormatSpec& f, std::uint32_t code, const Value& magnitude) {
  return negative(f, code) ? -magnitude : magnitude;
}
Value right(const FormatSpec& f, std::uint32_t code) { return golden::decode(f, code); }
/// By the formula of normal numbers, whatever the code means.
Value by_formula(const FormatSpec& f, std::uint32_t code) {
  const Exact significand = Exact((1 << mantissa_bits(f)) + static_cast<int>(mantissa(f, code)));
  return with_sign(
      f, code,
      Value::finite(significand * Exact::power_of_two(static_cast<int>(exponent(f, code)) - f.bias -
                                                      f.mantissa_bits)));
}
/// Zero where the exponent field is all zeros.
Value zeros_below(const FormatSpec& f, std::uint32_t code) {
  return exponent(f, code) == 0 ? with_sign(f, code, Value::zero(false)) : right(f, code);
}

constexpr Decode rows[] = {
    {"subnormals_flushed", "subnormal {} decode to 0",
     [](const auto& f, auto c) {
       return subnormal(f, c) ? with_sign(f, c, Value::zero(false)) : right(f, c);
     }},
    {"subnormals_as_normal", "subnormal {} are decoded by the normal formula",
     [](const auto& f, auto c) { return subnormal(f, c) ? by_formula(f, c) : right(f, c); }},
    {"exponent_zero_as_normal",
     "{} with the exponent field 0 are decoded by the normal formula, 0 too",
     [](const auto& f, auto c) {
       return f.mantissa_bits > 0 && exponent(f, c) == 0 ? by_formula(f, c) : right(f, c);
     }},
    {"smallest_code_is_zero", "the code 0 of {} decodes to 0",
     [](const auto& f, auto c) { return f.mantissa_bits == 0 ? zeros_below(f, c) : right(f, c); }},
    {"range_ends_by_shift", "the codes 0 and 255 of {} are shifted into FP32: 0 and infinity",
     [](const auto& f, auto c) {
       if (f.mantissa_bits != 0) return right(f, c);
       return c == 255 ? Value::infinity(false) : zeros_below(f, c);
     }},
    {"nan_is_zero", "NaN codes of {} decode to 0",
     [](const auto& f, auto c) {
       const Value v = right(f, c);
       return v.is_nan() ? Value::zero(false) : v;
     }},
    {"nan_is_one", "NaN codes of {} decode to 1",
     [](const auto& f, auto c) {
       const Value v = right(f, c);
       return v.is_nan() ? Value::finite(1) : v;
     }},
    {"nan_is_number", "NaN codes of {} decode to the number that their bits would be",
     [](const auto& f, auto c) { return right(f, c).is_nan() ? by_formula(f, c) : right(f, c); }},
    {"nan_is_largest", "NaN codes of {} decode to the largest number",
     [](const auto& f, auto c) {
       return right(f, c).is_nan() ? with_sign(f, c, right(f, golden::max_finite_code(f)))
                                   : right(f, c);
     }},
    {"nan_is_infinity", "NaN codes of {} decode to infinity",
     [](const auto& f, auto c) {
       return right(f, c).is_nan() ? with_sign(f, c, Value::infinity(false)) : right(f, c);
     }},
    {"top_exponent_special", "{} with the largest exponent field decode to infinity or NaN",
     [](const auto& f, auto c) {
       if (f.mantissa_bits == 0 || exponent(f, c) != top_exponent(f)) return right(f, c);
       return mantissa(f, c) == 0 ? with_sign(f, c, Value::infinity(false)) : Value::nan();
     }},
    {"largest_is_nan", "the largest {} decode to NaN",
     [](const auto& f, auto c) {
       return golden::magnitude_of(f, c) == golden::max_finite_code(f) ? Value::nan() : right(f, c);
     }},
    {"limited", "{} stop at half of the largest",
     [](const auto& f, auto c) {
       const Value v = right(f, c);
       const Value top =
           right(f, golden::max_finite_code(f)) * Value::finite(Exact::power_of_two(-1));
       return v.is_finite() && golden::less(top, v.negative ? -v : v) ? with_sign(f, c, top) : v;
     }},
    {"bias_off", "{} are twice what they should be",
     [](const auto& f, auto c) { return right(f, c) * Value::finite(2); }},
    {"bias_off", "{} are half of what they should be",
     [](const auto& f, auto c) { return right(f, c) * Value::finite(Exact::power_of_two(-1)); }},
    {"mantissa_dropped", "the mantissa of {} is dropped",
     [](const auto& f, auto c) {
       const Value v = right(f, c);
       return v.is_nan() ? v : right(f, c - mantissa(f, c));
     }},
    {"last_bit_dropped", "the last bit of {} is dropped",
     [](const auto& f, auto c) {
       const Value v = right(f, c);
       return v.is_nan() ? v : right(f, c & ~1U);
     }},
    {"sign_lost", "the sign of {} is lost",
     [](const auto& f, auto c) { return right(f, golden::magnitude_of(f, c)); }},
    {"sign_inverted", "the sign of {} is inverted",
     [](const auto& f, auto c) { return -right(f, c); }},
    {"negative_lost", "negative {} decode to 0",
     [](const auto& f, auto c) { return negative(f, c) ? Value::zero(false) : right(f, c); }},
    {"seven_bits", "the top bit of {} is lost",
     [](const auto& f, auto c) { return right(f, c & 0x7FU); }},
    {"as_integer", "{} are read as whole numbers",
     [](const auto&, auto c) { return Value::finite(static_cast<std::int64_t>(c)); }},
    {"as_signed_integer", "{} are read as whole numbers with a sign",
     [](const auto&, auto c) {
       return Value::finite(static_cast<std::int64_t>(static_cast<std::int8_t>(c)));
     }},
};

}  // namespace

std::span<const Decode> decodes() { return rows; }

}  // namespace assay::proptests::diagnosis
