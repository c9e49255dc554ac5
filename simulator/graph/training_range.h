// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a recipe's narrow formats do to training beside its products: gradients that underflow, the
// loss scale that helps most, updates that a narrow master weight does not take.
//
// Gradients cast with loss scale S to a format without blocks: g is flushed where S |g| <= m / 2, m
// the smallest positive number (a tie goes to the even 0), and overflows where S |g| >= M + u / 2,
// M the largest finite number and u the distance to its neighbour. Both are exact for powers of
// two. The best S is the smallest power of two of least flushed share among those that overflow
// nothing. A block format follows the amax of its blocks: there both shares are counted on the
// quantized tensors, and S has no part in them beyond the range of the scale format. An update u of
// a master weight w is lost where u != 0 and round(w + u) = w, w a number of the master's format
// and the rounding to nearest even.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "simulator/network.h"
#include "simulator/recipe.h"

namespace assay::simulator {

struct GradientRange {
  std::string what;  ///< "output gradients" (operands of the backward products), "weight gradients"
  std::string format;             ///< that they are cast to
  std::uint64_t nonzero = 0;      ///< gradients that are not zero; the shares below are of these
  double flushed_unscaled = 0.0;  ///< share that becomes zero without loss scaling
  double scale = 1.0;             ///< the recipe's (initial) loss scale
  double flushed = 0.0, overflowed = 0.0;  ///< with it
  double best_scale = 1.0, best_flushed = 0.0;
};

/// Gradients in a format without blocks. Throws std::invalid_argument for a scale that is not
/// positive.
[[nodiscard]] GradientRange gradient_range(std::vector<float> gradients,
                                           const formats::FormatSpec& format, double scale);

struct LostUpdates {
  std::string rule;            ///< "recorded"; "adam_first_step": u = -lr sign(g); "sgd": u = -lr g
  std::string master;          ///< format
  double learning_rate = 0.0;  ///< of an estimate; 0: the updates were recorded
  std::uint64_t updates = 0;   ///< not zero
  double lost = 0.0;           ///< share of them
};

/// Counts the updates and how many are lost.
struct UpdateCount {
  std::uint64_t updates = 0, lost = 0;
};
/// `weights` are rounded to `master` first.
[[nodiscard]] UpdateCount count_lost(const Matrix& weights, const Matrix& updates,
                                     const formats::FormatSpec& master);

struct TrainingRange {
  std::vector<GradientRange> gradients;
  std::vector<LostUpdates> updates;
};

}  // namespace assay::simulator
