// SPDX-License-Identifier: Apache-2.0
#include "tools/certify_result.h"

#include <fmt/format.h>

#include "tools/certify_table.h"
#include "tools/outcome.h"

namespace assay::tools {

ExitCode publish(const analysis::Report& report, const Outputs& outputs, bool verbose) {
  outputs.write_json(analysis::to_json(report));
  outputs.write_html([&] { return analysis::to_html(report); });
  outputs.write_junit([&] { return analysis::to_junit(report); });
  outputs.write_markdown([&] { return analysis::to_markdown(report); });
  ExitCode code = ExitCode::pass;
  bool first = true;
  for (const proptests::Report& certified : report.certifications) {
    code = first ? outcome(certified) : combine(code, outcome(certified));
    first = false;
    if (!outputs.to_stdout()) fmt::print("{}", certify_text(certified, verbose));
  }
  return code;
}

}  // namespace assay::tools
