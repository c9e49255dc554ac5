// SPDX-License-Identifier: Apache-2.0
#pragma once
// The report options that every verb shares: --json FILE and --html FILE, "-" for standard output.

#include <CLI/App.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace assay::tools {

struct Outputs {
  std::string json;
  std::string html;

  void declare_json(CLI::App& app);
  void declare_html(CLI::App& app);
  /// True where a report itself goes to standard output; the text for people then does not.
  [[nodiscard]] bool to_stdout() const { return json == "-" || html == "-"; }
  /// Throws where a report could not be written: before a long run, not after it.
  void require_writable() const;
  void write_json(const nlohmann::ordered_json& document) const;
  /// Makes the page only where one was asked for.
  void write_html(const std::function<std::string()>& page) const;
};

/// A CLI11 check of IN and OUT: "-" would be a file of that name. Empty where the name is fine.
[[nodiscard]] std::string not_a_stream(const std::string& name);

}  // namespace assay::tools
