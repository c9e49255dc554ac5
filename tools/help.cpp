// SPDX-License-Identifier: Apache-2.0
#include "tools/help.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "tools/verb.h"

namespace assay::tools {
namespace {

constexpr std::size_t kLeastColumns = 60;  // in fewer the descriptions would be ribbons

/// Of the terminal that reads the help; 0: none does, or it is too narrow to be laid out for.
std::size_t columns() {
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col >= kLeastColumns ? size.ws_col : 0;
}

/// Lines of options broken between words, below the description they belong to.
std::string wrapped(const std::string& text, std::size_t width, std::size_t described) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool option = line.size() > described && line.rfind("  ", described) != std::string::npos;
    const std::size_t indent = option ? described : 4;
    while (width > 0 && line.size() > width) {
      const std::size_t end = line.rfind(' ', width);
      if (end == std::string::npos || end <= indent) break;  // a word that fits nowhere
      out += line.substr(0, end) + "\n";
      line = std::string(indent, ' ') + line.substr(end + 1);
    }
    out += line + "\n";
  }
  return out;
}

}  // namespace

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
  const std::string options =
      make_usage(app, name) + make_positionals(app) + make_groups(app, mode);
  return text + "\n" + wrapped(options, columns(), get_column_width());
}

}  // namespace assay::tools
