// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "analysis/report.h"
#include "proptests/journal.h"
#include "simulator/input_error.h"
#include "simulator/strict_json.h"
#include "tools/certify_result.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string before, after, json;
};

/// (device, property) -> status.
using Statuses = std::map<std::pair<std::string, std::string>, std::string>;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw simulator::InputError(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

Statuses statuses_of(const nlohmann::json& report) {
  Statuses statuses;
  for (const auto& device : report.at("certifications"))
    for (const auto& v : device.at("verdicts"))
      statuses[{device.at("device"), v.at("property")}] = v.at("status");
  return statuses;
}

/// Of a report, or of a journal, whose first line says that it is one.
Statuses read(const std::string& path) {
  const std::string text = text_of(path);
  if (text.starts_with("{\"assay_journal\"")) {
    const proptests::JournalContents journal = proptests::read_journal(path);
    const std::string report =
        analysis::to_json(analysis::report_of(journal.plan, journal.results, {})).dump();
    return statuses_of(nlohmann::json::parse(report));
  }
  try {
    return statuses_of(simulator::parse_strict_json(text, path, "the report"));
  } catch (const nlohmann::json::exception&) {
    throw simulator::InputError(path + ": is neither a report nor a journal of assay certify");
  }
}

ExitCode run(const Options& options) {
  const Statuses before = read(options.before);
  const Statuses after = read(options.after);
  Outputs outputs;
  outputs.json = options.json;
  nlohmann::ordered_json changes = nlohmann::ordered_json::array();
  Statuses all = before;
  all.insert(after.begin(), after.end());
  for (const auto& [key, status] : all) {
    const auto old = before.find(key);
    const auto now = after.find(key);
    const std::string was = old == before.end() ? "absent" : old->second;
    const std::string is = now == after.end() ? "absent" : now->second;
    if (was == is) continue;
    changes.push_back(
        {{"device", key.first}, {"property", key.second}, {"before", was}, {"after", is}});
    if (!outputs.to_stdout()) fmt::print("{:<16}-> {:<16}{}  {}\n", was, is, key.first, key.second);
  }
  const std::size_t count = changes.size();
  outputs.write_json({{"schema", "assay-diff"}, {"schema_version", 1}, {"changes", changes}});
  if (!outputs.to_stdout()) fmt::print("{} of {} properties differ\n", count, all.size());
  return count == 0 ? ExitCode::pass : ExitCode::fail;
}

}  // namespace

Action declare_diff(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RUN1", options->before, "a JSON report or a journal")->required();
  app.add_option("RUN2", options->after, "another")->required();
  app.add_option("--json", options->json, "write the changes as JSON to FILE (- for stdout)")
      ->type_name("FILE");
  return [options] { return run(*options); };
}

}  // namespace assay::tools
