// SPDX-License-Identifier: Apache-2.0
#pragma once
// The scalar codec: one integer algorithm on sign, 64-bit significand and exponent for every
// format, source and rounding mode, so nothing is ever rounded twice. constexpr; host and device.
//
//   encode(e4m3, 0.3F, RoundingMode::nearest_even, policy)   a format known at run time
//   E4m3::encode(0.3F).to_float()                            a format known at compile time
//
// Errors: std::invalid_argument for a policy that the format cannot express and for stochastic
// rounding without 1..16 random bits (host; on a device these are preconditions).

#include <cstdint>

#include "formats/fields.h"
#include "formats/host_device.h"
#include "formats/names.h"
#include "formats/spec.h"

namespace assay::formats {

/// The random bits of one stochastic rounding: an integer word in [0, 2^bits).
struct Random {
  int bits = 0;
  std::uint32_t word = 0;
};

/// (-1)^negative * significand * 2^exponent, or an infinity or NaN with its sign.
struct Unpacked {
  enum class Kind : std::uint8_t { finite, infinite, nan };
  Kind kind = Kind::finite;
  bool negative = false;
  std::uint64_t significand = 0;
  int exponent = 0;
};

namespace detail {

ASSAY_HOST_DEVICE constexpr int bit_width(std::uint64_t x) {
  int width = 0;
  for (int step = 32; step > 0; step /= 2) {
    if ((x >> step) != 0) {
      x >>= step;
      width += step;
    }
  }
  return width + (x != 0 ? 1 : 0);
}

/// x >> shift for any shift >= 0.
ASSAY_HOST_DEVICE constexpr std::uint64_t shift_right(std::uint64_t x, int shift) {
  return shift < 64 ? x >> shift : 0;
}

/// An interchange format of IEEE 754 with `m` fraction and `w` exponent bits.
ASSAY_HOST_DEVICE constexpr Unpacked unpack_ieee(std::uint64_t bits, int m, int w) {
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << m) - 1);
  const int field = static_cast<int>((bits >> m) & ((std::uint64_t{1} << w) - 1));
  const bool negative = ((bits >> (m + w)) & 1) != 0;
  if (field == (1 << w) - 1) {
    return {fraction != 0 ? Unpacked::Kind::nan : Unpacked::Kind::infinite, negative, 0, 0};
  }
  const int bias = (1 << (w - 1)) - 1;
  const std::uint64_t hidden = field == 0 ? 0 : std::uint64_t{1} << m;
  return {Unpacked::Kind::finite, negative, fraction | hidden, (field == 0 ? 1 : field) - bias - m};
}

/// Whether the magnitude goes up to the next code. `rest` are the `shift` discarded bits (shift >=
/// 1; rest < 2^min(shift, 64)), `odd` the last kept bit of the code.
ASSAY_HOST_DEVICE constexpr bool rounds_up(std::uint64_t rest, int shift, bool odd, bool negative,
                                           RoundingMode mode, Random random) {
  // Beyond 64 the half, 2^(shift-1) >= 2^64, exceeds every rest.
  const std::uint64_t half = shift <= 64 ? std::uint64_t{1} << (shift - 1) : 0;
  const bool above = half != 0 && rest > half;
  const bool tie = half != 0 && rest == half;
  switch (mode) {
    case RoundingMode::nearest_even:
      return above || (tie && odd);
    case RoundingMode::nearest_away:
      return above || tie;
    case RoundingMode::toward_zero:
      return false;
    case RoundingMode::toward_positive:
      return rest != 0 && !negative;
    case RoundingMode::toward_negative:
      return rest != 0 && negative;
    case RoundingMode::to_odd:
      return rest != 0 && !odd;
    case RoundingMode::stochastic:
      break;
  }
  // floor(f 2^n), f = rest / 2^shift.
  const std::uint64_t f =
      shift >= random.bits ? shift_right(rest, shift - random.bits) : rest << (random.bits - shift);
  return f + random.word >= (std::uint64_t{1} << random.bits);
}

