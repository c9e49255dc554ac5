// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far a correct FP32 implementation of the QAT step (golden/qat.h) may be from the exact one:
// the class fp32_any_order of golden/bounds.h for y, dX, dW and d bias, whose factors are x, dy,
// element code, scale factor and tensor scale. Elements of dW that the mask drops are exactly 0 (T
// = 0); a factor of the estimator (ewgs, dge) is evaluated as golden/estimator_bounds.h says.
// pact's d scale is a sum of the products dy x Q g, in the same class.
//
// lsq's d scale permits: G_i in any order as above; u_i = w_i / (s g) by a division or by a
// multiplication with the reciprocal; q_i - u_i; the sum over the block of G_i (q_i - u_i) in any
// order, FMA allowed; multiplication of the sum by the tensor scale g; the gradient scale by a
// square root and a division, or by a multiplication with the reciprocal of the root, before or
// after g. Each of these operations is correctly rounded FP32 (more is within). Which weights are
// inside is decided exactly.

#include <span>
#include <vector>

#include "golden/bounds.h"
#include "golden/qat.h"

namespace assay::golden {

/// One bound per element, in the order of QatForward::y and of QatGradients. Those of elements
/// whose exact result is no number are T = 0, but for d scale where an infinite G_i meets a q_i -
/// u_i that a permitted evaluation may round to 0 or to the other sign: not judgeable.
struct QatBounds {
  std::vector<Bound> y, dx, dw, dbias, dscale;
};

/// Of y alone.
[[nodiscard]] QatBounds qat_forward_bounds(const QatLayer& layer);
/// Of the gradients alone; dy: m x n.
[[nodiscard]] QatBounds qat_backward_bounds(const QatLayer& layer, std::span<const float> dy);

}  // namespace assay::golden
