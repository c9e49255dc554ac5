// SPDX-License-Identifier: Apache-2.0
#include "analysis/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace assay::analysis {

namespace {

/// Length of the UTF-8 sequence at the beginning of `s` if it is one of a character that XML 1.0
/// allows (section 2.2), else 0.
std::size_t character_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || s.size() < length) return 0;
  if (length == 1) return lead >= 0x20 || lead == '\n' || lead == '\t' || lead == '\r' ? 1 : 0;
  std::uint32_t code = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
    code = code << 6U | (byte(i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  const bool allowed = code >= smallest.at(length) && code <= 0x10FFFF &&
                       (code < 0xD800 || code > 0xDFFF) && code != 0xFFFE && code != 0xFFFF;
  return allowed ? length : 0;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i));
    const std::string_view character = text.substr(i, std::max<std::size_t>(length, 1));
    i += character.size();
    switch (character.front()) {
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
      default:
        out += length == 0 ? std::string_view("&#xFFFD;") : character;
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
