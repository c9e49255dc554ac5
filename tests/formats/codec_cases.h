// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the codec tests share: every policy a format can express, the inputs on which conversions
// disagree, and a run over every instruction set of this machine.

#include <hwy/targets.h>

#include <cstdint>
#include <vector>

#include "formats/codec.h"

namespace assay::tests {

inline constexpr formats::RoundingMode deterministic_modes[] = {
    formats::RoundingMode::nearest_even,    formats::RoundingMode::nearest_away,
    formats::RoundingMode::toward_zero,     formats::RoundingMode::toward_positive,
    formats::RoundingMode::toward_negative, formats::RoundingMode::to_odd,
};

inline constexpr formats::NanRule nan_rules[] = {
    formats::NanRule::canonical,  formats::NanRule::keep_sign, formats::NanRule::all_ones,
    formats::NanRule::max_finite, formats::NanRule::zero,      formats::NanRule::opposite_zero,
};

/// Every policy that the format can express; UnsignedRule varies for formats without a sign only,
/// and so does keep_sign for formats with one.
inline std::vector<formats::Policy> policies_of(const formats::FormatSpec& spec) {
  using formats::NanRule;
  using formats::Overflow;
  using formats::UnsignedRule;
  std::vector<formats::Policy> result;
  for (const auto overflow : {Overflow::saturate, Overflow::to_infinity, Overflow::to_nan}) {
    for (const auto nan : nan_rules) {
      for (const auto rule : {UnsignedRule::clamp, UnsignedRule::nan, UnsignedRule::absolute}) {
        if (spec.sign_bits != 0 && rule != UnsignedRule::clamp) continue;
        if (spec.sign_bits == 0 && nan == NanRule::keep_sign) continue;
        if (formats::expressible(spec, {overflow, nan, rule})) {
          result.push_back({overflow, nan, rule});
        }
      }
    }
  }
  return result;
}

/// FP32 patterns: every sign and exponent with the fractions around which codes change, for 0 to 10
/// mantissa bits: all prefixes of that length followed by 0..., 0...1, 01..., 10..., 10...1, 1....
inline std::vector<float> corner_inputs(int mantissa_bits) {
  std::vector<float> result;
  const int rest = 23 - mantissa_bits;
  const std::uint32_t half = rest == 0 ? 0 : 1U << (rest - 1);
  const std::uint32_t ones = (1U << rest) - 1;
  for (std::uint32_t prefix = 0; prefix < (1U << (9 + mantissa_bits)); ++prefix) {
    for (const std::uint32_t tail :
         {0U, 1U & ones, half - (half != 0 ? 1 : 0), half, (half + 1) & ones, ones}) {
      result.push_back(__builtin_bit_cast(float, prefix << rest | tail));
    }
  }
  return result;
}

/// The code at index i of packed codes (array.h's packing).
inline std::uint32_t code_at(const formats::FormatSpec& spec,
                             const std::vector<std::uint8_t>& packed, std::size_t i) {
  if (spec.storage_bits == 4) return (packed[i / 2] >> (4 * (i % 2))) & 0xF;
  std::uint32_t code = 0;
  const std::size_t bytes = static_cast<std::size_t>(spec.storage_bits) / 8;
  for (std::size_t b = 0; b < bytes; ++b) code |= std::uint32_t{packed[i * bytes + b]} << (8 * b);
  return code >> spec.storage_shift;
}

/// Runs body() once per instruction set that this CPU has, the dispatch limited to it.
template <class Body>
void for_each_target(const Body& body) {
  const std::int64_t all = hwy::SupportedTargets();
  for (std::int64_t rest = all; rest != 0; rest &= rest - 1) {
    hwy::SetSupportedTargetsForTest(rest & -rest);
    hwy::GetChosenTarget().DeInit();
    body(hwy::TargetName(rest & -rest));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace assay::tests
