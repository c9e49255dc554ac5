// SPDX-License-Identifier: Apache-2.0
#include "exhaustive/cells.h"

namespace assay::exhaustive {

std::vector<Cell> cuda_cells() { return {}; }

}  // namespace assay::exhaustive
