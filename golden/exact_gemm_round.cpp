// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_round.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace assay::golden::exact_parts {
namespace {

using formats::NanRule;
using formats::Overflow;
using formats::RoundingMode;

/// Exponents stay far from the ends of a double's range: scale factors and tensor scales are at
/// least 2^-149 each, elements 2^-17, all below 2^129, 2^17 and a sum has fewer than 2^32 terms.
double from_top_bits(std::uint64_t bits, bool below, bool negative, int exponent) {
  const double x = static_cast<double>(bits | (below ? 1U : 0U)) *
                   std::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent) << 52);
  return negative ? -x : x;
}

double round_128(Uint128 magnitude, bool negative, int exponent) {
  const auto high = static_cast<std::uint64_t>(magnitude >> 64);
  const auto low = static_cast<std::uint64_t>(magnitude);
  const int width = static_cast<int>(high != 0 ? 64 + std::bit_width(high) : std::bit_width(low));
  const int drop = std::max(0, width - 53);
  const Uint128 top = magnitude >> drop;
  return from_top_bits(static_cast<std::uint64_t>(top), (top << drop) != magnitude, negative,
                       exponent + drop);
}

/// Of 256 bits, least significant first: times a factor.
void multiply(std::array<std::uint64_t, 4>& limbs, std::uint64_t factor) {
  std::uint64_t carry = 0;
  for (std::uint64_t& limb : limbs) {
    const Uint128 product = Uint128{limb} * factor + carry;
    limb = static_cast<std::uint64_t>(product);
    carry = static_cast<std::uint64_t>(product >> 64);
  }
}

std::uint32_t infinity_code(const formats::FormatSpec& spec) {
  return ((1U << spec.exponent_bits) - 1) << spec.mantissa_bits;
}
std::uint32_t sign_code(const formats::FormatSpec& spec, bool negative) {
  return negative ? 1U << (spec.exponent_bits + spec.mantissa_bits) : 0;
}

std::uint32_t overflow_code(bool negative, const ExactGemmOptions& options) {
  const std::uint32_t infinity = infinity_code(*options.output);
  const std::uint32_t sign = sign_code(*options.output, negative);
  switch (options.policy.overflow) {
    case Overflow::saturate:
      return sign | (infinity - 1);
    case Overflow::to_nan:
      return sign | infinity | 1U << (options.output->mantissa_bits - 1);
    case Overflow::to_infinity:
      break;
  }
  return sign | infinity;
}

/// Whether a magnitude between two numbers becomes the upper one.
bool rounds_up(RoundingMode mode, bool negative, bool odd, bool half, bool below_half) {
  switch (mode) {
    case RoundingMode::nearest_even:
      return half && (below_half || odd);
    case RoundingMode::nearest_away:
      return half;
    case RoundingMode::toward_positive:
      return !negative;
    case RoundingMode::toward_negative:
      return negative;
    case RoundingMode::to_odd:
      return !odd;
    case RoundingMode::toward_zero:
    case RoundingMode::stochastic:
      break;
  }
  return false;
}

/// Whether a finite magnitude above the largest number stays finite.
bool stays_finite(RoundingMode mode, bool negative) {
  return mode == RoundingMode::toward_zero || mode == RoundingMode::to_odd ||
         (mode == RoundingMode::toward_positive && negative) ||
         (mode == RoundingMode::toward_negative && !negative);
}

}  // namespace

