// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the operands of a quantizer are filled with. Each theme sits on one kind of decision; what
// makes a number interesting depends on the scale of its block, so themes choose the scale first.

#include <cstdint>
#include <vector>

#include "kernels/device_under_test.h"
#include "proptests/generators.h"
#include "proptests/properties/spread.h"

namespace assay::proptests::themes {

struct Case {
  kernels::Claim claim;
  std::int64_t rows = 0, cols = 0;
  std::vector<float> x;
  Spread spread = {};
};

void ties(Draw& draw, Case& c);       ///< elements exactly at midpoints
void near_ties(Draw& draw, Case& c);  ///< a few FP32 places around midpoints, any tensor scale
void scale_thresholds(Draw& draw, Case& c);  ///< block maxima where the scale code changes
void zero_blocks(Draw& draw, Case& c);
void tiny_blocks(Draw& draw, Case& c);  ///< far below the tensor's maximum; the bottom of FP32
void saturation(Draw& draw, Case& c);   ///< up to FLT_MAX, and just below powers of two
void signs(Draw& draw, Case& c);  ///< the largest magnitudes are negative; zeros have both signs
void not_finite(Draw& draw, Case& c);  ///< a few NaNs and infinities in a mixture
void narrow(Draw& draw, Case& c);   ///< bf16 numbers of one distribution, as training tensors are
void padded(Draw& draw, Case& c);   ///< a mixture, with bytes between the rows
void far(Draw& draw, Case& c);      ///< a mixture, in rows that 32-bit offsets do not reach
void mixture(Draw& draw, Case& c);  ///< one of the finite themes, or any FP32 number

}  // namespace assay::proptests::themes
