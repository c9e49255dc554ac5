// SPDX-License-Identifier: Apache-2.0
#pragma once
// tile_statistics.h for tensors of BF16 and formats of 4-bit elements, several times as fast and
// the same to the bit. A BF16 magnitude is one of 32 Ki, and a block's largest one decides its
// scale factor; the scale factor is one of 256 and decides the seven magnitudes where an element's
// code changes, and the eight that elements become. So both are tabulated, from the quantizer's own
// answers, and no tile is decoded, quantized or packed.

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "formats/block_probe.h"
#include "simulator/bf16_kernels.h"
#include "simulator/tile_statistics.h"

namespace assay::simulator {

class Bf16Statistics {
 public:
  /// Null where another path must be taken: elements that are not E2M1's kind, blocks other than
  /// of 16 or 32 columns of one row, rows that do not end with a block, scale factors wider than a
  /// byte, several orders, another rounding than to nearest even, a machine without the vectors.
  static std::unique_ptr<Bf16Statistics> of(const formats::BlockFormat& format,
                                            const formats::QuantizeOptions& options,
                                            std::int64_t cols, float tensor_amax);

  /// The sums of whole rows, their first block numbered `first`. Safe from several threads. Nothing
  /// where a block of theirs is not tabulated: it holds a NaN or infinity, or its scale factor is
  /// zero or beyond 2^+-100, or a magnitude is above 2^10 times that.
  [[nodiscard]] std::optional<BlockRunSums> tile(std::span<const std::uint16_t> x,
                                                 std::int64_t first) const;

 private:
  // What rule_of_ holds: the number of a rule, and whether the block clips its largest element; or
  static constexpr std::uint16_t kClips = kRuleNumber + 1;
  static constexpr std::uint16_t kZero = 256;        ///< the rule of blocks that hold nothing else
  static constexpr std::uint16_t kNone = 0x4000;     ///< not tabulated
  static constexpr std::uint16_t kUnknown = 0x8000;  ///< not asked for yet

  Bf16Statistics(const formats::BlockFormat& format, const formats::QuantizeOptions& options,
                 float tensor_amax);
  [[nodiscard]] std::atomic<std::uint16_t>& entry(std::size_t bits) const {
    return (*rule_of_)[kTop - bits];
  }
  bool find_elements();
  void add_binade(std::uint16_t amax) const;
  [[nodiscard]] bool add_rule(std::uint32_t code, float factor, float amax) const;
  [[nodiscard]] bool zero_block() const;
  [[nodiscard]] bool find_rules(BlockRun& run, std::size_t blocks, std::uint16_t* which) const;

  formats::BlockProbe probe_;
  const formats::BlockFormat& format_;
  const bool powers_of_two_;         ///< what add_blocks_bf16() calls so
  std::array<double, 8> element_{};  ///< of the magnitude codes
  mutable std::mutex mutex_;
  mutable std::vector<ElementRule> rules_;   ///< of the scale factors' codes, and kZero's
  mutable std::array<float, 256> factor_{};  ///< of those known
  mutable std::array<bool, 256> known_{};
  std::unique_ptr<RuleOf> rule_of_;
};

}  // namespace assay::simulator
