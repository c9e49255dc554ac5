// SPDX-License-Identifier: Apache-2.0
#pragma once
// The report options that verbs share: --json, --html, --junit and --markdown FILE, "-" for
// standard output.

#include <CLI/App.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace assay::tools {

struct Outputs {
  std::string json;
  std::string html;
  std::string junit;
  std::string markdown;

  void declare_json(CLI::App& app);
  void declare_html(CLI::App& app);
  void declare_junit(CLI::App& app);
  void declare_markdown(CLI::App& app);
  /// True where a report itself goes to standard output; the text for people then does not.
  [[nodiscard]] bool to_stdout() const {
    return json == "-" || html == "-" || junit == "-" || markdown == "-";
  }
  /// Throws where a report could not be written: before a long run, not after it.
  void require_writable() const;
  void write_json(const nlohmann::ordered_json& document) const;
  /// These make the page only where one was asked for.
  void write_html(const std::function<std::string()>& page) const;
  void write_junit(const std::function<std::string()>& page) const;
  void write_markdown(const std::function<std::string()>& page) const;
};

/// A CLI11 check of IN and OUT: "-" would be a file of that name. Empty where the name is fine.
[[nodiscard]] std::string not_a_stream(const std::string& name);

}  // namespace assay::tools
