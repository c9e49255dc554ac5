// SPDX-License-Identifier: Apache-2.0
#pragma once
// The parts of the HTML page.

#include <cstddef>
#include <string>
#include <string_view>

#include "analysis/report.h"

namespace assay::analysis {

[[nodiscard]] std::string certify_section(const Report& report);
/// Verdicts at a glance: a table for each operation of each device.
[[nodiscard]] std::string certify_matrix(const Report& report);
/// What was measured against a bound; empty where nothing was.
[[nodiscard]] std::string bound_plots(const Report& report);
/// Every property with its statement and source, folded.
[[nodiscard]] std::string property_list(const Report& report);
/// A colour, and a sign that does not depend on it.
[[nodiscard]] std::string badge(proptests::Status status);
/// The place of a counterexample on the page; devices count from 0.
[[nodiscard]] std::string anchor(std::size_t device, std::string_view property);
/// Empty where no whole network was run.
[[nodiscard]] std::string network_section(const Report& report);
[[nodiscard]] std::string replay_section(const Report& report);
/// What the formats of the report are: the E2M1 number line, with the codes used in the replays.
[[nodiscard]] std::string format_section(const Report& report);

}  // namespace assay::analysis
