// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far an FP32 evaluation of an estimator's factor may be from the exact one, given a G~ within
// a bound of G. Permitted, each operation correctly rounded FP32 (more is within):
//
//   ewgs  u = w / (s g) by a division or by a multiplication with the reciprocal; u - q; delta
//   times
//         that; its sum with 1 (or difference from 1); times G~; FMA allowed.
//   dge   u as above; t = |u| - lo; z = |2 t / d - 1|, or as |u| minus the bin's midpoint, doubled,
//         over d; a power function z^(1/k - 1) within 16 ulp (CUDA's powf has 4, the exponent's own
//         rounding to FP32 costs less than half a one); division by k or a multiplication with 1/k;
//         the smaller of that and the cap; times G~. A u rounded across the edge of a bin may be
//         taken in either bin.
//
// Which weights are inside is decided exactly.

#include <optional>

#include "golden/estimator.h"

namespace assay::golden {

/// How far a computed u = w/s may be; nullopt where FP32's range gives no bound.
[[nodiscard]] std::optional<Rational> quotient_error(const Rational& u, const Exact& s);

/// T of estimate(weight, factor, g, parameter) where the kernel's G~ is within `g_bound` of g.
[[nodiscard]] Bound estimate_bound(const EstimatedWeight& weight, GradientFactor factor,
                                   const Value& g, const Bound& g_bound, float parameter);

}  // namespace assay::golden
