// SPDX-License-Identifier: Apache-2.0
#pragma once
// The work of one thread under block.h: a panel, a few whole blocks that stay in cache from the
// largest magnitudes over the scale factors to the packed codes. Internal: it checks nothing.

#include <cstdint>
#include <span>

#include "formats/panel_plan.h"

namespace assay::formats {

/// A tile being quantized into `out`, row major, whose arrays have their final sizes and are zero.
struct PanelJob {
  const PanelContext& context;
  const TensorPhase& tensor;
  Tile tile;
  std::span<const float> x;
  std::span<const std::uint32_t> amax;  ///< of whole-extent blocks, else empty
  BlockGrid grid;                       ///< of the tile
  std::span<const float> scales;        ///< given for the blocks of the tile, or empty
  BlockScaledTensor& out;
};

void quantize_panel(const PanelJob& job, const Panel& panel);

}  // namespace assay::formats
