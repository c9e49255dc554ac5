// SPDX-License-Identifier: Apache-2.0
#pragma once
// One conversion from FP32 as a handful of 32-bit constants, from which the SIMD kernels of
// encode-inl.h are made: the deterministic rounding modes and all policies differ in data, not in
// code.

#include <algorithm>
#include <cstdint>

#include "formats/codec.h"
#include "formats/fields.h"

namespace assay::formats {

/// Notation of encode-inl.h: t is the magnitude aligned so that the code is t >> shift and the bits
/// below are what rounding decides on (with a sticky last bit).
/// code = (t + add[sign] + ((t >> shift) & tie_to_even)) >> shift, then | 1 where t & to_odd_mask.
struct EncodeParams {
  int shift;       ///< 23 - mantissa bits
  int sign_shift;  ///< from the FP32 sign bit down to the code's
  std::int32_t
      lowest;  ///< FP32 exponent field (biased by 127) of the lowest binade, see encode-inl.h
  std::int32_t add_positive;
  std::int32_t add_negative;
  std::int32_t tie_to_even;
  std::int32_t to_odd_mask;
  std::int32_t max_finite;
  std::int32_t max_value;          ///< the same as FP32 bits
  std::int32_t overflow_positive;  ///< magnitude code of a finite positive overflow
  std::int32_t overflow_negative;
  std::int32_t overflow_infinite;  ///< of an infinity
  std::int32_t nan_positive;       ///< whole codes of NaN inputs
  std::int32_t nan_negative;
  std::int32_t negative;  ///< formats without a sign: code of every negative value
  std::int32_t zero;      ///< formats without a zero: code of zero
  bool twos_complement;
  std::uint32_t sign_bits_read;  ///< 0x80000000, or 0 where the sign is ignored
  std::uint32_t random_mask;     ///< stochastic: the top n bits of a word
  std::uint32_t ordinary_mask;   ///< formats without a sign: the FP32 bits that decide whether an
                                 ///< input is ordinary (EncodeUnsignedVec): in
  std::uint32_t ordinary_first;  ///< [ordinary_first, ordinary_first + ordinary_count)
  std::uint32_t ordinary_count;
  bool plain_nearest;    ///< EncodeNearestVec may be used
  float subnormal_unit;  ///< its 2^23 units of the lowest binade
};

/// What the aligned-integer kernel needs of a format: at least two bits to discard below FP32's, so
/// that a sticky bit stays below the half (FP32 itself discards nothing), and binades within
/// FP32's.
constexpr bool array_codec_handles(const Fields& f) {
  const bool is_fp32 = f.mantissa_bits == 23 && f.exponent_bits == 8 && f.bias == 127;
  const int top_field = (1 << f.exponent_bits) - 1;
  return (is_fp32 || f.mantissa_bits <= 21) && f.bias <= 127 && top_field - f.bias <= 128;
}

/// Preconditions: expressible(), array_codec_handles(), 1 <= random_bits <= 16 for stochastic.
constexpr EncodeParams encode_params(const Fields& f, RoundingMode mode, const Policy& policy,
                                     int random_bits = 0) {
  const int shift = 23 - f.mantissa_bits;
  const std::int32_t mask = (1 << shift) - 1;
  const std::int32_t half = shift == 0 ? 0 : 1 << (shift - 1);
  const auto add = [&](bool negative) -> std::int32_t {
    switch (mode) {
      case RoundingMode::nearest_even:
        return shift == 0 ? 0 : half - 1;
      case RoundingMode::nearest_away:
        return half;
      case RoundingMode::toward_positive:
        return negative ? 0 : mask;
      case RoundingMode::toward_negative:
        return negative ? mask : 0;
      default:
        return 0;
    }
  };
  const auto code = [](std::uint32_t c) { return static_cast<std::int32_t>(c); };
  const auto over = [&](bool negative) {
    return stays_finite(mode, negative) ? code(f.max_finite())
                                        : code(overflow_magnitude(f, policy.overflow));
  };
  const bool rejects = policy.unsigned_rule == UnsignedRule::nan;
  const bool ignores_sign = f.sign_bits == 0 && policy.unsigned_rule == UnsignedRule::absolute;
  const std::int32_t over_code = code(overflow_magnitude(f, policy.overflow));
  const bool plain_nearest = mode == RoundingMode::nearest_even && f.sign_bits != 0 &&
                             f.subnormals && f.bias < 127 && f.mantissa_bits > 0 &&
                             over_code <= code(f.max_finite()) + 1 &&
                             nan_code(f, policy.nan, false) == nan_code(f, policy.nan, true);
  // The lowest FP32 bits that are normal in the format and in FP32, and those of its largest value.
  const auto ordinary_first = static_cast<std::uint32_t>(std::max(128 - f.bias, 1)) << 23;
  const std::uint32_t largest = detail::decode_to_f32_bits(f, f.max_finite());
  const std::int32_t rejected = rejects ? code(f.canonical_nan()) : 0;
  return {
      .shift = shift,
      .sign_shift = 31 - f.magnitude_bits(),
      .lowest = (f.subnormals ? 128 : 127) - f.bias,
      .add_positive = add(false),
      .add_negative = add(true),
      .tie_to_even = mode == RoundingMode::nearest_even && shift > 0 ? 1 : 0,
      .to_odd_mask = mode == RoundingMode::to_odd ? mask : 0,
      .max_finite = code(f.max_finite()),
      .max_value = code(largest),
      .overflow_positive = over(false),
      .overflow_negative = over(true),
      .overflow_infinite = code(overflow_magnitude(f, policy.overflow)),
      .nan_positive = code(nan_code(f, policy.nan, false)),
      .nan_negative = code(nan_code(f, policy.nan, true)),
      .negative = rejected,
      .zero = rejected,
      .twos_complement = f.is_twos_complement(),
      .sign_bits_read = ignores_sign ? 0 : 0x80000000U,
      .random_mask = random_bits == 0 ? 0 : ~std::uint32_t{0} << (32 - random_bits),
      .ordinary_mask = ignores_sign ? 0x7FFFFFFF : 0xFFFFFFFF,
      .ordinary_first = ordinary_first,
      .ordinary_count = largest - ordinary_first + 1,
      .plain_nearest = plain_nearest,
      .subnormal_unit =
          plain_nearest
              ? __builtin_bit_cast(float, static_cast<std::uint32_t>(151 - f.bias - f.mantissa_bits)
                                              << 23)
              : 0.0F,
  };
}

}  // namespace assay::formats
