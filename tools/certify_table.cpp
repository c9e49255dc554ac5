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

/// The properties' ids after `label`, in lines of at most 80 columns where an id allows it.
std::string listed(std::string_view label, std::span<const Verdict* const> verdicts) {
  constexpr std::size_t columns = 80;
  std::string text, line(label);
  for (const Verdict* v : verdicts) {
    if (line.size() + 1 + v->property.size() > columns && line.size() > label.size()) {
      text += line + '\n';
      line.assign(label.size(), ' ');
    }
    line += ' ' + v->property;
  }
  return text + line + '\n';
}

/// Why whole groups did not run is said once.
std::string not_run(const std::vector<Verdict>& verdicts) {
  std::string text;
  for (std::size_t i = 0; i < verdicts.size();) {
    const Verdict& first = verdicts[i];
    std::size_t end = i + 1;
    while (end < verdicts.size() && verdicts[end].status == first.status &&
           verdicts[end].detail == first.detail &&
           group_of(verdicts[end].property) == group_of(first.property))
      ++end;
    if (first.status != Status::pass && !first.counterexample) {
      const std::string what =
          end == i + 1 ? first.property
                       : fmt::format("{}: {} properties", group_of(first.property), end - i);
      text += fmt::format("{:<16}{}\n", proptests::name_of(first.status), what);
      if (!first.detail.empty()) text += fmt::format("{:<16}{}\n", "", first.detail);
    }
    i = end;
  }
  return text;
}

std::string table(const proptests::Report& report) {
  std::string text = fmt::format("{:<30}{:>6}{:>9}{:>5}{:>5}{:>6}{:>10}{:>9}\n", "group", "props",
                                 "cases", "pass", "fail", "other", "undecided", "declined");
  for (const Group& g : groups(report.verdicts))
    text +=
        fmt::format("{:<30}{:>6}{:>9}{:>5}{:>5}{:>6}{:>10}{:>9}\n", g.name, g.properties, g.cases,
                    g.pass, g.fail, g.properties - g.pass - g.fail, g.undecided, g.declined);
  return text + not_run(report.verdicts);
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
  const std::vector<Bug> all = bugs(report.verdicts);
  for (const Bug& bug : all) {
    text += '\n' + proptests::show(*bug.verdicts.front());
    if (bug.verdicts.size() == 1) continue;
    text +=
        listed(bug.id.empty() ? "  also fail, and nothing known explains them:" : "  the same bug:",
               std::span(bug.verdicts).subspan(1));
  }
  if (!all.empty()) text += "\n-v shows every failure\n";
  return text + proptests::totals(report);
}

}  // namespace assay::tools
