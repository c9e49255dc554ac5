// SPDX-License-Identifier: Apache-2.0
// assay: one program, a verb per question. Data goes to stdout, everything else to stderr.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "formats/names.h"
#include "simulator/atomic_file.h"
#include "tools/help.h"
#include "tools/verb.h"
#include "tools/version.h"

namespace assay::tools {
namespace {

void on_interrupt(int) {
  simulator::AtomicFile::discard_all();
  constexpr std::string_view message =
      "\nassay: interrupted; no report was written (a journal goes on with --resume)\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(static_cast<int>(ExitCode::interrupted));
}

/// Whoever read the output has enough (head): end as other programs do, without a word.
void on_closed_pipe(int) {
  simulator::AtomicFile::discard_all();
  std::signal(SIGPIPE, SIG_DFL);
  ::raise(SIGPIPE);
}

void install_signal_handlers() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  // A write beyond a limit is then an error of that write: exit 4.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, on_closed_pipe);
}

ExitCode usage_error(const std::string& sentence) {
  fmt::print(stderr, "assay: {}\n", sentence);
  return ExitCode::usage;
}

std::vector<std::string_view> verb_names() {
  std::vector<std::string_view> names;
  names.reserve(verbs.size());
  for (const Verb& verb : verbs) names.push_back(verb.name);
  return names;
}

/// What CLI11 leaves over: an option or an argument nobody declared.
std::string unexpected(const CLI::App& app, const std::string& argument) {
  if (!argument.starts_with('-'))
    return fmt::format("unexpected argument '{}'; see assay {} --help", argument, app.get_name());
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  const std::vector<std::string_view> known(names.begin(), names.end());
  return formats::unknown_name("option", argument.substr(0, argument.find('=')), known);
}

ExitCode run(int argc, char** argv) {
  CLI::App app;
  app.name("assay");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("-V,--version", version_text());
  app.require_subcommand(1, 1);
  std::map<const CLI::App*, Action> actions;
  for (const Verb& verb : verbs) {
    CLI::App* sub = app.add_subcommand(std::string(verb.name), std::string(verb.summary));
    sub->footer(std::string(verb.examples));
    actions.emplace(sub, verb.declare(*sub));
  }

  if (argc < 2 || std::string_view(argv[1]) == "help") {
    fmt::print("{}", short_help());
    return ExitCode::pass;
  }
  const std::string_view first = argv[1];
  const std::vector<std::string_view> names = verb_names();
  if (!first.starts_with('-') && std::find(names.begin(), names.end(), first) == names.end())
    return usage_error(formats::unknown_name("verb", first, names));

  if (first.starts_with('-') && app.get_option_no_throw(std::string(first)) == nullptr)
    return usage_error(unexpected(app, std::string(first)));

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version: CLI11 prints them
    app.exit(success);
    return ExitCode::pass;
  } catch (const CLI::ExtrasError&) {
    const std::vector<CLI::App*> chosen = app.get_subcommands();
    const std::vector<std::string> left = app.remaining(true);
    const CLI::App& where = chosen.empty() ? app : *chosen.front();
    return usage_error(unexpected(where, left.empty() ? "" : left.front()));
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what());
  }
  return actions.at(app.get_subcommands().front())();
}

}  // namespace
}  // namespace assay::tools

int main(int argc, char** argv) {
  using assay::tools::ExitCode;
  assay::tools::install_signal_handlers();
  const auto exit_with = [](ExitCode code) { return static_cast<int>(code); };
  try {
    const ExitCode code = assay::tools::run(argc, argv);
    // Results that did not reach stdout (a full disk) are not a pass.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      return exit_with(assay::tools::usage_error("cannot write standard output"));
    return exit_with(code);
  } catch (const std::overflow_error& error) {
    fmt::print(stderr, "assay: internal error: {}\n", error.what());
  } catch (const std::range_error& error) {
    fmt::print(stderr, "assay: internal error: {}\n", error.what());
  } catch (const std::invalid_argument& error) {
    return exit_with(assay::tools::usage_error(error.what()));
  } catch (const std::runtime_error& error) {
    return exit_with(assay::tools::usage_error(error.what()));
  } catch (const std::exception& error) {
    fmt::print(stderr, "assay: internal error: {}\n", error.what());
  }
  return exit_with(ExitCode::internal);
}
