// SPDX-License-Identifier: Apache-2.0
#include "golden/codec.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace assay::golden {
namespace {

namespace mp = boost::multiprecision;
using formats::NanRule;
using formats::Negatives;
using formats::Overflow;
using formats::Specials;
using formats::UnsignedRule;

// A positive number as numerator / denominator: quotients and dyadic numbers alike.
struct Magnitude {
  Integer numerator;
  Integer denominator;
};

Magnitude magnitude(const Exact& x) {
  const Integer significand = mp::abs(x.significand);
  if (x.exponent >= 0) return {Integer(significand << static_cast<std::uint64_t>(x.exponent)), 1};
  return {significand, Integer(Integer(1) << static_cast<std::uint64_t>(-x.exponent))};
}

Magnitude magnitude(const Rational& x) {
  return {Integer(mp::abs(mp::numerator(x))), mp::denominator(x)};
}

std::uint32_t low_bits(int count) {
  return static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
}

// Where a positive number lies on the format's grid, continued above the largest finite value as if
// the exponent range had no upper end: at `low`, or the fraction remainder / denominator of the way
// from `low` to `low + 1`. Codes of magnitudes count the grid points upwards from zero.
struct Place {
  Integer low;
  Integer remainder;
  Integer denominator;
};

// The spacing at 2^e is 2^(e - mantissa_bits), and below the first normal binade it stays what it
// is there. n = floor(x / spacing) then has the implicit bit at 2^mantissa_bits from the first
// normal binade on, and code = (e + bias - 1) * 2^mantissa_bits + n covers normal and subnormal
// numbers: for the exponent field e + bias the implicit bit carries the missing 1 into the field.
// Without subnormals (and without a zero) the exponent field starts at 0 = -bias instead of at 1 -
// bias, and a number below the smallest lies nowhere on the grid: the caller has taken it out.
Place place(const FormatSpec& spec, const Magnitude& x) {
  const std::int64_t lowest = spec.subnormals ? 1 - spec.bias : -spec.bias;
  const std::int64_t e = std::max(floor_log2(x.numerator, x.denominator), lowest);
  const std::int64_t spacing_exponent = e - spec.mantissa_bits;
  Integer numerator = x.numerator;
  Integer denominator = x.denominator;
  if (spacing_exponent >= 0)
    denominator <<= static_cast<std::uint64_t>(spacing_exponent);
  else
    numerator <<= static_cast<std::uint64_t>(-spacing_exponent);
  Place result;
  mp::divide_qr(numerator, denominator, result.low, result.remainder);
  result.low += Integer(e + spec.bias - 1) << static_cast<unsigned>(spec.mantissa_bits);
  result.denominator = denominator;
  return result;
}

bool is_odd(const Integer& n) { return mp::bit_test(n, 0); }

// The definition of every rounding mode: does |x|, strictly between two neighbours, go to the upper
// one?
bool goes_up(const Place& at, RoundingMode mode, bool negative, Random random) {
  const int against_half = Integer(2 * at.remainder).compare(at.denominator);
  switch (mode) {
    case RoundingMode::nearest_even:
      return against_half > 0 || (against_half == 0 && is_odd(at.low));
    case RoundingMode::nearest_away:
      return against_half >= 0;
    case RoundingMode::toward_zero:
      return false;
    case RoundingMode::toward_positive:
      return !negative;
    case RoundingMode::toward_negative:
      return negative;
    case RoundingMode::to_odd:
      return !is_odd(at.low);
    case RoundingMode::stochastic: {
      const Integer scaled = at.remainder << static_cast<unsigned>(random.bits);
      const auto steps = static_cast<std::uint32_t>(Integer(scaled / at.denominator));
      return steps + random.word >= std::uint32_t{1} << random.bits;
    }
  }
  throw std::invalid_argument(
      "encode: unknown rounding mode; use one of the modes of formats/spec.h");
}

// IEEE 754-2019 section 7.4: modes that round towards zero on this side never overflow.
bool stays_finite(RoundingMode mode, bool negative) {
  return mode == RoundingMode::toward_zero || mode == RoundingMode::to_odd ||
         (mode == RoundingMode::toward_positive && negative) ||
         (mode == RoundingMode::toward_negative && !negative);
}

std::uint32_t infinity_code(const FormatSpec& spec) {
  return low_bits(spec.exponent_bits) << spec.mantissa_bits;
}

std::uint32_t encode_nan(const FormatSpec& spec, const Policy& policy, bool negative) {
  switch (policy.nan) {
    case NanRule::canonical:
      return canonical_nan(spec);
    case NanRule::keep_sign:
      return canonical_nan(spec, negative);
    case NanRule::all_ones:
      return magnitude_mask(spec);
    case NanRule::max_finite:
      return max_finite_code(spec);
    case NanRule::zero:
      return 0;
    case NanRule::opposite_zero:
      return with_sign(spec, 0, !negative);
  }
  throw std::invalid_argument("encode: unknown NaN rule; use one of formats/spec.h");
}

std::uint32_t encode_overflow(const FormatSpec& spec, const Policy& policy, bool negative) {
  switch (policy.overflow) {
    case Overflow::saturate:
      return with_sign(spec, max_finite_code(spec), negative);
    case Overflow::to_infinity:
      return with_sign(spec, infinity_code(spec), negative);
    case Overflow::to_nan:
      return canonical_nan(spec, negative);
  }
  throw std::invalid_argument("encode: unknown overflow rule; use one of formats/spec.h");
}

// A finite nonzero number whose sign the format can hold (or which is positive).
std::uint32_t encode_nonzero(const FormatSpec& spec, const Magnitude& x, bool negative,
                             RoundingMode mode, const Policy& policy, Random random) {
  // Formats without zero (E8M0): what is below the smallest value becomes the smallest value, code
  // 0, in every mode, as there is nothing below to round to.
  if (!has_zero(spec) && floor_log2(x.numerator, x.denominator) < -spec.bias)
    return with_sign(spec, 0, negative);
  const Place at = place(spec, x);
  Integer rounded = at.low;
  if (!at.remainder.is_zero() && goes_up(at, mode, negative, random)) rounded += 1;
  if (rounded.compare(max_finite_code(spec)) <= 0)
    return with_sign(spec, static_cast<std::uint32_t>(rounded), negative);
  if (stays_finite(mode, negative)) return with_sign(spec, max_finite_code(spec), negative);
  return encode_overflow(spec, policy, negative);
}

void require_valid(const FormatSpec& spec, RoundingMode mode, const Policy& policy, Random random) {
  if (!expressible(spec, policy))
    throw std::invalid_argument(
        "encode: format " + std::string(spec.name) +
        " cannot express this policy; choose one that expressible() accepts");
  if (mode != RoundingMode::stochastic) return;
  if (random.bits < 1 || random.bits > 16 || random.word > low_bits(random.bits))
    throw std::invalid_argument(
        "encode: stochastic rounding needs 1 to 16 random bits and a word below 2^bits");
}

template <class Number>
std::uint32_t encode_any(const FormatSpec& spec, const Extended<Number>& x, RoundingMode mode,
                         const Policy& policy, Random random) {
  require_valid(spec, mode, policy, random);
  if (x.is_nan()) return encode_nan(spec, policy, x.negative);
  bool negative = x.negative;
  if (spec.sign_bits == 0) {
    const bool unreachable = x.is_zero() ? !has_zero(spec) : negative;
    switch (policy.unsigned_rule) {
      case UnsignedRule::clamp:
        if (unreachable) return 0;
        break;
      case UnsignedRule::nan:
        if (unreachable) return canonical_nan(spec);
        break;
      case UnsignedRule::absolute:
        break;
    }
    negative = false;
  }
  if (x.is_infinite()) return encode_overflow(spec, policy, negative);
  if (x.is_zero()) return with_sign(spec, 0, negative);
  return encode_nonzero(spec, magnitude(x.number), negative, mode, policy, random);
}

const formats::ProfileRow& row_of(const formats::Profile& profile, const FormatSpec& spec) {
  const auto row = std::find_if(profile.rows.begin(), profile.rows.end(),
                                [&](const auto& r) { return r.format->name == spec.name; });
  if (row == profile.rows.end())
    throw std::invalid_argument("profile " + std::string(profile.name) + " has no row for format " +
                                std::string(spec.name) + "; add one to formats/spec.h");
  return *row;
}

}  // namespace

