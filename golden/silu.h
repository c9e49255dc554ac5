// SPDX-License-Identifier: Apache-2.0
#pragma once
// exp and silu(x) = x / (1 + exp(-x)), which no rational number equals: enclosed by rationals as
// narrowly as asked. Source: the power series of exp with its remainder, no floating point.

#include "golden/exact.h"

namespace assay::golden {

/// lower <= the number <= upper.
struct Enclosure {
  Rational lower = 0;
  Rational upper = 0;
};

/// exp(x), of relative width 2^-bits at most. Throws std::invalid_argument for |x| > 2^20 (the
/// number has more digits than memory) and bits < 1.
[[nodiscard]] Enclosure exp_enclosure(const Rational& x, int bits);

/// silu(x) for any x; silu(0) is exactly 0. Relative width 2^-bits at most for x >= -bits; below,
/// where silu(x) is between -bits 2^-bits and 0, these are the two ends. bits >= 2.
[[nodiscard]] Enclosure silu_enclosure(const Rational& x, int bits);

/// What silu takes on between a and b, enclosed: silu falls up to x* = -1.27846... and rises from
/// there, its least value being x* + 1.
[[nodiscard]] Enclosure silu_range(const Rational& a, const Rational& b, int bits);

}  // namespace assay::golden
