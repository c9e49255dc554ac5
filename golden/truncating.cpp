// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <stdexcept>

#include "golden/bounds.h"

namespace assay::golden {
namespace {

constexpr std::int64_t fp32_emin = -126;

Rational power(std::int64_t exponent) { return Exact::power_of_two(exponent).rational(); }

std::int64_t floor_log2(const Rational& x) {
  return golden::floor_log2(numerator(x), denominator(x));
}

// floor(log2 |x|) of an accumulator at most `magnitude`, as FP32 decodes it.
std::int64_t accumulator_exponent(const Rational& magnitude) {
  return std::max(floor_log2(magnitude), fp32_emin);
}

// Fraction bits of the accumulator between steps: FP32's 23, or F where the unit keeps fewer
// (E8M13).
std::int64_t kept_bits(const TruncatingUnit& unit) {
  return std::min<std::int64_t>(unit.fraction_bits, 23);
}

Bound overflows() { return {false, 0, "the accumulator may overflow FP32"}; }

// One fused step: what the derivation below calls E, A and R.
struct Chain {
  const TruncatingUnit& unit;
  Exact prefix = 0;    // exact sum of the products so far
  Rational error = 0;  // T: bound on |accumulator - prefix|

  bool step(std::span<const UnitProduct> products) {
    const bool accumulator_zero = prefix.is_zero() && error == 0;
    std::int64_t e_max = unit.zero_exponent;
    if (!accumulator_zero) {
      const Rational magnitude = abs(prefix).rational() + error;
      e_max = std::max(e_max, accumulator_exponent(magnitude));
    }
    for (const UnitProduct& p : products) {
      if (!p.value.is_zero()) e_max = std::max(e_max, p.exponent);
    }
    const std::int64_t unit_exponent = e_max - unit.fraction_bits;
    std::int64_t truncated = 0;
    if (!accumulator_zero && (error != 0 || prefix.exponent < unit_exponent)) ++truncated;
    for (const UnitProduct& p : products) {
      if (!p.value.is_zero() && p.value.exponent < unit_exponent) ++truncated;
      prefix = prefix + p.value;
    }
    error += truncated * power(unit_exponent);
    return convert();
  }

