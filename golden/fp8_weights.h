// SPDX-License-Identifier: Apache-2.0
#pragma once
// MXFP4 weights in a unit that multiplies FP8: the kernel re-encodes them as E4M3 numbers with one
// power of two S per 1x128 (golden/lossless.h), which acts when a partial sum is promoted. What the
// unit truncates depends on the exponents of those numbers and not on E2M1's.

#include <span>
#include <vector>

#include "golden/gemm_bounds.h"

namespace assay::golden {

struct Fp8Weights {
  std::vector<FactoredMatrix> matrices;  ///< the same numbers: E4M3 elements, S as scale factors
  AccumulatorModel model;                ///< the given one with ScaleStage::promotion
};

/// Where every block of 1x128 of every matrix re-encodes without loss, so; where one does not, all
/// of them per 1x32, promoted every 32 at the latest, which always holds MXFP4. S is 2^6 below the
/// largest scale factor of the block that has a nonzero element, at least 2^-127. NaN scale factors
/// become NaN elements. Throws std::invalid_argument for promotion intervals that are no divisor
/// of 128, and for matrices that are not MXFP4.
[[nodiscard]] Fp8Weights fp8_weights(std::span<const FactoredMatrix> b,
                                     const AccumulatorModel& model);

}  // namespace assay::golden
