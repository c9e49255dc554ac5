// SPDX-License-Identifier: Apache-2.0
#include "tools/certify_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::tools {
namespace {

using proptests::Status;
using proptests::Verdict;

struct Group {
  std::string_view name;
  std::int64_t properties = 0, cases = 0, pass = 0, fail = 0, undecided = 0, declined = 0;
};

std::string_view group_of(std::string_view id) {
  const std::size_t first = id.find('.');
  return first == std::string_view::npos ? id : id.substr(0, id.find('.', first + 1));
}

/// In the order in which they ran.
std::vector<Group> groups(const std::vector<Verdict>& verdicts) {
  std::vector<Group> out;
  for (const Verdict& v : verdicts) {
    const std::string_view name = group_of(v.property);
    auto group =
        std::find_if(out.begin(), out.end(), [&](const Group& g) { return g.name == name; });
    if (group == out.end()) group = out.insert(out.end(), Group{.name = name});
    group->properties += 1;
    group->cases += v.cases;
    group->pass += v.status == Status::pass ? 1 : 0;
    group->fail += v.status == Status::fail ? 1 : 0;
    group->undecided += v.undecided;
    group->declined += v.not_supported;
  }
  return out;
}

}  // namespace

std::string certify_table(const proptests::Report& report) {
  std::string text = fmt::format("{:<30}{:>6}{:>9}{:>5}{:>5}{:>6}{:>10}{:>9}\n", "group", "props",
                                 "cases", "pass", "fail", "other", "undecided", "declined");
  for (const Group& g : groups(report.verdicts))
    text +=
        fmt::format("{:<30}{:>6}{:>9}{:>5}{:>5}{:>6}{:>10}{:>9}\n", g.name, g.properties, g.cases,
                    g.pass, g.fail, g.properties - g.pass - g.fail, g.undecided, g.declined);
  for (const Verdict& v : report.verdicts) {
    if (v.status == Status::pass) continue;
    text += fmt::format("{:<16}{}\n", proptests::name_of(v.status), v.property);
    if (!v.detail.empty()) text += fmt::format("{:<16}{}\n", "", v.detail);
  }
  return text + proptests::totals(report);
}

}  // namespace assay::tools
