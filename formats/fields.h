// SPDX-License-Identifier: Apache-2.0
#pragma once
// What follows from a FormatSpec by arithmetic: masks, the special codes, and which policies the
// format can express. Shared by the scalar and the array codec.

#include <cstdint>
#include <string_view>

#include "formats/host_device.h"
#include "formats/spec.h"

namespace assay::formats {

/// The numbers of a FormatSpec, by value, so that device code can carry them.
struct Fields {
  int sign_bits;
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool subnormals;
  Specials specials;
  Negatives negatives;

  /// Bits of a code below the sign.
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr int magnitude_bits() const {
    return exponent_bits + mantissa_bits;
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t magnitude_mask() const {
    return (std::uint32_t{1} << magnitude_bits()) - 1;
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t sign_mask() const {
    return sign_bits == 0 ? 0 : std::uint32_t{1} << magnitude_bits();
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t code_mask() const {
    return magnitude_mask() | sign_mask();
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr bool is_twos_complement() const {
    return negatives == Negatives::twos_complement;
  }
  /// The code of the number of that magnitude code with that sign, without it where there is none.
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t with_sign(std::uint32_t magnitude,
                                                                    bool negative) const {
    if (!negative || sign_bits == 0) return magnitude;
    return is_twos_complement() ? (0 - magnitude) & code_mask() : magnitude | sign_mask();
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr bool is_negative(std::uint32_t code) const {
    return (code & sign_mask()) != 0;
  }
  /// The other way round. Two's complement has one code, 2^magnitude_bits(), whose magnitude code
  /// exceeds max_finite().
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t magnitude(std::uint32_t code) const {
    return is_twos_complement() && is_negative(code) ? (0 - code) & code_mask()
                                                     : code & magnitude_mask();
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr bool has_signed_zero() const {
    return sign_bits != 0 && subnormals && !is_twos_complement();
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr bool has_nan() const {
    return specials != Specials::none;
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr bool has_infinity() const {
    return specials == Specials::ieee;
  }
  /// Code of +Inf; for formats without, the code at which the exponent field is all ones.
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t infinity() const {
    return ((std::uint32_t{1} << exponent_bits) - 1) << mantissa_bits;
  }
  /// Code of the largest finite value; larger magnitude codes are specials.
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t max_finite() const {
    if (specials == Specials::none) return magnitude_mask();
    return specials == Specials::ieee ? infinity() - 1 : magnitude_mask() - 1;
  }
  /// The positive quiet NaN with zero payload. Meaningless without has_nan().
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t canonical_nan() const {
    if (specials != Specials::ieee) return magnitude_mask();
    return infinity() | (std::uint32_t{1} << (mantissa_bits - 1));
  }
};

/// In device code: constexpr Fields fields = fields_of(spec), evaluated by the compiler.
ASSAY_HOST_DEVICE constexpr Fields fields_of(const FormatSpec& spec) {
  return {spec.sign_bits,  spec.exponent_bits, spec.mantissa_bits, spec.bias,
          spec.subnormals, spec.specials,      spec.negatives};
}

/// Why `policy` cannot be expressed in the format; empty where it can. UnsignedRule concerns only
/// formats without a sign; in those, NanRule::keep_sign is canonical, for there is no sign to keep.
constexpr std::string_view refusal(const Fields& fields, const Policy& policy) {
  if (policy.overflow == Overflow::to_infinity && !fields.has_infinity()) {
    return "it has no infinity; use Overflow::saturate";
  }
  if (policy.overflow == Overflow::to_nan && !fields.has_nan()) {
    return "it has no NaN to overflow to; use Overflow::saturate";
  }
  const bool nan_code = policy.nan == NanRule::canonical || policy.nan == NanRule::keep_sign ||
                        policy.nan == NanRule::all_ones;
  if (nan_code && !fields.has_nan()) {
    return "it has no NaN; use NanRule::max_finite or NanRule::zero";
  }
  if (policy.nan == NanRule::zero && !fields.subnormals) {
    return "it has no zero; use NanRule::canonical or NanRule::max_finite";
  }
  if (policy.nan == NanRule::opposite_zero && !fields.has_signed_zero()) {
    return "it has no zero with a sign; use NanRule::zero or NanRule::canonical";
  }
  if (fields.sign_bits == 0 && policy.unsigned_rule == UnsignedRule::nan && !fields.has_nan()) {
    return "it has no NaN for negative values; use UnsignedRule::clamp";
  }
  return {};
}

constexpr bool expressible(const FormatSpec& spec, const Policy& policy) {
  return refusal(fields_of(spec), policy).empty();
}

/// Throws std::invalid_argument, naming the format and the way out, unless expressible().
void require_expressible(const FormatSpec& spec, const Policy& policy);

/// Throws std::invalid_argument unless a stochastic rounding has 1..16 random bits.
void require_random_bits(RoundingMode mode, int bits);

/// True where `mode` never increases a magnitude of that sign, so that a finite value which
/// overflows becomes the largest finite value whatever the policy (IEEE 754-2019 section 7.4).
ASSAY_HOST_DEVICE constexpr bool stays_finite(RoundingMode mode, bool negative) {
  return mode == RoundingMode::toward_zero || mode == RoundingMode::to_odd ||
         (mode == RoundingMode::toward_positive && negative) ||
         (mode == RoundingMode::toward_negative && !negative);
}

/// Magnitude code of an overflow, to which the sign of the input is added where the format has one.
ASSAY_HOST_DEVICE constexpr std::uint32_t overflow_magnitude(const Fields& fields,
                                                             Overflow overflow) {
  if (overflow == Overflow::saturate) return fields.max_finite();
  return overflow == Overflow::to_infinity ? fields.infinity() : fields.canonical_nan();
}

/// Code of a NaN input.
ASSAY_HOST_DEVICE constexpr std::uint32_t nan_code(const Fields& fields, NanRule rule,
                                                   bool negative) {
  switch (rule) {
    case NanRule::canonical:
      return fields.canonical_nan();
    case NanRule::keep_sign:
      return fields.with_sign(fields.canonical_nan(), negative);
    case NanRule::all_ones:
      return fields.magnitude_mask();
    case NanRule::max_finite:
      return fields.max_finite();
    case NanRule::opposite_zero:
      return fields.with_sign(0, !negative);
    case NanRule::zero:
      break;
  }
  return 0;
}

}  // namespace assay::formats
