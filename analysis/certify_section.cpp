// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "analysis/html.h"
#include "analysis/sections.h"

namespace assay::analysis {
namespace {

using proptests::Status;
using proptests::Verdict;

/// A colour, and a sign that does not depend on it.
std::string badge(Status status) {
  const bool good = status == Status::pass || status == Status::expected_fail;
  const bool bad = status == Status::fail || status == Status::crash || status == Status::timeout ||
                   status == Status::error || status == Status::unexpected_pass;
  return fmt::format("<span class=\"status {}\">{} {}</span>",
                     good  ? "pass"
                     : bad ? "fail"
                           : "other",
                     good  ? "✓"
                     : bad ? "✗"
                           : "–",
                     escape(proptests::name_of(status)));
}

std::string counterexample(const std::string& device, const Verdict& v) {
  const auto& c = *v.counterexample;
  std::string out = fmt::format(
      "<h3 class=\"mono\">{} · {}</h3><p>{} <span class=\"soft\">({})</span></p><dl "
      "class=\"case\">",
      escape(device), escape(v.property), escape(v.statement), escape(v.section));
  const auto row = [&](std::string_view term, std::string_view text) {
    if (!text.empty()) {
      out += fmt::format("<dt>{}</dt><dd class=\"mono\">{}</dd>", escape(term), escape(text));
    }
  };
  row("case",
      fmt::format("{} of {}, after {} shrinking steps", c.case_index, v.cases, c.shrink_steps));
  row("where", c.mismatch.where);
  row("criterion", c.mismatch.criterion);
  row("expected", c.mismatch.expected);
  row("observed", c.mismatch.observed);
  row("exact", c.mismatch.exact);
  row("distance", c.mismatch.distance);
  row("likely bug", show(c.diagnosis));
  for (const auto& o : c.operands) row(o.name, o.text);
  out += "</dl>";
  if (!c.replay.empty()) out += fmt::format("<pre>{}</pre>\n", escape(c.replay));
  return out;
}

std::string matrix(const Report& report) {
  std::vector<const Verdict*> properties;  // in the order of first appearance
  for (const auto& device : report.certifications) {
    for (const auto& v : device.verdicts) {
      const bool known = std::any_of(properties.begin(), properties.end(),
                                     [&](const Verdict* p) { return p->property == v.property; });
      if (!known) properties.push_back(&v);
    }
  }
  std::vector<std::string> head{"property"};
  for (const auto& device : report.certifications) head.push_back(device.device);
  head.insert(head.end(), {"must hold", "follows from"});
  std::vector<std::vector<Cell>> rows;
  for (const auto* p : properties) {
    std::vector<Cell> row{{"<span class=\"mono\">" + escape(p->property) + "</span>", false, ""}};
    for (const auto& device : report.certifications) {
      const auto found = std::find_if(device.verdicts.begin(), device.verdicts.end(),
                                      [&](const Verdict& v) { return v.property == p->property; });
      if (found == device.verdicts.end()) {
        row.push_back(text("not run"));
        continue;
      }
      std::string cell =
          badge(found->status) + fmt::format(" <span class=\"soft\">{} cases</span>", found->cases);
      if (found->undecided > 0) {
        cell += fmt::format("<br/><span class=\"soft\">{} undecided</span>", found->undecided);
      }
      if (!found->detail.empty()) {
        cell += "<br/><span class=\"soft\">" + escape(found->detail) + "</span>";
      }
      row.push_back({cell, false, ""});
    }
    row.push_back(text(p->statement));
    row.push_back(text(p->section));
    rows.push_back(std::move(row));
  }
  return table(head, rows);
}

constexpr std::string_view kLimits = R"html(<div class="note"><h3>What a PASS does not mean</h3>
<ul>
<li>It speaks of the cases that ran: generated inputs weighted to ties, block edges, zero blocks, subnormal
scales, saturation, NaN and Inf. No wrong answer was found among them; that is not a proof for all inputs,
except where a property enumerates its whole domain and says so.</li>
<li>It holds the device to its own claim. A kernel that claims another rounding, scale rule or accumulator is
judged as such; whether that convention suits your training is another question.</li>
<li>A GEMM within a derived bound may still differ from another correct GEMM, bit for bit.</li>
<li>It covers this build, on this machine and driver, for the shapes that ran. Speed and races between
launches are not judged.</li>
<li>The golden model follows published specifications; an error in our reading of them is possible.</li>
</ul></div>
)html";

}  // namespace

std::string certify_section(const Report& report) {
  if (report.certifications.empty()) return {};
  std::string out = "<h2 id=\"certificates\">Certificates</h2><div class=\"tiles\">";
  for (const auto& device : report.certifications) {
    std::int64_t passed = 0;
    std::int64_t cases = 0;
    for (const auto& v : device.verdicts) {
      passed += v.status == Status::pass ? 1 : 0;
      cases += v.cases;
    }
    out += fmt::format(
        "<div class=\"tile\"><span>{}</span><b>{} of {}</b><span>properties pass; {} cases, seed "
        "{}</span></div>",
        escape(device.device), passed, device.verdicts.size(), cases, device.seed);
  }
  out += "</div>" + matrix(report);
  bool first = true;
  for (const auto& device : report.certifications) {
    for (const auto& v : device.verdicts) {
      if (!v.counterexample) continue;
      if (first) out += "<h2>Counterexamples</h2>";
      first = false;
      out += counterexample(device.device, v);
    }
  }
  return out + std::string(kLimits);
}

}  // namespace assay::analysis
