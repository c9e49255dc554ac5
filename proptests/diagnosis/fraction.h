// SPDX-License-Identifier: Apache-2.0
#pragma once
// Roundings to a code by how far a number is from the code below it: what kernels get wrong that
// keep too few bits for it, or decide by another rule.

#include <span>

#include "proptests/diagnosis/quantizer_model.h"

namespace assay::proptests::diagnosis {

/// Whether the code of higher magnitude is taken; `fraction` of the way to it, in (0, 1).
struct FractionRule {
  const char* id;
  const char* text;  ///< "numbers are rounded ..."
  bool (*higher)(const golden::Rational& fraction, const Neighbours& n, bool negative);
};
[[nodiscard]] std::span<const FractionRule> fraction_rules();
/// The same at one threshold alone, where the others are right: "numbers ...", behind "between 2
/// and 3".
[[nodiscard]] std::span<const FractionRule> threshold_rules();

/// The code by the rule; `right` for NaN, infinities and numbers beyond the largest code.
[[nodiscard]] std::uint32_t rounded_by(const FractionRule& rule, const formats::FormatSpec& format,
                                       const golden::RationalValue& x, std::uint32_t right);

}  // namespace assay::proptests::diagnosis
