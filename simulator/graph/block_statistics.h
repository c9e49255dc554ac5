// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a tensor's blocks look like, and from that alone what a block format will do to it: gain and
// noise without quantizing an element.
//
// Statistics of a tensor and a block shape: the amax of every block and its power; of the blocks
// with the most power, up to 16384 elements in all, every magnitude r = |x| / amax with its column;
// of the others, in classes of crest factor (amax over rms), the histogram of r. Prediction of one
// block of amax a, with the scale s that the format's own rule gives a (the rule is evaluated
// exactly, on the amax; its rounding to the scale format included): with t = s/a,
//   noise   E[(x^ - x)^2] = a^2 sum_r F(t, r),   F = (t q(r/t) - r)^2
//   cross   E[x (x^ - x)] = a^2 sum_r G(t, r),   G = r (t q(r/t) - r)
// over the magnitudes kept, or over the histogram's bins, F and G averaged over a bin and the
// block's largest element at r = 1 exactly. Stochastic rounding: F = t^2 (hi - u)(u - lo) +
// clipping, G of the clipping alone. Sums over blocks give
//   gain  a = 1 + sum cross / ||x||^2,   NSR = sum noise / ||x||^2 - (1 - a)^2
// and, column by column, where the noise lies.
// For a tensor of at most 16384 elements that is an evaluation of the format's error at every
// magnitude: no cheaper than rounding it, but there is no operand, no sign and no execution in it.
// Assumptions, of the blocks that are not kept: inside a class of crest the histogram does not
// depend on the amax; bins are uniform inside; noise lies over the columns of a block evenly
// (elements of four bits, whose step follows the scale factor) or as the power does (wider ones,
// whose step follows the element). Scales of least squared error: of a kept block the t of least
// sum F (formats::least_squares_scale() of its magnitudes), found once for a tensor and kept with
// its statistics. Of other blocks, and of formats whose scale has candidate orders: the mean of
// N(0, 1) blocks of the same crest factor that the format's own quantizer was run on (a table, once
// for a format and a block size); of the former times what that table is wrong by on the kept
// blocks.

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "simulator/network.h"
#include "simulator/recipe.h"

namespace assay::simulator {

/// Bins of |x| / amax below 1: 32 to an octave, as a block with one large element has its others
/// far below it, and elements of a floating-point format err in proportion. Ten octaves: what is
/// below has a millionth of the amax's square, and is in the first. One more bin holds exactly 1.
inline constexpr int kRatioBins = 320;
inline constexpr int kBinBits = 5;       ///< 2^5 bins to an octave
inline constexpr int kCrestClasses = 6;  ///< of amax / rms, by quantile
inline constexpr std::int64_t kKeptElements = 16384;

/// One block with every magnitude: [first, first + count) of BlockStatistics::magnitude.
struct KeptBlock {
  std::size_t block = 0, first = 0, count = 0;
};

struct BlockStatistics {
  std::int64_t rows = 0, cols = 0;
  formats::BlockShape block;
  double power = 0.0;                                ///< sum of x^2
  std::vector<float> amax, block_power, block_size;  ///< by block, row-major
  std::vector<std::uint8_t> crest;                   ///< by block: its class
  std::vector<KeptBlock> kept;
  std::vector<std::uint8_t> is_kept;  ///< by block
  std::vector<float> magnitude;       ///< |x| / amax of the kept blocks' elements
  std::vector<std::uint32_t> column;  ///< of each magnitude
  /// By kept block, of least_squares_of: the t of least squared error; filled when first asked for.
  mutable std::vector<double> least_squares;
  mutable const formats::FormatSpec* least_squares_of = nullptr;
  std::vector<double> rest_amax;   ///< [column]: sum of amax^2 over elements not kept
  std::vector<double> rest_power;  ///< [column]: sum of x^2 over elements not kept
  /// [class][bin], of blocks not kept: count per block of |x|/amax from ratio_edge(bin) to the next
  /// (the last bin: 1), a mean weighted by amax^2, as a block's error is.
  std::vector<std::vector<double>> ratios;
};

/// Where a bin begins.
[[nodiscard]] inline double ratio_edge(int bin) {
  if (bin == 0) return 0;
  const int octave = (bin >> kBinBits) - (kRatioBins >> kBinBits);
  return std::ldexp(1 + static_cast<double>(bin & ((1 << kBinBits) - 1)) / (1 << kBinBits), octave);
}

[[nodiscard]] BlockStatistics block_statistics(const Matrix& x, formats::BlockShape block);

struct PredictedOperand {
  double gain = 1.0, nsr = 0.0;
  std::vector<float> columns;  ///< share of the noise by column; empty: nothing is quantized
  /// Relative standard error of nsr: sampling over the elements that are not kept, by their share
  /// of the noise, and for those, where the scale is chosen by the error, that of the assumption of
  /// normal blocks (5 %).
  double nsr_uncertainty = 0.0;
  bool exact = false;  ///< of the rounding itself (operand_errors.h), not of statistics
};

/// What `format` does to a tensor of these statistics (of the format's block shape; of any shape
/// for a plain cast).
[[nodiscard]] PredictedOperand predict_operand(const BlockStatistics& statistics,
                                               const OperandFormat& format);

}  // namespace assay::simulator
