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

void Outputs::write_json(const nlohmann::ordered_json& document) const {
  if (!json.empty()) write(json, document.dump(2) + "\n");
}

void Outputs::write_html(const std::function<std::string()>& page) const {
  if (!html.empty()) write(html, page());
}

}  // namespace assay::tools
