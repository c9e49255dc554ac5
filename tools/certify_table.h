// SPDX-License-Identifier: Apache-2.0
#pragma once
// A certification on a terminal of 80 columns.

#include <string>

#include "proptests/certify.h"

namespace assay::tools {

/// One line per group (operation and format: the first two parts of a property's id), what did not
/// run, one failure in full for each likely bug with the ids of the others, and the totals.
/// `verbose`: a line per property, and every failure in full.
[[nodiscard]] std::string certify_text(const proptests::Report& report, bool verbose);

}  // namespace assay::tools
