// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a tensor's blocks look like, and from that alone what a block format will do to it: gain and
// noise without quantizing an element.
//
// Statistics of a tensor and a block shape: the amax of every block, its power, and, in classes of
// crest factor (amax over rms), the histogram of |x| / amax over the elements below the block's
// largest. Prediction of one block of amax a, with the scale s that the format's own rule gives a
// (the rule is evaluated exactly, on the amax; its rounding to the scale format included): with
// t = s/a and r = |x|/a,
//   noise   E[(x^ - x)^2] = a^2 mean_r F(t, r),   F = (t q(r/t) - r)^2 averaged over r's bin
//   cross   E[x (x^ - x)] = a^2 mean_r G(t, r),   G = r (t q(r/t) - r)
// and the block's largest element at r = 1 exactly. Stochastic rounding: F = t^2 (hi - u)(u - lo) +
// clipping, G of the clipping alone. Sums over blocks give
//   gain  a = 1 + sum cross / ||x||^2,   NSR = sum noise / ||x||^2 - (1 - a)^2.
// Assumptions: inside a class of crest the histogram does not depend on the amax; bins are uniform
// inside. Formats whose scale is chosen by the error (ScaleRule::given with least squares,
// candidate orders) have no rule to evaluate: there each block takes the mean of N(0, 1) blocks of
// its crest factor that the format's own quantizer was run on (a table, once for a format and a
// block size).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "simulator/network.h"
#include "simulator/recipe.h"

namespace assay::simulator {

inline constexpr int kRatioBins = 96;    ///< of |x| / amax over [0, 1); one more holds exactly 1
inline constexpr int kCrestClasses = 6;  ///< of amax / rms, by quantile

struct BlockStatistics {
  std::int64_t rows = 0, cols = 0;
  formats::BlockShape block;
  double power = 0.0;                                ///< sum of x^2
  std::vector<float> amax, block_power, block_size;  ///< by block, row-major
  std::vector<std::uint8_t> crest;                   ///< by block: its class
  /// [class][bin]: mean count per block of |x|/amax in [bin, bin + 1) / kRatioBins; the last
  /// bin: 1.
  std::vector<std::vector<double>> ratios;
};

[[nodiscard]] BlockStatistics block_statistics(const Matrix& x, formats::BlockShape block);

struct PredictedOperand {
  double gain = 1.0, nsr = 0.0;
  /// Relative standard error of nsr: sampling over blocks and, where the scale is chosen by the
  /// error, that of the assumption of normal blocks (5 %).
  double nsr_uncertainty = 0.0;
};

/// What `format` does to a tensor of these statistics (of the format's block shape; of any shape
/// for a plain cast).
[[nodiscard]] PredictedOperand predict_operand(const BlockStatistics& statistics,
                                               const OperandFormat& format);

}  // namespace assay::simulator
