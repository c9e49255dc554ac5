// SPDX-License-Identifier: Apache-2.0
// Hundreds of properties on one screen: a table for each operation, what is asked of it down, its
// formats across; and all of it in words, folded.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "analysis/html.h"
#include "analysis/sections.h"

namespace assay::analysis {
namespace {

using proptests::Status;
using proptests::Verdict;

/// An id is operation.formats.aspect, the aspect with dots of its own where it has parts.
struct Id {
  std::string operation, formats, aspect;
};
Id split(const std::string& id) {
  const std::size_t first = id.find('.');
  const std::size_t second = first == id.npos ? id.npos : id.find('.', first + 1);
  if (second == id.npos)
    return {id.substr(0, first), "", first == id.npos ? "" : id.substr(first + 1)};
  return {id.substr(0, first), id.substr(first + 1, second - first - 1), id.substr(second + 1)};
}

void add_once(std::vector<std::string>& list, const std::string& name) {
  if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
}

struct Operation {
  std::string name;
  std::vector<std::string> formats, aspects;  ///< in the order of the catalogue
  std::map<std::pair<std::string, std::string>, const Verdict*> verdicts;  ///< aspect, formats
};

std::vector<Operation> operations_of(const proptests::Report& device) {
  std::vector<Operation> operations;
  for (const Verdict& v : device.verdicts) {
    const Id id = split(v.property);
    auto operation = std::find_if(operations.begin(), operations.end(),
                                  [&](const Operation& o) { return o.name == id.operation; });
    if (operation == operations.end())
      operation = operations.insert(operations.end(), Operation{id.operation, {}, {}, {}});
    add_once(operation->formats, id.formats);
    add_once(operation->aspects, id.aspect);
    operation->verdicts[{id.aspect, id.formats}] = &v;
  }
  return operations;
}

std::string cell(std::size_t device, const Verdict& v) {
  std::string out = v.counterexample
                        ? fmt::format("<a href=\"#{}\">{}</a>", escape(anchor(device, v.property)),
                                      badge(v.status))
                        : badge(v.status);
  if (v.status == Status::not_supported) out = "<span class=\"soft\">not claimed</span>";
  if (v.cases > 0) {
    out += fmt::format(" <span class=\"soft\">{}</span>", v.cases);
    if (v.cases < v.planned && v.status == Status::pass)
      out += fmt::format(" <span class=\"soft\">of {}</span>", v.planned);
  }
  return out;
}

std::string operation_table(std::size_t device, const Operation& operation) {
  std::int64_t passed = 0;
  std::int64_t failed = 0;
  for (const auto& [place, v] : operation.verdicts) {
    passed += v->status == Status::pass ? 1 : 0;
    failed += v->counterexample ? 1 : 0;
  }
  std::vector<std::string> head{operation.name};
  head.insert(head.end(), operation.formats.begin(), operation.formats.end());
  std::vector<std::vector<Cell>> rows;
  for (const std::string& aspect : operation.aspects) {
    std::vector<Cell> row{{"<span class=\"mono\">" + escape(aspect) + "</span>", false, ""}};
    for (const std::string& formats : operation.formats) {
      const auto found = operation.verdicts.find({aspect, formats});
      row.push_back(found == operation.verdicts.end()
                        ? text("")
                        : Cell{cell(device, *found->second), false, ""});
    }
    rows.push_back(std::move(row));
  }
  std::string outcome = fmt::format("{} of {} pass", passed, operation.verdicts.size());
  if (failed > 0) outcome += fmt::format(", {} fail", failed);
  return fmt::format(
      "<details class=\"operation\"{}><summary><b>{}</b> <span class=\"soft\">{}</span></summary>{}"
      "</details>\n",
      " open=\"open\"", escape(operation.name), outcome, table(head, rows));
}

}  // namespace

std::string certify_matrix(const Report& report) {
  std::string out =
      "<p class=\"soft\">What is asked of an operation, down; its formats, across; in each field "
      "the verdict and how many cases ran.</p>";
  for (std::size_t i = 0; i < report.certifications.size(); ++i) {
    const auto& device = report.certifications[i];
    if (report.certifications.size() > 1) out += fmt::format("<h3>{}</h3>", escape(device.device));
    for (const Operation& operation : operations_of(device)) out += operation_table(i, operation);
  }
  return out;
}

std::string property_list(const Report& report) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& device : report.certifications)
    for (const Verdict& v : device.verdicts) {
      std::string remark(v.detail);
      if (v.undecided > 0)
        remark += fmt::format("{}{} undecided", remark.empty() ? "" : "; ", v.undecided);
      rows.push_back({{"<span class=\"mono\">" + escape(v.property) + "</span>", false, ""},
                      {badge(v.status), false, ""},
                      text(remark),
                      text(v.statement),
                      text(v.section)});
    }
  return fmt::format(
      "<details><summary>Every property in words: what must hold, and the specification it follows "
      "from</summary>{}</details>\n",
      table({"property", "status", "remark", "must hold", "follows from"}, rows));
}

}  // namespace assay::analysis
