// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one table of exit codes. Every verb returns these and no others; docs/cli.md and the README
// repeat the table and a test holds them to it.

#include <array>
#include <string_view>

namespace assay::tools {

enum class ExitCode : int {
  pass = 0,
  fail = 1,
  interrupted = 2,
  internal = 3,
  usage = 4,
  nothing_ran = 5,
  crashed = 6,
  absent = 77,
};

struct ExitCodeRow {
  ExitCode code;
  std::string_view meaning;
};

inline constexpr std::array<ExitCodeRow, 8> exit_codes{{
    {ExitCode::pass, "pass"},
    {ExitCode::fail, "fail"},
    {ExitCode::interrupted, "interrupted"},
    {ExitCode::internal, "internal error"},
    {ExitCode::usage, "usage or input error"},
    {ExitCode::nothing_ran, "nothing ran"},
    {ExitCode::crashed, "device under test crashed or timed out"},
    {ExitCode::absent, "device absent"},
}};

/// What one run returns that saw several outcomes: the first of these that occurred. A usage error
/// or an interrupt ends a run at once, so they stand before the mixture 3 > 6 > 1 > 5 > 77 > 0.
inline constexpr std::array<ExitCode, 8> precedence{
    ExitCode::interrupted, ExitCode::usage,       ExitCode::internal, ExitCode::crashed,
    ExitCode::fail,        ExitCode::nothing_ran, ExitCode::absent,   ExitCode::pass};

constexpr ExitCode combine(ExitCode a, ExitCode b) {
  for (const ExitCode code : precedence)
    if (a == code || b == code) return code;
  return ExitCode::internal;
}

}  // namespace assay::tools
