// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "analysis/report.h"

namespace assay::tools {

/// What a report says of this build, and the command that repeats the run.
analysis::Environment environment(std::string command);

}  // namespace assay::tools
