// SPDX-License-Identifier: Apache-2.0
// What a run looks like on a terminal.
#include <fmt/format.h>

#include <array>
#include <stdexcept>

#include "proptests/certify.h"

namespace assay::proptests {

std::string_view name_of(Status status) {
  constexpr std::array<std::string_view, 9> names{"pass",    "fail",          "not_supported",
                                                  "skipped", "crash",         "timeout",
                                                  "error",   "expected_fail", "unexpected_pass"};
  return names.at(static_cast<std::size_t>(status));
}

Status status_named(std::string_view name) {
  for (int i = 0; i < 9; ++i)
    if (name_of(static_cast<Status>(i)) == name) return static_cast<Status>(i);
  throw std::invalid_argument("'" + std::string(name) + "' is no status");
}

std::string show(const Diagnosis& d) {
  if (d.candidates.empty())
    return d.evidence.empty() ? "" : "none of the known ones; " + d.evidence;
  const Candidate& first = d.candidates.front();
  std::string text = fmt::format("{}{}{} ({}): reproduces {} of {} failing cases", first.name,
                                 first.where.empty() ? "" : ", ", first.where, first.id,
                                 first.explained, first.failing);
  if (first.passing > 0)
    text += fmt::format(", leaves {} of {} passing ones", first.consistent, first.passing);
  for (std::size_t i = 1; i < d.candidates.size() && i < 4; ++i)
    text += fmt::format("{} {}", i == 1 ? "; or" : ",", d.candidates[i].id);
  return text;
}

std::string show(const Verdict& v) {
  std::string text = fmt::format("{}  {}\n", name_of(v.status), v.property);
  text += fmt::format("  must hold:  {}\n  follows from: {}\n", v.statement, v.section);
  if (!v.detail.empty()) text += fmt::format("  {}\n", v.detail);
  if (!v.counterexample) return text;
  const Counterexample& c = *v.counterexample;
  text += fmt::format("  case {} of {}, after {} shrinking steps:\n", c.case_index, v.cases,
                      c.shrink_steps);
  for (const NamedText& operand : c.operands)
    text += fmt::format("    {}: {}\n", operand.name, operand.text);
  const auto line = [&](const char* label, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<12}{}\n", label, value);
  };
  line("at", c.mismatch.where);
  line("criterion", c.mismatch.criterion);
  line("exact", c.mismatch.exact);
  line("expected", c.mismatch.expected);
  line("observed", c.mismatch.observed);
  line("distance", c.mismatch.distance);
  line("likely bug", show(c.diagnosis));
  line("replay:", c.replay);
  return text;
}

std::string summary(const Report& report) {
  std::string text;
  for (const Verdict& v : report.verdicts) {
    text += fmt::format("{:<14}{:<46}{:>8} cases", name_of(v.status), v.property, v.cases);
    if (v.undecided > 0) text += fmt::format(", {} undecided", v.undecided);
    if (v.not_supported > 0) text += fmt::format(", {} declined", v.not_supported);
    if (v.flakes > 0) text += fmt::format(", {} flaky", v.flakes);
    text += '\n';
  }
  return text + totals(report);
}

std::string totals(const Report& report) {
  std::string text = fmt::format("{}: {} properties, {} cases, seed {}:", report.device,
                                 report.verdicts.size(), report.cases(), report.seed);
  for (const Status status :
       {Status::pass, Status::fail, Status::not_supported, Status::skipped, Status::error,
        Status::crash, Status::timeout, Status::expected_fail, Status::unexpected_pass})
    if (const auto count = report.count(status); count > 0)
      text += fmt::format(" {} {}", count, name_of(status));
  if (const auto count = report.unfinished(); count > 0)
    text += fmt::format(" ({} unfinished)", count);
  return text + '\n';
}

}  // namespace assay::proptests
