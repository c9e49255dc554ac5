// SPDX-License-Identifier: Apache-2.0
#pragma once
// From verdicts to the exit code.

#include "proptests/certify.h"
#include "tools/exit_code.h"

namespace assay::tools {

/// nothing_ran unless at least one property was decided; what could not run is never a pass.
ExitCode outcome(const proptests::Report& report);

}  // namespace assay::tools
