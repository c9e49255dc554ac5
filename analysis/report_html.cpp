// SPDX-License-Identifier: Apache-2.0
// The page around the sections.
#include <fmt/format.h>

#include "analysis/charts.h"
#include "analysis/html.h"
#include "analysis/report.h"
#include "analysis/sections.h"

namespace assay::analysis {

std::string format_section(const Report& report) {
  std::array<std::uint64_t, 16> usage{};
  std::string users;
  for (const auto& replayed : report.replays) {
    bool used = false;
    for (const auto& t : replayed.result.tensors) {
      for (std::size_t c = 0; c < usage.size(); ++c) {
        usage[c] += t.codes[c];
        used = used || t.codes[c] > 0;
      }
    }
    if (used) users += (users.empty() ? "" : ", ") + replayed.recipe.name;
  }
  std::string out = "<h2 id=\"e2m1\">The E2M1 number line</h2>" + number_line(formats::e2m1, usage);
  out +=
      "<p class=\"soft\">Magnitudes with their hexadecimal codes; the sign is the code's top bit. "
      "Dashed: the "
      "midpoints between neighbours, with an arrow to the side a tie goes to under round to "
      "nearest "
      "even, which is the even code.";
  if (!users.empty()) {
    out += " Bars: how often a magnitude is used by the 4-bit tensors of " + escape(users) + ".";
  }
  return out + "</p>\n";
}

std::string to_html(const Report& report) {
  const auto& e = report.environment;
  std::string what;
  if (!report.certifications.empty()) what = "kernel certificates";
  if (!report.replays.empty()) what += (what.empty() ? "" : " and ") + std::string("recipe replay");
  if (report.network) what += (what.empty() ? "" : " and ") + std::string("network forecast");
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
      "<title>assay: {0}</title><style>{1}</style></head><body>\n"
      "<header class=\"top\"><h1>assay: {0}</h1><p class=\"soft\">version {2}, commit {3}, {4}; "
      "seed "
      "{5}</p></header>\n<main>\n",
      escape(what.empty() ? "empty report" : what), style_sheet(), escape(e.version),
      escape(e.commit), escape(e.compiler), report.seed);
  out += certify_section(report);
  out += network_section(report);
  out += replay_section(report);
  out += format_section(report);
  if (!e.command.empty()) {
    out += fmt::format("<h2>Repeat this run</h2><pre>{}</pre>\n", escape(e.command));
  }
  return out +
         "</main><footer>One file, no scripts, no network. The JSON beside it holds every "
         "figure.</footer>"
         "</body></html>\n";
}

}  // namespace assay::analysis
