// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which properties hold a claim to a selection that the user named.

#include <string>
#include <vector>

#include "proptests/certify.h"

namespace assay::tools {

/// The properties of a profile, or those whose id is `selection` or begins with it up to a dot, as
/// far as they are about this claim. Throws std::invalid_argument where that leaves none.
[[nodiscard]] std::vector<proptests::Property> selected_properties(const std::string& selection,
                                                                   const kernels::Claim& claim);

}  // namespace assay::tools
