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

/// What quantize_panel finds for blocks of these largest magnitudes (FP32 bits of finite numbers,
/// at most kLanes): the codes of their scale factors, and the factors of the element phase. False
/// where one of the factors is not an ordinary number. For formats of one order whose scale factors
/// are computed.
bool find_block_scales(const PanelContext& context, const TensorPhase& tensor,
                       std::span<const std::uint32_t> amax, std::span<std::uint32_t> codes,
                       std::span<float> factors);

}  // namespace assay::formats
