// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is known of a quantization before a block is looked at: its format's orders and how each
// runs, and the panels that a tile is cut into. Internal: it checks only orders and policies.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/block.h"
#include "formats/block_kernels.h"
#include "formats/layout.h"
#include "formats/order.h"

namespace assay::formats {

/// What the tensor phase of the order leaves: its registers, and the stored tensor scale.
struct TensorPhase {
  std::array<double, static_cast<std::size_t>(Register::constant)> registers;
  float scale;
};

/// One of the orders that blocks are quantized by.
struct OrderJob {
  const OperationOrder* order = nullptr;
  ElementPlan plan;
  bool fast = false;  ///< the element phase and format have vector kernels
  ElementJob element;
};

/// One quantization, checked and prepared.
struct PanelContext {
  const BlockFormat* format = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  BlockGrid grid{};  ///< of the whole tensor
  BlockShape unit;   ///< what a panel treats as a block: the block, or a part of a whole-extent one
  std::array<float, 256> values{};  ///< of the element codes, where there are candidates
  bool exact_in_fp32 = false;       ///< every element times every scale factor, likewise
  std::vector<OrderJob> orders;     ///< the format's order, or its candidates
  Policy policy{};
  RoundingMode rounding = RoundingMode::nearest_even;
  int random_bits = 0;
  std::uint64_t seed = 0;
  std::span<const float> scales;

  PanelContext() = default;
  PanelContext(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
               const QuantizeOptions& options);

  [[nodiscard]] TensorPhase tensor_phase(float amax) const;

 private:
  [[nodiscard]] OrderJob prepare(const OperationOrder& order) const;
};

/// Units [row, row + rows) x [col, col + cols) of a tile's grid of units.
struct Panel {
  std::int64_t row, rows, col, cols;
};

/// The panels of a tile.
class PanelGrid {
 public:
  PanelGrid(const PanelContext& context, const Tile& tile);
  [[nodiscard]] std::int64_t count() const { return down_ * across_; }
  [[nodiscard]] Panel panel(std::int64_t i) const;

 private:
  std::int64_t unit_rows_, unit_cols_;    // of the tile
  std::int64_t panel_rows_, panel_cols_;  // of a panel
  std::int64_t down_, across_;
};

}  // namespace assay::formats
