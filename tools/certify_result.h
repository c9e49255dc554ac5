// SPDX-License-Identifier: Apache-2.0
#pragma once
// From what a run found to its reports: certify and report end alike.

#include <string>

#include "analysis/report.h"
#include "proptests/certify.h"
#include "proptests/policy.h"
#include "tools/exit_code.h"
#include "tools/outputs.h"

namespace assay::tools {

[[nodiscard]] analysis::Report report_of(const proptests::RunPlan& plan,
                                         const proptests::Results& results,
                                         const proptests::Policy& policy);

/// Writes the reports that were asked for; prints the table and every failure unless a report
/// takes standard output.
ExitCode publish(const analysis::Report& report, const Outputs& outputs, bool verbose);

}  // namespace assay::tools
