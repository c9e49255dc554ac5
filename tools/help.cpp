// SPDX-License-Identifier: Apache-2.0
#include "tools/help.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "tools/verb.h"

namespace assay::tools {

std::string short_help() {
  std::string text =
      "assay: an FP4 numerical simulator and verification suite\n\n"
      "  assay certify cpu                          hold the CPU kernels against the golden model\n"
      "  assay replay embedded --recipe nvfp4       what a recipe does to a recorded training "
      "state\n"
      "  assay formats e2m1                         every code of a format\n\n"
      "verbs (assay VERB --help):\n";
  for (const Verb& verb : verbs) text += fmt::format("  {:<16}{}\n", verb.name, verb.summary);
  text += "\nexit codes:\n";
  for (const ExitCodeRow& row : exit_codes)
    text += fmt::format("  {:>2}  {}\n", static_cast<int>(row.code), row.meaning);
  text += "  of several the first of 3 > 6 > 1 > 5 > 77 > 0\n";
  text += "\nassay --version prints the versions of everything that decides a bit.\n";
  return text;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  if (app->get_parent() == nullptr) return short_help();
  std::string text =
      fmt::format("assay {}: {}\n\nexamples:\n", app->get_name(), app->get_description());
  std::istringstream examples(app->get_footer());
  for (std::string line; std::getline(examples, line);) text += fmt::format("  {}\n", line);
  text += "\n" + make_usage(app, name) + make_positionals(app) + make_groups(app, mode);
  return text;
}

}  // namespace assay::tools
