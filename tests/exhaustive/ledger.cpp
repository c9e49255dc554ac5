// SPDX-License-Identifier: Apache-2.0
#include "exhaustive/ledger.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "formats/array.h"

namespace assay::exhaustive {
namespace {

constexpr const char* preface =
    "# Ledger of enumerations\n\n"
    "What has been checked on every input of its domain. The drivers in this folder write their "
    "own\n"
    "sections (`--ledger FILE`); nothing here is written by hand. Seconds are wall clock; "
    "processor\n"
    "seconds are those of all threads, whatever else ran beside them.\n";

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str().empty() ? preface : text.str();
}

}  // namespace

void add_to_ledger(std::vector<LedgerRow>& rows, const LedgerRow& row) {
  const auto same = std::find_if(rows.begin(), rows.end(),
                                 [&](const LedgerRow& r) { return r.domain == row.domain; });
  if (same == rows.end()) {
    rows.push_back(row);
    return;
  }
  same->cells += row.cells;
  same->inputs += row.inputs;
  same->differences += row.differences;
  same->seconds += row.seconds;
}

void write_ledger(const std::string& path, const std::string& driver,
                  const std::vector<LedgerRow>& rows, const std::string& command,
                  const std::string& commit) {
  const std::string begin = fmt::format("<!-- begin {} -->\n", driver);
  const std::string end = fmt::format("<!-- end {} -->\n", driver);
  std::string section =
      begin + fmt::format(
                  "\n## {}\n\n`{}`, commit {}, {:%Y-%m-%d}, {} ({} hardware threads, {})\n\n"
                  "| domain | cells | inputs | differences | seconds |\n|---|---|---|---|---|\n",
                  driver, command, commit.empty() ? "not recorded" : commit,
                  fmt::gmtime(std::time(nullptr)), processor(), std::thread::hardware_concurrency(),
                  formats::simd_target());
  LedgerRow all;
  const double cpu = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;  // of all threads
  for (const LedgerRow& row : rows) {
    all.cells += row.cells;
    all.cells_in_all += std::max(row.cells, row.cells_in_all);
    all.inputs += row.inputs;
    all.differences += row.differences;
    all.seconds += row.seconds;
    section += fmt::format("| {} | {} of {} | {} | {} | {:.1f} |\n", row.domain, row.cells,
                           std::max(row.cells, row.cells_in_all), row.inputs, row.differences,
                           row.seconds);
  }
  section += fmt::format(
      "| all of this section: {:.0f} processor seconds | {} of {} | {} | {} | {:.1f} |\n", cpu,
      all.cells, all.cells_in_all, all.inputs, all.differences, all.seconds);
  section += end;
  std::string text = read(path);
  const auto from = text.find(begin);
  const auto to = text.find(end);
  if (from != std::string::npos && to != std::string::npos) {
    text.replace(from, to + end.size() - from, section);
  } else {
    text += "\n" + section;
  }
  const std::string temporary = path + ".new";
  std::ofstream out(temporary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("cannot write " + temporary + "; is the folder writable?");
  std::filesystem::rename(temporary, path);
}

}  // namespace assay::exhaustive
