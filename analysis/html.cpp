// SPDX-License-Identifier: Apache-2.0
#include "analysis/html.h"

#include <fmt/format.h>

#include <cmath>

namespace assay::analysis {

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default: {
        const auto u = static_cast<unsigned char>(c);
        const bool forbidden = u < 0x20 && c != '\n' && c != '\t' && c != '\r';
        if (forbidden) {
          out += "&#xFFFD;";
        } else {
          out += c;
        }
      }
    }
  }
  return out;
}

std::string figure(double v) {
  if (std::isinf(v)) return v > 0 ? "∞" : "−∞";
  const double magnitude = std::fabs(v);
  std::string s = magnitude == 0                         ? "0"
                  : magnitude < 1e-3 || magnitude >= 1e5 ? fmt::format("{:.3e}", v)
                                                         : fmt::format("{:.4g}", v);
  return s;
}

std::string percent(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

Cell text(std::string_view s) { return {escape(s), false, ""}; }
Cell number(std::string_view s) { return {escape(s), true, ""}; }

std::string table(const std::vector<std::string>& head, const std::vector<std::vector<Cell>>& rows,
                  std::string_view caption) {
  std::string out = "<div class=\"scroll\"><table>";
  if (!caption.empty()) out += fmt::format("<caption>{}</caption>", escape(caption));
  out += "<thead><tr>";
  for (std::size_t c = 0; c < head.size(); ++c) {
    const bool is_number = !rows.empty() && c < rows[0].size() && rows[0][c].number;
    out += fmt::format("<th scope=\"col\"{}>{}</th>", is_number ? " class=\"n\"" : "",
                       escape(head[c]));
  }
  out += "</tr></thead><tbody>";
  for (const auto& row : rows) {
    out += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c) {
      std::string css = row[c].css_class;
      if (row[c].number) css += css.empty() ? "n" : " n";
      const std::string attribute = css.empty() ? "" : fmt::format(" class=\"{}\"", css);
      out += c == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", attribute, row[c].html)
                    : fmt::format("<td{}>{}</td>", attribute, row[c].html);
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace assay::analysis
