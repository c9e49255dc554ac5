// SPDX-License-Identifier: Apache-2.0
#pragma once
// A verb of the command line: a row here, a file verb_<name>.cpp that declares its options and runs
// it.

#include <CLI/App.hpp>
#include <array>
#include <functional>
#include <string_view>

#include "tools/exit_code.h"

namespace assay::tools {

/// Runs the verb with the options as parsed. Throws std::invalid_argument or std::runtime_error
/// with one sentence for whatever the user can mend (exit 4); any other exception is an internal
/// error (exit 3).
using Action = std::function<ExitCode()>;

struct Verb {
  std::string_view name;
  std::string_view summary;
  std::string_view examples;  ///< one per line; --help leads with them
  Action (*declare)(CLI::App& app);
};

Action declare_formats(CLI::App& app);
Action declare_convert(CLI::App& app);
Action declare_quantize(CLI::App& app);
Action declare_dequantize(CLI::App& app);

inline constexpr std::array verbs{
    Verb{"formats", "print the tables of formats, block formats and policy profiles",
         "assay formats\n"
         "assay formats e2m1\n"
         "assay formats --json formats.json\n",
         declare_formats},
};

}  // namespace assay::tools
