// SPDX-License-Identifier: Apache-2.0
#pragma once
// How certify, report and reproduce end.

#include <string>

#include "analysis/package.h"
#include "tools/exit_code.h"
#include "tools/outputs.h"

namespace assay::tools {

/// Writes the reports that were asked for; prints certify_text() unless a report
/// takes standard output.
ExitCode publish(const analysis::Report& report, const Outputs& outputs, bool verbose);

}  // namespace assay::tools
