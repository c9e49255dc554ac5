// SPDX-License-Identifier: Apache-2.0
#pragma once
// The definition of decoding and encoding, from FormatSpec alone: formats/spec.h says what the bits
// mean, this says what follows. encode finds the two neighbours of a number on the format's grid,
// exactly, and lets the rounding mode's definition choose between them.

#include <cstdint>

#include "formats/spec.h"
#include "golden/value.h"

namespace assay::golden {

using formats::FormatSpec;
using formats::Policy;
using formats::RoundingMode;

/// The random argument of RoundingMode::stochastic: `word` is one of the 2^bits equally likely
/// words.
struct Random {
  int bits = 0;            ///< 1..16
  std::uint32_t word = 0;  ///< 0 <= word < 2^bits
};

/// Parts of a format that follow from its row.
[[nodiscard]] std::uint32_t code_mask(const FormatSpec& spec);  ///< sign, exponent and mantissa
[[nodiscard]] std::uint32_t magnitude_mask(const FormatSpec& spec);   ///< exponent and mantissa
[[nodiscard]] std::uint32_t sign_mask(const FormatSpec& spec);        ///< 0 without a sign
[[nodiscard]] std::uint32_t max_finite_code(const FormatSpec& spec);  ///< of positive sign
[[nodiscard]] Exact max_finite(const FormatSpec& spec);
/// The step of the grid at the largest finite value, with which it continues above it as if the
/// exponent range had no upper end.
[[nodiscard]] Exact spacing_at_max(const FormatSpec& spec);
[[nodiscard]] bool has_nan(const FormatSpec& spec);
[[nodiscard]] bool has_infinity(const FormatSpec& spec);
[[nodiscard]] bool has_zero(const FormatSpec& spec);
[[nodiscard]] bool has_negative_zero(const FormatSpec& spec);
/// The quiet NaN with zero payload (all ones where that is the only NaN). Throws without a NaN.
[[nodiscard]] std::uint32_t canonical_nan(const FormatSpec& spec, bool negative = false);

/// The code of a magnitude with a sign (FormatSpec::negatives), and its magnitude again; -2^m of a
/// two's complement format has the magnitude 2^m, above max_finite_code().
[[nodiscard]] std::uint32_t with_sign(const FormatSpec& spec, std::uint32_t magnitude,
                                      bool negative);
[[nodiscard]] std::uint32_t magnitude_of(const FormatSpec& spec, std::uint32_t code);

/// What `code` means. Bits above the code are ignored. NaNs keep their sign bit in Value::negative.
[[nodiscard]] Value decode(const FormatSpec& spec, std::uint32_t code);

/// Whether the format has what the policy asks for: Inf for to_infinity; NaN for to_nan, canonical,
/// keep_sign, all_ones and UnsignedRule::nan (which means nothing, and is allowed, for signed
/// formats); a zero for NanRule::zero, one of either sign for NanRule::opposite_zero.
[[nodiscard]] bool expressible(const FormatSpec& spec, const Policy& policy);

/// The code of x. `random` is read by RoundingMode::stochastic only. Throws std::invalid_argument
/// for a policy that is not expressible, and for a stochastic request without a valid random word.
[[nodiscard]] std::uint32_t encode(const FormatSpec& spec, const Value& x, RoundingMode mode,
                                   const Policy& policy, Random random = {});
[[nodiscard]] std::uint32_t encode(const FormatSpec& spec, const RationalValue& x,
                                   RoundingMode mode, const Policy& policy, Random random = {});

/// The profile's policy for a format, as it applies to sources of at most 32 bits, and to f64
/// sources (whose NaNs some libraries treat differently). Throws for a format the profile does not
/// list.
[[nodiscard]] Policy policy_of(const formats::Profile& profile, const FormatSpec& spec);
[[nodiscard]] Policy policy_of_f64(const formats::Profile& profile, const FormatSpec& spec);

}  // namespace assay::golden
