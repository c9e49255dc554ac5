// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a format does to blocks of normal numbers, where its scale is chosen by the error. Private
// to the block statistics.

#include <utility>
#include <vector>

#include "simulator/graph/block_statistics.h"

namespace assay::simulator {

/// Relative noise and cross term (over the block's power) of blocks of N(0, 1) by class of crest.
struct Synthetic {
  std::vector<double> edges, noise, cross;
};

/// The table of a format and the statistics' block size, made once.
[[nodiscard]] const Synthetic& synthetic_of(const BlockStatistics& s, const OperandFormat& format);

/// The table's noise and cross term of block b.
[[nodiscard]] std::pair<double, double> synthetic_block(const BlockStatistics& s,
                                                        const Synthetic& table, std::size_t b);

}  // namespace assay::simulator
