// SPDX-License-Identifier: Apache-2.0
#include "tools/outputs.h"

#include <fmt/format.h>

#include "simulator/atomic_file.h"

namespace assay::tools {
namespace {

void write(const std::string& path, const std::string& text) {
  if (path == "-") {
    fmt::print("{}", text);
    return;
  }
  simulator::AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace

void Outputs::declare_json(CLI::App& app) {
  app.add_option("--json", json, "write the result as JSON to FILE (- for stdout)")
      ->type_name("FILE");
}

void Outputs::declare_html(CLI::App& app) {
  app.add_option("--html", html, "write a self-contained page to FILE (- for stdout)")
      ->type_name("FILE");
}

void Outputs::declare_junit(CLI::App& app) {
  app.add_option("--junit", junit, "write JUnit XML to FILE (- for stdout)")->type_name("FILE");
}

void Outputs::declare_markdown(CLI::App& app) {
  app.add_option("--markdown", markdown, "write a summary in Markdown to FILE (- for stdout)")
      ->type_name("FILE");
}

void Outputs::require_writable() const {
  for (const std::string& path : {json, html, junit, markdown})
    if (!path.empty() && path != "-") const simulator::AtomicFile probe(path);
}

void Outputs::write_json(const nlohmann::ordered_json& document) const {
  if (!json.empty())
    write(json,
          document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void Outputs::write_html(const std::function<std::string()>& page) const {
  if (!html.empty()) write(html, page());
}

void Outputs::write_junit(const std::function<std::string()>& page) const {
  if (!junit.empty()) write(junit, page());
}

void Outputs::write_markdown(const std::function<std::string()>& page) const {
  if (!markdown.empty()) write(markdown, page());
}

std::string not_a_stream(const std::string& name) {
  return name == "-" ? "standard input and output do not stream; give a file" : "";
}

}  // namespace assay::tools
