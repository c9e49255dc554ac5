// SPDX-License-Identifier: Apache-2.0
#pragma once
// The class fp32_fixed_order, bit for bit: FP32 with round to nearest even, k ascending, one
// accumulator, no fused multiply-add. fl is one rounding to FP32 (overflow to infinity, gradual
// underflow).
//
//   a_k = fl(element * scale factor) of A, or the operand itself where A is not block-scaled; b_k
//   alike acc = +0;  for k ascending: acc = fl(acc + fl(a_k * b_k)) s   = fl(fl(alpha * tensor
//   scale of A) * tensor scale of B)      (1 where there is none) d   = fl(acc * s);  with beta !=
//   0: d = fl(d + fl(beta * C));  with a bias: d = fl(d + bias)
//
// and one rounding of d to the output format. A kernel claims this class only if it computes
// exactly so.

#include <optional>
#include <span>

#include "golden/codec.h"
#include "golden/value.h"

namespace assay::golden {

/// One rounding to FP32: to nearest even, overflow to infinity.
[[nodiscard]] Value fl(const Value& x);

/// acc of the formulas above, from the operands a_k and b_k.
[[nodiscard]] Value fp32_dot(std::span<const Value> a, std::span<const Value> b);

/// What follows the dot product.
struct Fp32Epilogue {
  float alpha = 1.0F;
  float a_tensor_scale = 1.0F;
  float b_tensor_scale = 1.0F;
  float beta = 0.0F;
  std::optional<float> c;  ///< read where beta != 0
  std::optional<float> bias;
};

/// d of the formulas above.
[[nodiscard]] Value fp32_epilogue(const Value& acc, const Fp32Epilogue& epilogue);

}  // namespace assay::golden