double round_to_odd(Int128 sum, std::uint64_t left, std::uint64_t right, int exponent) {
  if (sum == 0) return 0;
  const bool negative = sum < 0;
  const Uint128 magnitude = negative ? -static_cast<Uint128>(sum) : static_cast<Uint128>(sum);
  if (left == 1 && right == 1) return round_128(magnitude, negative, exponent);
  // 128 + 48 + 48 bits at most.
  std::array<std::uint64_t, 4> limbs{static_cast<std::uint64_t>(magnitude),
                                     static_cast<std::uint64_t>(magnitude >> 64), 0, 0};
  if (left != 1) multiply(limbs, left);
  if (right != 1) multiply(limbs, right);
  std::size_t top = 3;
  while (limbs[top] == 0) --top;
  const int drop = 64 * static_cast<int>(top) + std::bit_width(limbs[top]) - 53;
  if (drop <= 0) return from_top_bits(limbs[0], false, negative, exponent);
  const auto limb = static_cast<std::size_t>(drop / 64);
  const int shift = drop % 64;
  std::uint64_t bits = limbs[limb] >> shift;
  if (shift > 11 && limb < 3) bits |= limbs[limb + 1] << (64 - shift);
  bool below = (limbs[limb] & ((std::uint64_t{1} << shift) - 1)) != 0;
  for (std::size_t i = 0; i < limb; ++i) below = below || limbs[i] != 0;
  return from_top_bits(bits & ((std::uint64_t{1} << 53) - 1), below, negative, exponent + drop);
}

double round_to_odd(const Integer& sum, int exponent) {
  if (sum == 0) return 0;
  const Integer magnitude = abs(sum);
  const int drop = static_cast<int>(msb(magnitude)) + 1 - 53;
  if (drop <= 0)
    return from_top_bits(static_cast<std::uint64_t>(magnitude), false, sum < 0, exponent);
  const Integer top = magnitude >> static_cast<unsigned>(drop);
  const bool below = (top << static_cast<unsigned>(drop)) != magnitude;
  return from_top_bits(static_cast<std::uint64_t>(top), below, sum < 0, exponent + drop);
}

std::uint32_t encode_odd(double x, const ExactGemmOptions& options) {
  const formats::FormatSpec& spec = *options.output;
  const bool negative = std::signbit(x);
  const std::uint32_t sign = sign_code(spec, negative);
  if (x == 0) return sign;
  int exponent = 0;
  std::frexp(x, &exponent);
  --exponent;  // |x| = 1.f * 2^exponent
  const auto significand =
      static_cast<std::uint64_t>(std::ldexp(std::fabs(x), 52 - exponent));  // 53 bits
  const int smallest = 1 - spec.bias;
  const int kept = exponent < smallest ? smallest : exponent;
  // The last bit kept counts 2^(kept - m).
  const int drop = 52 - spec.mantissa_bits + (kept - exponent);
  const std::uint64_t whole = drop > 63 ? 0 : significand >> drop;
  const std::uint64_t rest = drop > 63 ? significand : significand - (whole << drop);
  const bool half = drop <= 53 && (rest >> (drop - 1) & 1U) != 0;
  const bool below_half = drop > 53 || (rest & ((std::uint64_t{1} << (drop - 1)) - 1)) != 0;
  std::uint64_t rounded = whole;
  if (rest != 0 && rounds_up(options.rounding, negative, (whole & 1U) != 0, half, below_half))
    ++rounded;
  // Codes of one sign follow the magnitudes, over a binade's end too.
  const std::int64_t field = exponent < smallest ? 0 : exponent - smallest;
  const std::uint64_t code = rounded + (static_cast<std::uint64_t>(field) << spec.mantissa_bits);
  if (code < infinity_code(spec)) return sign | static_cast<std::uint32_t>(code);
  if (stays_finite(options.rounding, negative)) return sign | (infinity_code(spec) - 1);
  return overflow_code(negative, options);
}

std::uint32_t encode_infinity(bool negative, const ExactGemmOptions& options) {
  return overflow_code(negative, options);
}

std::uint32_t encode_nan(const ExactGemmOptions& options) {
  const std::uint32_t infinity = infinity_code(*options.output);
  switch (options.policy.nan) {
    case NanRule::all_ones:
      return infinity | ((1U << options.output->mantissa_bits) - 1);
    case NanRule::max_finite:
      return infinity - 1;
    case NanRule::zero:
      return 0;
    case NanRule::opposite_zero:
      return sign_code(*options.output, true);
    case NanRule::canonical:
    case NanRule::keep_sign:  // sums that are NaN are positive
      break;
  }
  return infinity | 1U << (options.output->mantissa_bits - 1);
}

}  // namespace assay::golden::exact_parts
