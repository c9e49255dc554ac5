// SPDX-License-Identifier: Apache-2.0
#include "proptests/property.h"
namespace assay::proptests {
std::vector<Property> codec_properties() { return {}; }
}  // namespace assay::proptests
