// SPDX-License-Identifier: Apache-2.0
#pragma once
// Scale factors where a recording has no learned one (ScaleRule::given): the scale of least squared
// error, where LSQ (Esser et al., arXiv 1902.08153) converges for frozen weights. This project's
// definition.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"

namespace assay::formats {

/// The s >= 0 that minimises sum (x_i - s q(x_i / s))^2, q = rounding to nearest in `element`
/// (saturating), over all real s up to double rounding of the sums. 0 for an all-zero group.
/// `group` is finite. Cost O(k n log(k n)) for an element format of k positive values.
double least_squares_scale(std::span<const float> group, const FormatSpec& element);

/// least_squares_scale() of every block of x (row major), as FP32, in the order that
/// QuantizeOptions expects: block (br, bc) at br * ceil(cols / block.cols) + bc. Elements that are
/// not finite count as zero. Throws std::invalid_argument where x.size() is not rows * cols or a
/// size is <= 0.
std::vector<float> least_squares_scales(std::span<const float> x, std::int64_t rows,
                                        std::int64_t cols, BlockShape block,
                                        const FormatSpec& element);

}  // namespace assay::formats
