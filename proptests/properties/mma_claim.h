// SPDX-License-Identifier: Apache-2.0
#pragma once
// A GEMM that claims a model of a matrix unit (Claim::mma_model) has one right answer, bit for bit:
//
//   acc    the model's accumulator from +0, k ascending, L products a step (simulator/mma/model.h);
//          with promotion p it is added to an FP32 accumulator after every p elements, to nearest
//          even, and starts again from +0; K is filled with zeros to a multiple of L (and of p)
//   d      alpha, tensor scales, beta C and bias as in the class fp32_fixed_order, from acc
//          (golden/fp32_order.h), and one rounding to the output format
//
// A model with block scales multiplies the codes and takes the scale factors itself. Any other
// multiplies element * scale factor in its own input formats; where these do not hold an operand
// exactly (an E8M0 scale factor of 2^127 times 6 in BF16), nothing is concluded about its outputs.

#include "golden/gemm_bounds.h"
#include "kernels/device_under_test.h"

namespace assay::proptests {

/// Throws std::invalid_argument, naming the entry, where no model is called so, where it does not
/// multiply the claim's formats, or where the promotion is no multiple of its step.
void require_mma_claim(const kernels::Claim& claim);

/// A: m x k, B: n x k, k at least 1. The reference is the model's result, every bound is 0.
[[nodiscard]] golden::GemmOracle mma_oracle(const kernels::Claim& claim,
                                            const golden::FactoredMatrix& a,
                                            const golden::FactoredMatrix& b,
                                            const golden::GemmEpilogue& epilogue);

}  // namespace assay::proptests
