// SPDX-License-Identifier: Apache-2.0
#pragma once
// The bits that a matrix unit gives for one output element: the interpreter of MmaModel rows, one
// rounding at a time. Slow and readable; simulator/mma/fast.h is proven equal to it.

#include <cstdint>
#include <span>

#include "simulator/mma/model.h"

namespace assay::simulator {

/// The operands of one output element. `a` and `b`: k codes of the model's formats, tf32 as FP32
/// words. `scale_a`, `scale_b`: k / scale_block codes each, empty for a model without scales.
struct DotOperands {
  std::span<const std::uint32_t> a, b;
  std::uint32_t c = 0;  ///< code of D's format
  std::span<const std::uint32_t> scale_a = {}, scale_b = {};
};

/// D = sum_k a b + c, steps of L products in ascending k, each step's rounded result the next c.
/// Returns a code of D's format. k is a multiple of the step, or the K of the shortest instruction;
/// throws std::invalid_argument for any other k, for spans that do not fit together and for codes
/// wider than their format.
///
/// `grouped`, 64 products a step (kinds mxf4 and mxf4nvf4): the 16 products of a group add up
/// exactly, to P. The group's term has the significand P sig(sa) sig(sb) and the exponent
/// exp(sa) + exp(sb) of its scales alone; it takes `zero_exponent` only where all its products are
/// zero or a scale is. A group whose products cancel keeps its scales' exponent. The four terms and
/// c are then aligned and added as in `fused`. The sign bit of a ue4m3 scale is ignored.
///
/// `flushed` (AMD CDNA2; MMA-Sim, ftz_mul_add): inputs that are subnormal in their format, and C,
/// become +0. Each product is rounded to FP32; of four, the first two and the last two are added,
/// then those sums, then c and the sum. Every operation is one rounding to nearest even, after
/// which a subnormal result is a zero of its sign.
///
/// `lowered` (what FP8 mma.sync of sm_90 and sm_100 becomes): operands widen to FP16. t1 is the
/// fused sum over the k with k mod 4 in {0, 1}, from zero; t2 that over the others, from t1; both
/// round to D's format by `conversion`. D = c + t2, one addition to nearest even.
[[nodiscard]] std::uint32_t dot(const MmaModel& model, const DotOperands& operands);

/// Throws as dot() does for a k that no chain of instructions has.
void require_chain(const MmaModel& model, std::int64_t k);

}  // namespace assay::simulator
