// SPDX-License-Identifier: Apache-2.0
// A summary for a pull request or a CI job's page: totals, a row per group, the failures.
#include <fmt/format.h>

#include <algorithm>

#include "analysis/html.h"
#include "analysis/report.h"

namespace assay::analysis {
namespace {

using proptests::Status;
using proptests::Verdict;

/// In a table's cell: no pipe ends it, no markup begins, no line breaks it.
std::string cell(std::string_view s) {
  std::string out;
  for (const char c : escape(s)) {
    if (c == '|' || c == '`' || c == '*' || c == '_' || c == '[' || c == '\\') out += '\\';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out;
}

/// A code block that the text cannot end: its fence is longer than any run of ticks inside.
std::string block(std::string_view text) {
  std::size_t longest = 2, run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(longest + 1, '`');
  return fmt::format("{0}\n{1}{2}{0}\n", fence, text, text.ends_with('\n') ? "" : "\n");
}

struct Row {
  std::string group;
  std::int64_t properties = 0, pass = 0, fail = 0, cases = 0;
};

bool bad(Status s) {
  return s == Status::fail || s == Status::crash || s == Status::timeout || s == Status::error ||
         s == Status::unexpected_pass;
}

std::vector<Row> rows_of(const proptests::Report& device) {
  std::vector<Row> rows;
  for (const Verdict& v : device.verdicts) {
    const std::size_t dot = v.property.find('.');
    const std::string group = v.property.substr(0, v.property.find('.', dot + 1));
    auto row =
        std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.group == group; });
    if (row == rows.end()) row = rows.insert(rows.end(), Row{.group = group});
    row->properties += 1;
    row->pass += v.status == Status::pass ? 1 : 0;
    row->fail += bad(v.status) ? 1 : 0;
    row->cases += v.cases;
  }
  return rows;
}

std::string device_part(const proptests::Report& device) {
  std::string out = fmt::format("## {}\n\n{}\n", cell(device.device), cell(totals(device)));
  if (!device.profile.empty())
    out += fmt::format("Profile {} ({}).\n\n", cell(device.profile), cell(device.profile_hash));
  out += "\n| group | properties | cases | pass | fail | other |\n|---|--:|--:|--:|--:|--:|\n";
  for (const Row& r : rows_of(device))
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", cell(r.group), r.properties, r.cases,
                       r.pass, r.fail, r.properties - r.pass - r.fail);
  std::string notes;
  for (const Verdict& v : device.verdicts)
    if (v.status != Status::pass || !v.detail.empty())
      notes += fmt::format("| {} | {} | {} |\n", proptests::name_of(v.status), cell(v.property),
                           cell(v.detail));
  if (!notes.empty())
    out +=
        "\n<details><summary>Everything but a plain pass</summary>\n\n| status | property | |\n"
        "|---|---|---|\n" +
        notes + "\n</details>\n";
  for (const Verdict& v : device.verdicts)
    if (v.counterexample)
      out +=
          fmt::format("\n<details><summary>{} {}</summary>\n\n{}\n</details>\n",
                      proptests::name_of(v.status), escape(v.property), block(proptests::show(v)));
  return out;
}

}  // namespace

std::string to_markdown(const Report& report) {
  const Environment& e = report.environment;
  std::string out = "# assay certify\n\n";
  for (const proptests::Report& device : report.certifications) out += device_part(device);
  return out + fmt::format(
                   "\nassay {}, commit {}, {}. Repeat: {}\nA pass speaks of the cases that ran and "
                   "of the device's own claim; it proves nothing about other inputs, speed or "
                   "another build.\n",
                   cell(e.version), cell(e.commit), cell(e.compiler), cell(e.command));
}

}  // namespace assay::analysis
