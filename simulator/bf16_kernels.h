// SPDX-License-Identifier: Apache-2.0
#pragma once
// Statistics of BF16 elements under 4-bit elements of eight magnitudes, without decoding or packing
// anything: between bf16_statistics.h and its vector code.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "simulator/tile_kernels.h"

namespace assay::simulator {

/// Values are held times 2^-kDown.
inline constexpr int kDown = 128;

/// What a scale factor makes of a block's elements: signs aside, their bits are in order, so seven
/// thresholds are the quantizer.
struct alignas(64) ElementRule {
  /// Of the eight magnitude codes: the element times scale factor, tensor scale and 2^-kDown,
  /// exact.
  std::array<double, 8> value;
  /// [i > 0]: the smallest bits of |x| whose code is at least i. [0]: the smallest that the largest
  /// element's value does not reach.
  std::array<std::uint16_t, 8> step;
};

/// Sums over consecutive blocks, in the order of tile_statistics.h.
struct BlockRunSums {
  double xy[kStatisticsLanes] = {};
  BlockSums total;
  std::int64_t worst_block = 0;
  double worst_error = 0;
  std::uint64_t clipped = 0, zeros = 0;
  std::array<std::uint64_t, 16> codes{};
};

/// The widest blocks of the kernels are of 32 elements, and they take eight at a time.
inline constexpr std::size_t kBlocksTogether = 8;

/// Elements at a time: while they are added up, as many behind them come into the nearest cache.
inline constexpr std::size_t kRunElements = 4096;

/// True on machines with vectors of 512 bits and the instructions for it: elsewhere the functions
/// below must not be called.
[[nodiscard]] bool bf16_kernels_apply();

/// amax[b] = the largest bits of |x| in block b. `width`: 16 or 32, here and below.
void block_amax_bf16(const std::uint16_t* x, std::size_t width, std::size_t blocks,
                     std::uint16_t* amax);

/// [kTop - a block's largest bits]: the number of its rule, and what else its owner keeps above.
inline constexpr std::uint16_t kTop = 0x7FFF;
using RuleOf = std::array<std::atomic<std::uint16_t>, kTop + 1>;
inline constexpr std::uint16_t kRuleNumber = 0x1FF;

/// which[b] = the number of block b's rule.
struct FoundRules {
  std::uint16_t any;    ///< the bits of all entries of RuleOf that were found
  std::uint16_t least;  ///< bits of an |x|
};
FoundRules find_rules_bf16(const std::uint16_t* x, std::size_t width, std::size_t blocks,
                           const RuleOf& rule_of, std::uint16_t* which);

/// Blocks [0, blocks), numbered from `first` on; block b follows rules[which[b]]. blocks is a
/// multiple of kBlocksTogether.
struct BlockRun {
  const std::uint16_t* x = nullptr;
  std::size_t width = 16, blocks = 0;
  const std::uint16_t* which = nullptr;
  std::int64_t first = 0;
  bool normal = false;  ///< no element is zero or subnormal
  bool clips = true;    ///< some |x| may reach step[0]
  /// Elements are E2M1's, every scale factor s is a power of two of at least 2^-100 (the tensor
  /// scale included), and no |x| is above 2^10 s. Then (x^ - x)^2 is a double, and its addition is
  /// fused: where x^ = 0, it is x^2, of 16 bits. Else |x| >= s / 4, half the smallest element, so
  /// that x is a multiple of 2^-9 s as x^ is one of s / 2; their difference is that too and below
  /// 2^11 s, so it is exact, of at most 20 bits, and its square of at most 40.
  bool powers_of_two = false;
};

void add_blocks_bf16(const BlockRun& run, const ElementRule* rules, BlockRunSums& sums);

}  // namespace assay::simulator
