// SPDX-License-Identifier: Apache-2.0
#pragma once
// --help as its readers want it: what it is, examples, then the options.

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>
#include <string>

namespace assay::tools {

/// The whole of `assay` and `assay --help`: verbs, examples, exit codes.
std::string short_help();

/// CLI11's formatter with the examples (kept in the verb's footer) before usage and options, which
/// are broken between words to the width of the terminal, if one reads them.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

}  // namespace assay::tools
