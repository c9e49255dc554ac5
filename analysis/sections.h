// SPDX-License-Identifier: Apache-2.0
#pragma once
// The parts of the HTML page.

#include <string>

#include "analysis/report.h"

namespace assay::analysis {

[[nodiscard]] std::string certify_section(const Report& report);
[[nodiscard]] std::string replay_section(const Report& report);
/// What the formats of the report are: the E2M1 number line, with the codes used in the replays.
[[nodiscard]] std::string format_section(const Report& report);

}  // namespace assay::analysis
