// SPDX-License-Identifier: Apache-2.0
#include "tools/certify_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
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
  std::int64_t unclaimed = 0;  ///< properties that no claim of the device is about

  [[nodiscard]] bool foreign() const { return unclaimed == properties; }
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
    group->unclaimed += v.status == Status::not_supported && v.cases == 0 ? 1 : 0;
  }
  return out;
}

/// Failures that one bug explains.
struct Bug {
  std::string_view id;  ///< of the hypothesis; empty: none reproduces the answers
  std::vector<const Verdict*> verdicts;
};

bool explains(std::string_view id, const Verdict& v) {
  const auto& all = v.counterexample->diagnosis.candidates;
  return std::any_of(all.begin(), all.end(), [id](const auto& c) { return c.id == id; });
}

/// The fewest bugs, found greedily: the one that explains most of what is left, the first named of
/// equals; last what nothing explains.
std::vector<Bug> bugs(const std::vector<Verdict>& verdicts) {
  std::vector<const Verdict*> left;
  for (const Verdict& v : verdicts)
    if (v.counterexample) left.push_back(&v);
  std::vector<Bug> out;
  while (!left.empty()) {
    std::string_view best;
    std::ptrdiff_t most = 0;
    for (const Verdict* v : left) {
      if (v->counterexample->diagnosis.candidates.empty()) continue;
      const std::string_view id = v->counterexample->diagnosis.candidates.front().id;
      const auto count = std::count_if(left.begin(), left.end(),
                                       [id](const Verdict* w) { return explains(id, *w); });
      if (count > most) {
        best = id;
        most = count;
      }
    }
    const auto rest = std::stable_partition(left.begin(), left.end(), [&](const Verdict* v) {
      return most == 0 || explains(best, *v);
    });
    out.push_back({best, {left.begin(), rest}});
    // One that names it first is shown.
    std::stable_partition(out.back().verdicts.begin(), out.back().verdicts.end(),
                          [best](const Verdict* v) {
                            const auto& c = v->counterexample->diagnosis.candidates;
                            return !c.empty() && c.front().id == best;
                          });
    left.erase(left.begin(), rest);
  }
  return out;
}

/// The names after `label`, in lines of at most 80 columns where a name allows it.
std::string listed(const std::string& label, std::span<const std::string_view> names) {
  constexpr std::size_t columns = 80;
  std::string text, line(label);
  for (const std::string_view name : names) {
    if (line.size() + 1 + name.size() > columns && line.size() > label.size()) {
      text += line + '\n';
      line.assign(label.size(), ' ');
    }
    line += ' ';
    line += name;
  }
  return text + line + '\n';
}

/// Properties of claimed groups that neither passed nor failed; a run of them with one reason is
/// one entry.
std::string not_run(std::span<const Verdict> verdicts) {
  std::string text;
  for (std::size_t i = 0; i < verdicts.size();) {
    const Verdict& first = verdicts[i];
    std::vector<std::string_view> names;
    for (; i < verdicts.size() && verdicts[i].status == first.status &&
           verdicts[i].detail == first.detail;
         ++i)
      if (first.status != Status::pass && !verdicts[i].counterexample)
        names.push_back(verdicts[i].property);
    if (names.empty()) continue;
    text += listed(fmt::format("{:<15}", proptests::name_of(first.status)), names);
    if (!first.detail.empty()) text += fmt::format("{:<16}{}\n", "", first.detail);
  }
  return text;
}

std::string table(const proptests::Report& report) {
  std::string text = fmt::format("{:<30}{:>6}{:>9}{:>5}{:>5}{:>6}{:>10}{:>9}\n", "group", "props",
                                 "cases", "pass", "fail", "other", "undecided", "declined");
  const std::vector<Group> all = groups(report.verdicts);
  std::vector<std::string_view> foreign;
  for (const Group& g : all) {
    if (g.foreign()) {
      foreign.push_back(g.name);
      continue;
    }
    text +=
        fmt::format("{:<30}{:>6}{:>9}{:>5}{:>5}{:>6}{:>10}{:>9}\n", g.name, g.properties, g.cases,
                    g.pass, g.fail, g.properties - g.pass - g.fail, g.undecided, g.declined);
  }
  std::vector<Verdict> own;
  for (const Verdict& v : report.verdicts)
    if (std::find(foreign.begin(), foreign.end(), group_of(v.property)) == foreign.end())
      own.push_back(v);
  text += not_run(own);
  constexpr std::size_t most_listed = 12;
  if (foreign.size() > most_listed)
    text += fmt::format("not claimed: {} other groups\n", foreign.size());
  else if (!foreign.empty())
    text += listed("not claimed:", foreign);
  return text;
}

}  // namespace

std::string certify_text(const proptests::Report& report, bool verbose) {
  if (verbose) {
    std::string text = summary(report);
    for (const Verdict& v : report.verdicts)
      if (v.counterexample) text += '\n' + proptests::show(v);
    return text;
  }
  std::string text = table(report);
  bool hidden = false;
  for (const Bug& bug : bugs(report.verdicts)) {
    text += '\n' + proptests::show(*bug.verdicts.front());
    if (bug.verdicts.size() == 1) continue;
    hidden = true;
    std::vector<std::string_view> others;
    for (const Verdict* v : std::span(bug.verdicts).subspan(1)) others.push_back(v->property);
    text += listed(bug.id.empty() ? "  no known bug:" : "  the same bug:", others);
  }
  if (hidden) text += "\n-v shows every failure\n";
  return text + proptests::totals(report);
}

}  // namespace assay::tools
