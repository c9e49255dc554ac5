// SPDX-License-Identifier: Apache-2.0
#include "analysis/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/html.h"

namespace assay::analysis {
namespace {

constexpr double kWidth = 520, kHeight = 260, kLeft = 52, kRight = 10, kTop = 12, kBottom = 38;
constexpr std::array<std::string_view, 8> kDashes{"",    "6 3", "2 3",  "8 3 2 3",
                                                  "4 2", "1 2", "10 4", "3 3 1 3"};

std::string colour(std::size_t i) { return fmt::format("var(--s{})", i % 8); }

/// 1, 2 or 5 times a power of ten, giving about five intervals.
double tick_step(double range) {
  const double rough = range / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double m : {1.0, 2.0, 5.0}) {
    if (m * power >= rough) return m * power;
  }
  return 10 * power;
}

/// Maps values to the y of the drawing, linear from 0.
class Scale {
 public:
  explicit Scale(const LineChart& chart) {
    double largest = 0;
    for (const auto& s : chart.series) {
      for (const auto& p : s.points) largest = std::max({largest, p.y, p.high});
    }
    if (largest <= 0) largest = 1;
    const double step = tick_step(largest);
    high_ = std::ceil(largest / step - 1e-9) * step;
    for (int k = 0; k * step <= high_ * (1 + 1e-9); ++k) ticks_.push_back(k * step);
  }
  [[nodiscard]] double y(double value) const {
    return kHeight - kBottom - value / high_ * (kHeight - kBottom - kTop);
  }
  [[nodiscard]] const std::vector<double>& ticks() const { return ticks_; }

 private:
  double high_ = 1;
  std::vector<double> ticks_;
};

std::string draw_series(const LineChart& chart, std::size_t i, const Scale& scale,
                        const auto& x_of) {
  std::string path;
  std::string marks;
  const auto count = static_cast<double>(chart.series.size());
  for (const auto& p : chart.series[i].points) {
    // Side by side, so that whiskers and markers do not hide each other.
    const double x = x_of(p.x) + (static_cast<double>(i) - (count - 1) / 2) * 4;
    const double y = scale.y(p.y);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
    if (p.high > p.low) {
      marks += fmt::format(
          "<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" stroke=\"{3}\" stroke-width=\"1\" "
          "opacity=\".6\"/>",
          x, scale.y(p.low), scale.y(p.high), colour(i));
    }
    marks += marker(i, x, y);
  }
  return fmt::format(
      "<g><title>{}</title><path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.3\" "
      "stroke-dasharray=\"{}\" opacity=\".7\"/>{}</g>",
      escape(chart.series[i].name), path.empty() ? "M0 0" : path, colour(i), kDashes[i % 8], marks);
}

}  // namespace

std::string marker(std::size_t i, double x, double y) {
  const std::string fill = fmt::format("fill=\"{}\"", colour(i));
  const std::string stroke =
      fmt::format("fill=\"var(--paper)\" stroke=\"{}\" stroke-width=\"1.6\"", colour(i));
  const std::string& paint = i % 8 < 4 ? fill : stroke;
  switch (i % 4) {
    case 0:
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.4\" {}/>", x, y, paint);
    case 1:
      return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"6.4\" height=\"6.4\" {}/>",
                         x - 3.2, y - 3.2, paint);
    case 2:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l4.2 7.2h-8.4z\" {}/>", x, y - 4.4, paint);
    default:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l4.4 4.4-4.4 4.4-4.4-4.4z\" {}/>", x, y - 4.4,
                         paint);
  }
}

std::string legend(const std::vector<std::string>& names) {
  std::string out = "<ul class=\"legend\">";
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += fmt::format(
        "<li><svg viewBox=\"0 0 30 12\" aria-hidden=\"true\"><path d=\"M0 6H30\" fill=\"none\" "
        "stroke=\"{}\" stroke-width=\"1.3\" stroke-dasharray=\"{}\"/>{}</svg>{}</li>",
        colour(i), kDashes[i % 8], marker(i, 15, 6), escape(names[i]));
  }
  return out + "</ul>\n";
}

std::string line_chart(const LineChart& chart) {
  const Scale scale(chart);
  std::vector<double> xs;
  for (const auto& s : chart.series) {
    for (const auto& p : s.points) xs.push_back(p.x);
  }
  std::sort(xs.begin(), xs.end());
  xs.erase(std::unique(xs.begin(), xs.end()), xs.end());
  const double slot =
      (kWidth - kLeft - kRight) / static_cast<double>(std::max<std::size_t>(1, xs.size()));
  const auto x_of = [&](double x) {
    const auto rank = std::lower_bound(xs.begin(), xs.end(), x) - xs.begin();
    return kLeft + (static_cast<double>(rank) + 0.5) * slot;
  };
  std::string out = fmt::format(
      "<figure><figcaption>{0}</figcaption><svg viewBox=\"0 0 {1} {2}\" "
      "role=\"img\"><title>{0}</title>",
      escape(chart.title), kWidth, kHeight);
  for (const double t : scale.ticks()) {
    const double y = scale.y(t);
    const std::string label =
        chart.percent ? fmt::format("{:g} %", t * 100) : fmt::format("{:g}", t);
    out += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{}</text>",
        kLeft, y, kWidth - kRight, kLeft - 6, y + 4, label);
  }
  for (const double x : xs) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g}</text>", x_of(x),
                       kHeight - kBottom + 16, x);
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 6, escape(chart.x_label));
  for (std::size_t i = 0; i < chart.series.size(); ++i) out += draw_series(chart, i, scale, x_of);
  return out + "</svg></figure>\n";
}

std::string error_histogram(std::string_view title, const simulator::ErrorHistogram& histogram) {
  constexpr double width = 220;
  constexpr double height = 84;
  constexpr double base = 66;
  const auto largest = *std::max_element(histogram.bins.begin(), histogram.bins.end());
  std::uint64_t total = histogram.below + histogram.above;
  for (const auto b : histogram.bins) total += b;
  std::string path = fmt::format("M0 {}", base);
  for (int b = 0; b < simulator::kErrorBins; ++b) {
    const double share = largest == 0
                             ? 0
                             : static_cast<double>(histogram.bins[static_cast<std::size_t>(b)]) /
                                   static_cast<double>(largest);
    path += fmt::format("V{:.1f}H{:.1f}", base - share * (base - 6),
                        (b + 1) * width / simulator::kErrorBins);
  }
  path += fmt::format("V{}z", base);
  const double outside = total == 0 ? 0
                                    : static_cast<double>(histogram.below + histogram.above) /
                                          static_cast<double>(total);
  return fmt::format(
      "<figure><figcaption>{0}</figcaption><svg viewBox=\"0 0 {1} {2}\" role=\"img\"><title>{0}: "
      "errors over rms</title><path class=\"bar\" d=\"{3}\"/><path class=\"axis\" d=\"M0 "
      "{4}H{1}\"/>"
      "<path class=\"grid\" d=\"M110 4V{4}\"/><text x=\"0\" y=\"80\">−{5:.1f}</text><text "
      "x=\"110\" "
      "y=\"80\" text-anchor=\"middle\">0</text><text x=\"{1}\" y=\"80\" "
      "text-anchor=\"end\">{5:.1f}</text><text x=\"{1}\" y=\"12\" text-anchor=\"end\">beyond: "
      "{6}</text></svg></figure>",
      escape(title), width, height, path, base, simulator::kErrorRange, percent(outside));
}

}  // namespace assay::analysis
