// SPDX-License-Identifier: Apache-2.0
#include "formats/block_probe.h"

#include <array>
#include <bit>

#include "formats/block_panel.h"

namespace assay::formats {

BlockProbe::BlockProbe(const BlockFormat& format, const QuantizeOptions& options, float amax)
    : context_(format, 1, format.block.cols, options), phase_(context_.tensor_phase(amax)) {}

bool BlockProbe::usable() const {
  return context_.orders.size() == 1 && context_.orders[0].fast &&
         context_.orders[0].element.encoder == Encoder::nearest &&
         context_.format->rule != ScaleRule::given && context_.format->block.rows != 0 &&
         context_.format->block.cols != 0;
}

bool BlockProbe::scales(std::span<const float> amax, std::span<std::uint32_t> codes,
                        std::span<float> factors) const {
  std::array<std::uint32_t, kLanes> bits{};
  for (std::size_t i = 0; i < amax.size(); ++i) bits[i] = std::bit_cast<std::uint32_t>(amax[i]);
  return find_block_scales(context_, phase_, std::span(bits).first(amax.size()), codes, factors);
}

void BlockProbe::encode(float factor, std::span<const float> x,
                        std::span<std::uint8_t> codes) const {
  const std::size_t n = x.size();
  block_kernels().encode_elements(context_.orders[0].element, {x.data(), n, n, 0, n}, &factor,
                                  nullptr, codes.data());
}

}  // namespace assay::formats
