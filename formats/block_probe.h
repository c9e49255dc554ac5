// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a block quantizer does to a block as a function of the block's largest magnitude and of one
// element, for those who tabulate it. Answers come from the quantizer's own kernels, so that a
// table made of them cannot differ from it. Internal: it checks only what BlockQuantizer checks.

#include <cstdint>
#include <span>

#include "formats/panel_plan.h"

namespace assay::formats {

class BlockProbe {
 public:
  /// `amax`: the largest magnitude of the tensor, where the format has a tensor scale.
  BlockProbe(const BlockFormat& format, const QuantizeOptions& options, float amax);

  /// True where blocks are quantized by one order, by vector kernels and to nearest even, and their
  /// scale factors are computed from their largest magnitudes.
  [[nodiscard]] bool usable() const;
  [[nodiscard]] float tensor_scale() const { return phase_.scale; }

  /// How elements are scaled and rounded.
  [[nodiscard]] const ElementJob& element() const { return context_.orders[0].element; }

  /// Of blocks with these largest magnitudes (finite, at most kLanes): codes of the scale factors,
  /// and what elements are multiplied with or divided by. False where that is no ordinary number
  /// for one of them.
  [[nodiscard]] bool scales(std::span<const float> amax, std::span<std::uint32_t> codes,
                            std::span<float> factors) const;

  /// The element codes in a block of that factor. codes.size() >= x.size() + kSlack.
  void encode(float factor, std::span<const float> x, std::span<std::uint8_t> codes) const;

 private:
  PanelContext context_;
  TensorPhase phase_;
};

}  // namespace assay::formats