std::uint32_t magnitude_mask(const FormatSpec& spec) {
  return low_bits(spec.exponent_bits + spec.mantissa_bits);
}

std::uint32_t code_mask(const FormatSpec& spec) { return magnitude_mask(spec) | sign_mask(spec); }

std::uint32_t sign_mask(const FormatSpec& spec) {
  return spec.sign_bits == 0 ? 0 : std::uint32_t{1} << (spec.exponent_bits + spec.mantissa_bits);
}

bool has_nan(const FormatSpec& spec) { return spec.specials != Specials::none; }
bool has_infinity(const FormatSpec& spec) { return spec.specials == Specials::ieee; }
bool has_zero(const FormatSpec& spec) { return spec.subnormals; }
bool has_negative_zero(const FormatSpec& spec) {
  return has_zero(spec) && spec.sign_bits == 1 && spec.negatives == Negatives::sign_bit;
}

// Minus n, in two's complement of b bits, is 2^b - n; minus zero is zero.
std::uint32_t with_sign(const FormatSpec& spec, std::uint32_t magnitude, bool negative) {
  if (!negative || spec.sign_bits == 0) return magnitude;
  if (spec.negatives == Negatives::sign_bit) return magnitude | sign_mask(spec);
  return magnitude == 0 ? 0 : code_mask(spec) + 1 - magnitude;
}

