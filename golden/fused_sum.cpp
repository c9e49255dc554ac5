// SPDX-License-Identifier: Apache-2.0
#include "golden/fused_sum.h"

#include <algorithm>
#include <optional>

#include "golden/bounds.h"

namespace assay::golden {
namespace {

/// Toward zero, to a multiple of 2^unit.
Exact truncated(const Exact& x, std::int64_t unit) {
  if (x.exponent >= unit) return x;
  const Rational quotient = abs(x).rational() / Exact::power_of_two(unit).rational();
  const Integer whole = numerator(quotient) / denominator(quotient);
  return Exact(x.sign() < 0 ? Integer(-whole) : whole, unit);
}

}  // namespace

FusedOperand fused_operand(const FormatSpec& spec, std::uint32_t code) {
  const Value x = decode(spec, code);
  return {x, x.is_finite() ? undecoded_exponent(spec, x.number) : 0};
}

FusedTerm fused_product(const FusedOperand& a, const FusedOperand& b) {
  return {a.value * b.value, a.exponent + b.exponent, a.value.is_zero() || b.value.is_zero()};
}

FusedTerm fused_accumulator(const FusedOperand& c) {
  return {c.value, c.exponent, c.value.is_zero()};
}

Value fused_sum(std::span<const FusedTerm> terms, const FusedStep& step) {
  Value specials = Value::zero(false);
  bool all_finite = true;
  for (const FusedTerm& t : terms) {
    if (t.value.is_finite()) continue;
    all_finite = false;
    specials = specials + t.value;
  }
  if (!all_finite) return specials;

  std::optional<std::int64_t> e_max;
  const auto raise = [&e_max](std::int64_t e) { e_max = e_max ? std::max(*e_max, e) : e; };
  if (step.zero_exponent_is_floor) raise(step.zero_exponent);
  for (const FusedTerm& t : terms) {
    if (!t.takes_zero_exponent)
      raise(t.exponent);
    else if (!step.zero_exponent_is_floor)
      raise(step.zero_exponent);
  }
  Exact sum = 0;
  for (const FusedTerm& t : terms)
    sum = sum + truncated(t.value.number, e_max.value_or(0) - step.fraction_bits);
  return Value::finite(sum);
}

std::uint32_t truncate_to(const FormatSpec& d, int kept, const Value& x) {
  if (x.is_nan()) return magnitude_mask(d);
  const std::uint32_t sign = x.negative ? sign_mask(d) : 0;
  // The same format with fewer fraction bits; its codes are d's without the low bits.
  FormatSpec narrow = d;
  narrow.mantissa_bits = kept;
  const int dropped = d.mantissa_bits - kept;
  const auto infinite = [&] { return sign | (magnitude_mask(narrow) >> kept << kept) << dropped; };
  if (x.is_infinite()) return infinite();
  const Exact limit = Exact::power_of_two(d.bias + 1);
  if (abs(x.number) >= limit) return infinite();
  const Policy policy = policy_of(formats::ieee, d);
  const std::uint32_t code = encode(narrow, x, RoundingMode::toward_zero, policy);
  return sign | (code & magnitude_mask(narrow)) << dropped;
}

}  // namespace assay::golden
