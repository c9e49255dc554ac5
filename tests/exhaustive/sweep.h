// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cells over all 2^32 inputs: the shipped array codec beside each cell's oracle.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "exhaustive/cells.h"

namespace assay::exhaustive {

struct Outcome {
  std::uint64_t inputs = 0;
  std::uint64_t differences = 0;
  std::string first;  ///< the lowest input that differs, with both codes
  double seconds = 0;
};

/// One outcome per cell; the cells share the inputs, and their seconds are equal parts of the
/// whole.
std::vector<Outcome> sweep(std::span<const Cell> cells, int threads);

/// Stochastic rounding: for `per_interval` inputs of each sign between every two neighbouring
/// magnitudes of the format (at most `intervals` pairs of neighbours, spread evenly), n = 1..16 and
/// all 2^n words r: the code is the upper one iff r >= 2^n - floor(f 2^n), so that exactly floor(f
/// 2^n) of 2^n words go up. f comes from golden's values, and golden::encode answers for the words
/// on both sides of the step.
Outcome sweep_stochastic(const formats::FormatSpec& spec, int per_interval, int intervals,
                         int threads);

}  // namespace assay::exhaustive
