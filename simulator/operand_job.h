// SPDX-License-Identifier: Apache-2.0
#pragma once
// One format on one operand, tile by tile. Private to operand_audit.h.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/block.h"
#include "simulator/bf16_rows.h"
#include "simulator/bf16_statistics.h"
#include "simulator/operand_source.h"
#include "simulator/tile_statistics.h"

namespace assay::simulator {

/// The sums of a tile under one format, before they are added up in the order of the tiles.
struct TilePart {
  TileSums sums;
  BlockSums total;
  std::int64_t worst_block = 0;
  double worst_error = 0;
};

/// Adds blocks, numbered from `first` on, to the total and finds the worst of them.
void find_worst(std::span<const BlockSums> blocks, std::int64_t first, TilePart& p);

class OperandJob {
 public:
  OperandJob(const OperandFormat& format, const Operand& o, std::uint64_t seed);
  OperandJob(const OperandJob&) = delete;
  OperandJob& operator=(const OperandJob&) = delete;

  [[nodiscard]] bool needs_amax() const {
    return (quantizer_ && quantizer_->needs_amax()) || (again_ && again_->needs_amax());
  }
  /// Rows that a tile must hold a multiple of.
  [[nodiscard]] std::int64_t band() const;
  /// True for blocks whose rows lie in several tiles.
  [[nodiscard]] bool spans_tiles() const { return format_.block && format_.block->block.rows == 0; }
  /// True for several blocks that each span all rows: their maxima are taken tile after tile.
  [[nodiscard]] bool columns() const { return spans_tiles() && format_.block->block.cols != 0; }
  [[nodiscard]] const OperandFormat& format() const { return format_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  /// The tile as the quantizer sees it.
  [[nodiscard]] std::span<const float> turned(std::span<const float> x, const formats::Tile& tile,
                                              std::vector<float>& scratch) const;

  void observe(std::span<const float> x, const formats::Tile& tile) {
    quantizer_->observe(x, tile);
  }
  /// The largest magnitude of all elements stands for them where every block holds them all, or
  /// only the tensor scale depends on them.
  void observe(float amax);

  /// Elements will be given as BF16 where measure_bf16() takes them. All has been observed.
  void expect_bf16();
  /// Nothing where measure() must be asked.
  [[nodiscard]] std::optional<TilePart> measure_bf16(std::span<const std::uint16_t> x,
                                                     const formats::Tile& tile) const;
  [[nodiscard]] TilePart measure(std::span<const float> x, const formats::Tile& tile) const;

 private:
  /// A cast has no blocks and no scale: gain, error and what became zero are all there is.
  [[nodiscard]] TilePart measure_cast(std::span<const float> x, const formats::Tile& tile) const;

  std::string name_;
  OperandFormat format_;
  const Operand& operand_;
  std::uint64_t seed_;
  formats::QuantizeOptions options_;
  std::optional<formats::BlockQuantizer> quantizer_, again_;
  float amax_ = 0;
  std::unique_ptr<Bf16Statistics> bf16_;
  std::unique_ptr<Bf16Rows> bf16_rows_;
};

}  // namespace assay::simulator
