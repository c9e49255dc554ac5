// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pieces of an HTML page. Everything that comes from data passes escape().

#include <string>
#include <string_view>
#include <vector>

namespace assay::analysis {

/// Text for element content and for attributes in double quotes; what XML forbids
/// (control characters, bytes that are not UTF-8) becomes U+FFFD.
[[nodiscard]] std::string escape(std::string_view text);

/// A figure as people read it: 4 significant digits, an exponent where it helps.
[[nodiscard]] std::string figure(double v);
/// 0.1234 -> "12.3 %".
[[nodiscard]] std::string percent(double fraction);

/// A cell: escaped text, or markup made by this room.
struct Cell {
  std::string html;
  bool number = false;
  std::string css_class;
};
[[nodiscard]] Cell text(std::string_view s);
[[nodiscard]] Cell number(std::string_view s);

/// <table> inside a box that scrolls sideways on a narrow screen.
[[nodiscard]] std::string table(const std::vector<std::string>& head,
                                const std::vector<std::vector<Cell>>& rows,
                                std::string_view caption = {});

/// The style sheet of the page.
[[nodiscard]] std::string_view style_sheet();

}  // namespace assay::analysis
