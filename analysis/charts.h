// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inline SVG figures. Colours come from the page's style sheet (--s0 .. --s7, told apart by marker
// and dash as well); every figure has a <title> for those who do not see it.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/spec.h"
#include "simulator/replay.h"

namespace assay::analysis {

struct Point {
  double x = 0, y = 0;
  double low = 0, high = 0;  ///< ends of the whisker; low == high: none
};
struct Series {
  std::string name;
  std::vector<Point> points;
};
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool percent = false;
};
[[nodiscard]] std::string line_chart(const LineChart& chart);
/// One of eight shapes for series i, centred.
[[nodiscard]] std::string marker(std::size_t i, double x, double y);
/// The marker and line of series i, for a legend.
[[nodiscard]] std::string legend(const std::vector<std::string>& names);

/// The nonnegative values of a small format on a line: codes, midpoints between them, and to which
/// side a tie goes under nearest_even. `usage`: how often each code of the format was used (both
/// signs of a magnitude are drawn together), or empty.
[[nodiscard]] std::string number_line(const formats::FormatSpec& spec,
                                      const std::array<std::uint64_t, 16>& usage);

[[nodiscard]] std::string error_histogram(std::string_view title,
                                          const simulator::ErrorHistogram& histogram);

}  // namespace assay::analysis