std::uint32_t magnitude_of(const FormatSpec& spec, std::uint32_t code) {
  code &= code_mask(spec);
  if (spec.negatives == Negatives::sign_bit || (code & sign_mask(spec)) == 0)
    return code & magnitude_mask(spec);
  return code_mask(spec) + 1 - code;
}

std::uint32_t max_finite_code(const FormatSpec& spec) {
  switch (spec.specials) {
    case Specials::none:
      return magnitude_mask(spec);
    case Specials::nan_all_ones:
      return magnitude_mask(spec) - 1;
    case Specials::ieee:
      return infinity_code(spec) - 1;
  }
  throw std::invalid_argument("format " + std::string(spec.name) + " has unknown specials");
}

Exact max_finite(const FormatSpec& spec) { return decode(spec, max_finite_code(spec)).number; }

Exact spacing_at_max(const FormatSpec& spec) {
  const Magnitude max = magnitude(max_finite(spec));
  const std::int64_t binade = floor_log2(max.numerator, max.denominator);
  // Integers are all below the first normal binade, where the spacing no longer shrinks.
  const std::int64_t lowest = spec.subnormals ? 1 - spec.bias : -spec.bias;
  return Exact::power_of_two(std::max(binade, lowest) - spec.mantissa_bits);
}

std::uint32_t canonical_nan(const FormatSpec& spec, bool negative) {
  if (!has_nan(spec))
    throw std::invalid_argument("format " + std::string(spec.name) +
                                " has no NaN; choose a policy that expressible() accepts");
  if (spec.specials == Specials::nan_all_ones)
    return with_sign(spec, magnitude_mask(spec), negative);
  const std::uint32_t quiet_bit = std::uint32_t{1} << (spec.mantissa_bits - 1);
  return with_sign(spec, infinity_code(spec) | quiet_bit, negative);
}

Value decode(const FormatSpec& spec, std::uint32_t code) {
  const bool negative = (code & sign_mask(spec)) != 0;
  const std::uint32_t magnitude_code = magnitude_of(spec, code);
  if (spec.negatives == Negatives::twos_complement) {
    const std::int64_t n = magnitude_code;
    return {Value::Kind::finite, negative,
            Exact(Integer(negative ? -n : n), 1 - spec.bias - spec.mantissa_bits)};
  }
  const std::uint32_t field = magnitude_code >> spec.mantissa_bits;
  const std::uint32_t mantissa = magnitude_code & low_bits(spec.mantissa_bits);
  if (spec.specials == Specials::nan_all_ones && magnitude_code == magnitude_mask(spec))
    return Value::nan(negative);
  if (spec.specials == Specials::ieee && field == low_bits(spec.exponent_bits))
    return mantissa == 0 ? Value::infinity(negative) : Value::nan(negative);
  const bool subnormal = spec.subnormals && field == 0;
  const std::int64_t implicit = subnormal ? 0 : std::int64_t{1} << spec.mantissa_bits;
  const std::int64_t exponent =
      (subnormal ? 1 : std::int64_t{field}) - spec.bias - spec.mantissa_bits;
  const std::int64_t significand = implicit + mantissa;
  return {Value::Kind::finite, negative,
          Exact(Integer(negative ? -significand : significand), exponent)};
}

bool expressible(const FormatSpec& spec, const Policy& policy) {
  if (policy.overflow == Overflow::to_infinity && !has_infinity(spec)) return false;
  if (policy.overflow == Overflow::to_nan && !has_nan(spec)) return false;
  const bool nan_becomes_nan = policy.nan == NanRule::canonical ||
                               policy.nan == NanRule::keep_sign || policy.nan == NanRule::all_ones;
  if (nan_becomes_nan && !has_nan(spec)) return false;
  if (policy.nan == NanRule::zero && !has_zero(spec)) return false;
  if (policy.nan == NanRule::opposite_zero && !has_negative_zero(spec)) return false;
  return spec.sign_bits != 0 || policy.unsigned_rule != UnsignedRule::nan || has_nan(spec);
}

std::uint32_t encode(const FormatSpec& spec, const Value& x, RoundingMode mode,
                     const Policy& policy, Random random) {
  return encode_any(spec, x, mode, policy, random);
}

std::uint32_t encode(const FormatSpec& spec, const RationalValue& x, RoundingMode mode,
                     const Policy& policy, Random random) {
  return encode_any(spec, x, mode, policy, random);
}

Policy policy_of(const formats::Profile& profile, const FormatSpec& spec) {
  return row_of(profile, spec).policy;
}

Policy policy_of_f64(const formats::Profile& profile, const FormatSpec& spec) {
  const formats::ProfileRow& row = row_of(profile, spec);
  return {row.policy.overflow, row.nan_from_f64, row.policy.unsigned_rule};
}

}  // namespace assay::golden
