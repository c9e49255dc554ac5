// SPDX-License-Identifier: Apache-2.0
#pragma once
// A certification on a terminal of 80 columns.

#include <string>

#include "proptests/certify.h"

namespace assay::tools {

/// One line per group (operation and format: the first two parts of a property's id), then each
/// property that did not pass, then the totals.
[[nodiscard]] std::string certify_table(const proptests::Report& report);

}  // namespace assay::tools
