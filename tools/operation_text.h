// SPDX-License-Identifier: Apache-2.0
#pragma once
// An OperationOrder as formulas that a person reads: "t0 = fp32(2688 / amax_tensor)".

#include <span>
#include <string>
#include <vector>

#include "formats/tensor.h"

namespace assay::tools {

std::vector<std::string> operations_text(std::span<const formats::Operation> operations);

}  // namespace assay::tools
