// SPDX-License-Identifier: Apache-2.0
#pragma once
// The random words of stochastic rounding: Philox4x32-10 of Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3. Counter-based: a word
// depends on seed and element only, never on the order of evaluation.

#include <array>
#include <cstdint>

#include "golden/codec.h"

namespace assay::golden {

/// Ten rounds on a counter of four words (least significant first) under a key of two.
[[nodiscard]] std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                         std::array<std::uint32_t, 2> key);

/// The word that belongs to the element at `logical_index` (row * cols + column, whatever the
/// layout): counter = index / 4, word = index % 4 of its output, of which the top `bits` (1..16)
/// are used; the key is the seed, low word first. This assignment is this project's definition.
[[nodiscard]] Random random_of(std::uint64_t seed, std::uint64_t logical_index, int bits);

}  // namespace assay::golden
