// SPDX-License-Identifier: Apache-2.0
#include "proptests/property.h"

namespace assay::proptests {

std::vector<Property> catalogue() {
  std::vector<Property> all;
  for (auto* part :
       {codec_properties, convert_properties, quantize_properties, dequantize_properties,
        gemm_properties, fused_properties, gated_properties, grouped_properties, layout_properties,
        stochastic_properties, transpose_properties, qat_properties})
    for (Property& property : part()) all.push_back(std::move(property));
  return all;
}

}  // namespace assay::proptests
