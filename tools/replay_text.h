// SPDX-License-Identifier: Apache-2.0
#pragma once
// A replay for people: the recipes side by side, then the routers layer by layer.

#include <string>

#include "analysis/report.h"

namespace assay::tools {

std::string replay_text(const analysis::Report& report);

}  // namespace assay::tools
