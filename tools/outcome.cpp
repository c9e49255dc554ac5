// SPDX-License-Identifier: Apache-2.0
#include "tools/outcome.h"

namespace assay::tools {

ExitCode outcome(const proptests::Report& report) {
  using proptests::Status;
  ExitCode code = ExitCode::pass;
  bool decided = false;
  for (const proptests::Verdict& verdict : report.verdicts) {
    switch (verdict.status) {
      case Status::pass:
      case Status::expected_fail:
        decided = true;
        break;
      case Status::fail:
      case Status::unexpected_pass:
        decided = true;
        code = combine(code, ExitCode::fail);
        break;
      case Status::crash:
      case Status::timeout:
        code = combine(code, ExitCode::crashed);
        break;
      case Status::error:
        code = combine(code, ExitCode::internal);
        break;
      case Status::not_supported:
      case Status::skipped:
        break;
    }
  }
  return decided ? code : combine(code, ExitCode::nothing_ran);
}

}  // namespace assay::tools