  // The truncation of the step's sum to FP32 (or E8M13). False where it may overflow.
  bool convert() {
    const Rational magnitude = abs(prefix).rational() + error;
    if (magnitude == 0) return true;
    if (magnitude >= power(128)) return false;
    const std::int64_t ulp_exponent = accumulator_exponent(magnitude) - kept_bits(unit);
    if (error != 0 || prefix.exponent < ulp_exponent) error += power(ulp_exponent);
    return true;
  }
};

Bound known_steps(std::span<const UnitProduct> products, const TruncatingUnit& unit) {
  Chain chain{unit};
  const auto step = static_cast<std::size_t>(unit.step);
  for (std::size_t k = 0; k < products.size(); k += step) {
    if (!chain.step(products.subspan(k, std::min(step, products.size() - k)))) return overflows();
  }
  return {true, chain.error, ""};
}

// Any number of steps in any order: see the end of the derivation.
Bound unknown_steps(std::span<const UnitProduct> products, const TruncatingUnit& unit) {
  Exact sum_of_magnitudes = 0;
  std::int64_t e_max = unit.zero_exponent;
  std::int64_t grid = 0;
  std::int64_t count = 0;
  for (const UnitProduct& p : products) {
    if (p.value.is_zero()) continue;
    sum_of_magnitudes = sum_of_magnitudes + abs(p.value);
    e_max = std::max(e_max, p.exponent);
    grid = count == 0 ? p.value.exponent : std::min(grid, p.value.exponent);
    ++count;
  }
  if (count == 0) return {};
  const Rational magnitude = sum_of_magnitudes.rational();
  if (magnitude >= power(127)) return overflows();
  const std::int64_t exact_exponent = std::max(e_max, accumulator_exponent(magnitude));
  if (grid >= exact_exponent - unit.fraction_bits &&
      grid >= accumulator_exponent(magnitude) - kept_bits(unit)) {
    return {};
  }
  const std::int64_t z = accumulator_exponent(2 * magnitude);
  const Rational error = 2 * count * power(std::max(e_max, z) - unit.fraction_bits) +
                         count * power(z - kept_bits(unit));
  if (error > magnitude) {
    return {false, 0, "the accumulator's truncations may add up to the sum's whole magnitude"};
  }
  return {true, error, ""};
}

}  // namespace

std::int64_t undecoded_exponent(const FormatSpec& spec, const Exact& x) {
  const Policy policy = policy_of(formats::ieee, spec);
  const Value back =
      decode(spec, encode(spec, Value::finite(x), RoundingMode::nearest_even, policy));
  if (!back.is_finite() || back.number != x) {
    throw std::invalid_argument("An operand of the unit is no " + std::string(spec.name) +
                                " number; scale factors that do not fit belong in the epilogue.");
  }
  const std::int64_t smallest = (spec.subnormals ? 1 : 0) - spec.bias;
  if (x.is_zero()) return smallest;
  const Integer magnitude = abs(x).significand;
  return std::max<std::int64_t>(
      x.exponent + static_cast<std::int64_t>(boost::multiprecision::msb(magnitude)), smallest);
}

// Derivation. One step adds L products and the accumulator c:
//   * e_p of a nonzero product is the sum of its operands' undecoded exponents (an argument), a
//   zero term
//     has e_zero, and e_c of a nonzero accumulator is floor(log2 |c|), but at least -126.
//     e_max = E is the largest of them. c itself is only known up to the error T so far:
//     |c| <= |prefix| + T bounds e_c, where prefix is the exact sum of the products before the
//     step.
//   * Every term is truncated toward zero to a multiple of 2^(E - F): an error below 2^(E - F) for
//   every
//     term that is not such a multiple already. Products are known exactly. The accumulator is
//     known exactly if T = 0; otherwise it counts as truncated. E is only bounded above here; a
//     smaller E truncates less. Let A be the number of terms that may be truncated.
//   * The sum of the truncated terms is exact; call it z, |z| <= |new prefix| + T + A 2^(E - F). It
//   is
//     truncated to FP32 (F >= 23) or to F + 1 significant bits (F < 23): an error below
//     2^(max(floor(log2 |z|), -126) - min(F, 23)), or none if z is known exactly and fits.
//   T' = T + A 2^(E - F) + that. If |z| may reach 2^128 it may become infinite: not judgeable.
//   (-126 - min(F, 23) is also the last bit of the accumulator's subnormal numbers, so the bound
//   covers them.)
// L = 0, unknown grouping and order: let M be the sum of the magnitudes, N the number of nonzero
// products, and suppose T <= M throughout (checked at the end: the bound grows with every step, so
// if its final value is at most M, every earlier one was). Then |c|, |z| <= 2 M always. A step
// without a nonzero product changes nothing: c is a multiple of the last bit that its own exponent
// keeps. So at most N steps count, in which each product is truncated once and c once per step, and
// one conversion per step:
//   T <= 2 N 2^(E - F) + N 2^(Z - min(F, 23)),   Z = max(floor(log2 2M), -126), E = max(e_p, Z,
//   e_zero).
// If all products are multiples of 2^g with g >= E - F and g >= floor(log2 M) - min(F, 23), every
// partial sum is kept whole, whatever the order: T = 0.
Bound truncating_chain(std::span<const UnitProduct> products, const TruncatingUnit& unit) {
  if (unit.fraction_bits < 1 || unit.step < 0 || unit.promotion < 0) {
    throw std::invalid_argument(
        "A truncating unit needs fraction_bits >= 1, step >= 0 and promotion >= 0.");
  }
  return unit.step == 0 ? unknown_steps(products, unit) : known_steps(products, unit);
}

}  // namespace assay::golden