/// Rounds a nonzero magnitude to a magnitude code with the exponent range unbounded above: the
/// codes of a format are contiguous, so rounding up is adding one, over binade borders and past the
/// largest finite code alike. Saturates the code at 2^31, far above every format but FP32's, whose
/// specials begin below it.
ASSAY_HOST_DEVICE constexpr std::uint32_t round_magnitude(const Fields& fields, const Unpacked& x,
                                                          RoundingMode mode, Random random) {
  const int top = x.exponent + bit_width(x.significand) - 1;  // floor(log2 |x|)
  const int field = top + fields.bias;
  if (!fields.subnormals && field < 0) return 0;  // E8M0: no zero to underflow to, in any mode
  const int m = fields.mantissa_bits;
  const int lowest = fields.subnormals ? 1 : 0;
  if (field > (1 << fields.exponent_bits)) return std::uint32_t{1} << 31;
  const int binade = field > lowest ? field : lowest;
  const int shift = binade - fields.bias - m - x.exponent;  // x in units of the last place, 2^shift
  const std::uint64_t kept =
      shift <= 0 ? x.significand << -shift : shift_right(x.significand, shift);
  // A normal `kept` carries the hidden bit, which is worth one step of the exponent field.
  const auto code = static_cast<std::uint32_t>((static_cast<std::uint64_t>(binade) << m) + kept -
                                               (std::uint64_t{1} << m));
  if (shift <= 0) return code;
  const std::uint64_t rest =
      shift < 64 ? x.significand & ((std::uint64_t{1} << shift) - 1) : x.significand;
  return code + (rounds_up(rest, shift, (code & 1) != 0, x.negative, mode, random) ? 1 : 0);
}

ASSAY_HOST_DEVICE constexpr std::uint32_t encode_unpacked(const Fields& fields, Unpacked x,
                                                          RoundingMode mode, const Policy& policy,
                                                          Random random) {
  if (x.kind == Unpacked::Kind::nan) return nan_code(fields, policy.nan, x.negative);
  const bool zero = x.kind == Unpacked::Kind::finite && x.significand == 0;
  if (fields.sign_bits == 0) {
    const bool unreachable = (x.negative && !zero) || (zero && !fields.subnormals);
    if (policy.unsigned_rule == UnsignedRule::nan && unreachable) return fields.canonical_nan();
    if (policy.unsigned_rule == UnsignedRule::clamp && x.negative) return 0;
    x.negative = false;
  }
  std::uint32_t magnitude = overflow_magnitude(fields, policy.overflow);
  if (x.kind == Unpacked::Kind::finite) {
    const std::uint32_t code = zero ? 0 : round_magnitude(fields, x, mode, random);
    if (code <= fields.max_finite()) {
      magnitude = code;
    } else if (stays_finite(mode, x.negative)) {
      magnitude = fields.max_finite();
    }
  }
  return fields.with_sign(magnitude, x.negative);
}

ASSAY_HOST_DEVICE constexpr std::uint32_t decode_to_f32_bits(const Fields& fields,
                                                             std::uint32_t code) {
  const std::uint32_t magnitude = fields.magnitude(code);
  const std::uint32_t sign = fields.is_negative(code) ? std::uint32_t{1} << 31 : 0;
  if (magnitude > fields.max_finite() && fields.has_nan()) {
    const bool infinite = fields.has_infinity() && magnitude == fields.infinity();
    return sign | (infinite ? 0x7F800000U : 0x7FC00000U);
  }
  const int m = fields.mantissa_bits;
  const int field = static_cast<int>(magnitude >> m);
  const bool subnormal = fields.subnormals && field == 0;
  std::uint32_t significand = magnitude & ((std::uint32_t{1} << m) - 1);
  if (!subnormal) significand |= std::uint32_t{1} << m;
  if (significand == 0) return sign;
  // The value is significand * 2^exponent; align its top bit with bit 23 of an FP32 significand.
  const int exponent = (subnormal ? 1 : field) - fields.bias - m;
  const int top = exponent + bit_width(significand) - 1;
  const int binade = top > -126 ? top : -126;
  const std::uint32_t aligned = significand << (exponent - (binade - 23));
  return sign | ((static_cast<std::uint32_t>(binade + 127) << 23) + aligned - (1U << 23));
}

}  // namespace detail

