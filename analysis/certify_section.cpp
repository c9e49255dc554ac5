// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "analysis/html.h"
#include "analysis/sections.h"

namespace assay::analysis {
namespace {

using proptests::Status;
using proptests::Verdict;

}  // namespace

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

std::string anchor(std::size_t device, std::string_view property) {
  return fmt::format("case-{}-{}", device, property);
}

namespace {

std::string counterexample(std::size_t number, const std::string& device, const Verdict& v) {
  const auto& c = *v.counterexample;
  std::string out = fmt::format(
      "<h3 class=\"mono\" id=\"{}\">{} · {}</h3><p>{} <span class=\"soft\">({})</span></p><dl "
      "class=\"case\">",
      escape(anchor(number, v.property)), escape(device), escape(v.property), escape(v.statement),
      escape(v.section));
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
  for (const auto& o : c.operands) {
    if (o.text.find('\n') == std::string::npos)
      row(o.name, o.text);
    else
      out += fmt::format("<dt>{}</dt><dd><pre class=\"values\">{}</pre></dd>", escape(o.name),
                         escape(o.text));
  }
  out += "</dl>";
  if (!c.replay.empty()) out += fmt::format("<pre>{}</pre>\n", escape(c.replay));
  return out;
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
  out += "</div>" + certify_matrix(report) + bound_plots(report) + property_list(report);
  bool first = true;
  for (std::size_t number = 0; number < report.certifications.size(); ++number) {
    const auto& device = report.certifications[number];
    for (const auto& v : device.verdicts) {
      if (!v.counterexample) continue;
      if (first) out += "<h2>Counterexamples</h2>";
      first = false;
      out += counterexample(number, device.device, v);
    }
  }
  return out + std::string(kLimits);
}

}  // namespace assay::analysis
