// SPDX-License-Identifier: Apache-2.0
#pragma once
// A rational number over a root: what a gradient scale 1/sqrt(N Q), a Hadamard transform's n^-1/2
// and DGE's fractional power leave behind. Kept in parts until one rounding of it is decided.

#include <utility>

#include "golden/bounds.h"

namespace assay::golden {

/// The exact number sum / radicand^(1/index); radicand > 0, index >= 1.
struct Radical {
  RationalValue sum;
  Rational radicand = 1;
  int index = 2;
};

/// Rationals lower <= |x| <= upper with upper - lower <= lower 2^-bits, equal where the root is
/// rational. `x.sum` must be finite.
[[nodiscard]] std::pair<Rational, Rational> magnitude_enclosure(const Radical& x, int bits);

/// One rounding of x: the enclosure is refined until both ends round alike. That ends: an
/// irrational number is neither a tie nor representable, and a rational root is exact.
[[nodiscard]] std::uint32_t encode(const FormatSpec& spec, const Radical& x, RoundingMode mode,
                                   const Policy& policy, Random random = {});

/// judge() of bounds.h for an irrational exact result: the enclosure is refined until it decides.
/// Where the bound is not judgeable neither is an exact NaN.
[[nodiscard]] Judgement judge(const FormatSpec& output, std::uint32_t code, const Radical& exact,
                              const Bound& bound);

}  // namespace assay::golden