ASSAY_HOST_DEVICE constexpr Unpacked unpack(float x) {
  return detail::unpack_ieee(__builtin_bit_cast(std::uint32_t, x), 23, 8);
}
ASSAY_HOST_DEVICE constexpr Unpacked unpack(double x) {
  return detail::unpack_ieee(__builtin_bit_cast(std::uint64_t, x), 52, 11);
}
/// The value of a BF16 or FP16 code, as a source of a conversion.
ASSAY_HOST_DEVICE constexpr Unpacked unpack_bf16(std::uint16_t code) {
  return detail::unpack_ieee(code, 7, 8);
}
ASSAY_HOST_DEVICE constexpr Unpacked unpack_fp16(std::uint16_t code) {
  return detail::unpack_ieee(code, 10, 5);
}

/// The code of `x` in the format, rounded once. With a profile, take the policy of profile_row(),
/// and for FP64 sources its nan_from_f64 (policy_for_f64()).
constexpr std::uint32_t encode(const FormatSpec& spec, const Unpacked& x, RoundingMode mode,
                               const Policy& policy, Random random = {}) {
  if (!expressible(spec, policy)) require_expressible(spec, policy);
  if (mode == RoundingMode::stochastic && (random.bits < 1 || random.bits > 16)) {
    require_random_bits(mode, random.bits);
  }
  return detail::encode_unpacked(fields_of(spec), x, mode, policy, random);
}
constexpr std::uint32_t encode(const FormatSpec& spec, float x, RoundingMode mode,
                               const Policy& policy, Random random = {}) {
  return encode(spec, unpack(x), mode, policy, random);
}
constexpr std::uint32_t encode(const FormatSpec& spec, double x, RoundingMode mode,
                               const Policy& policy, Random random = {}) {
  return encode(spec, unpack(x), mode, policy, random);
}

/// The value of a code: exact, for every format here is a subset of FP32. NaN codes give the quiet
/// FP32 NaN with zero payload and the code's sign.
constexpr float decode(const FormatSpec& spec, std::uint32_t code) {
  return __builtin_bit_cast(float, detail::decode_to_f32_bits(fields_of(spec), code));
}

/// A code of a format known at compile time.
template <const FormatSpec& spec>
struct Code {
  std::uint32_t bits = 0;

  template <class Source>
  ASSAY_HOST_DEVICE static constexpr Code encode(
      Source x, RoundingMode mode = RoundingMode::nearest_even,
      const Policy& policy = profile_row(saturating, spec).policy, Random random = {}) {
    constexpr Fields fields = fields_of(spec);
#ifndef __CUDA_ARCH__
    if (!expressible(spec, policy)) require_expressible(spec, policy);
    if (mode == RoundingMode::stochastic && (random.bits < 1 || random.bits > 16)) {
      require_random_bits(mode, random.bits);
    }
#endif
    return {detail::encode_unpacked(fields, unpack(x), mode, policy, random)};
  }
  [[nodiscard]] ASSAY_HOST_DEVICE constexpr float to_float() const {
    constexpr Fields fields = fields_of(spec);
    return __builtin_bit_cast(float, detail::decode_to_f32_bits(fields, bits));
  }
  friend constexpr bool operator==(Code, Code) = default;
};

using E2m1 = Code<e2m1>;
using E2m3 = Code<e2m3>;
using E3m2 = Code<e3m2>;
using E4m3 = Code<e4m3>;
using E5m2 = Code<e5m2>;
using Ue4m3 = Code<ue4m3>;
using E8m0 = Code<e8m0>;
using Int4 = Code<int4>;
using E5m6 = Code<e5m6>;
using Bf16 = Code<bf16>;
using Fp16 = Code<fp16>;
using Tf32 = Code<tf32>;
using Fp32 = Code<fp32>;

}  // namespace assay::formats
