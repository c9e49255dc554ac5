// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text tables: columns as wide as they need to be, two spaces between them.

#include <string>
#include <vector>

namespace assay::tools {

/// The first row is the heading. Every row has as many cells as the first.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace assay::tools
