// SPDX-License-Identifier: Apache-2.0
#pragma once
// Evidence that a third party can check: a folder with these files and no others.
//
//   report.json      the verdicts                      journal.jsonl   what they were derived from
//   claims.json      of the device                     policy.json     baseline, waivers, the day
//   must-pass.txt    the ids, one a line               environment.json  build and command
//   STATEMENT        what was tested, in words         manifest.sha256   a hash of every other file
//
// Hashes show that files belong together. They do not show who made them: whoever can write the
// folder can write all of it. What does is running it again.

#include <filesystem>
#include <string>
#include <vector>

#include "analysis/report.h"
#include "proptests/journal.h"
#include "proptests/policy.h"

namespace assay::analysis {

/// The report of a journal under a policy: what a package's report.json must equal.
[[nodiscard]] Report report_of(const proptests::RunPlan& plan, const proptests::Results& results,
                               const proptests::Policy& policy);

/// The ids that a run had to pass: those of its profile as this build has it, or the catalogue.
[[nodiscard]] std::vector<std::string> must_pass(const std::string& profile);

/// Throws simulator::InputError if `folder` exists, simulator::OutputError.
void write_package(const std::filesystem::path& folder, const std::filesystem::path& journal,
                   const proptests::Policy& policy);

struct PackageFindings {
  std::vector<std::string> wrong;  ///< empty: the package is whole and its device passes
  proptests::JournalContents journal;
  Report report;  ///< derived anew
};
/// Throws simulator::InputError for a folder that cannot be read at all.
[[nodiscard]] PackageFindings verify_package(const std::filesystem::path& folder);

}  // namespace assay::analysis
