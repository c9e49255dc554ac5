// SPDX-License-Identifier: Apache-2.0
// Errors against their bounds: both axes logarithmic, the line error = bound, a point for each of
// the worst cases of each property. Points above the line are failures.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "analysis/charts.h"
#include "analysis/html.h"
#include "analysis/sections.h"

namespace assay::analysis {
namespace {

constexpr double width = 720, height = 420, left = 64, right = 14, top = 12, bottom = 42;
/// An error of 0 has no logarithm: such points stand on the floor, this many decades below the
/// smallest bound.
constexpr double floor_decades = 4;

struct Dot {
  double allowed = 0, error = 0;
  std::size_t series = 0;
  const std::string* property = nullptr;
};

struct Axis {
  double low = 0, high = 1;  ///< decades
  [[nodiscard]] double share(double decades) const {
    return (std::clamp(decades, low, high) - low) / (high - low);
  }
};

double x_of(const Axis& axis, double decades) {
  return left + axis.share(decades) * (width - left - right);
}
double y_of(const Axis& axis, double decades) {
  return height - bottom - axis.share(decades) * (height - bottom - top);
}

/// At most nine labels, at whole decades.
int step_of(const Axis& axis) {
  return std::max(1, static_cast<int>(std::ceil((axis.high - axis.low) / 9)));
}

std::string frame(const Axis& xs, const Axis& ys) {
  std::string out;
  for (double d = ys.low; d <= ys.high; d += step_of(ys))
    out += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">1e{:+.0f}</text>",
        left, y_of(ys, d), width - right, left - 6, y_of(ys, d) + 4, d);
  for (double d = xs.low; d <= xs.high; d += step_of(xs))
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">1e{:+.0f}</text>",
                       x_of(xs, d), height - bottom + 16, d);
  const double from = std::max(xs.low, ys.low);
  const double to = std::min(xs.high, ys.high);
  if (from < to)
    out += fmt::format(
        "<path class=\"axis\" stroke-dasharray=\"5 4\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>",
        x_of(xs, from), y_of(ys, from), x_of(xs, to), y_of(ys, to));
  out += fmt::format(
      "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">bound: T + half an ulp</text><text "
      "transform=\"translate(13 {}) rotate(-90)\" text-anchor=\"middle\">error</text>",
      (left + width - right) / 2, height - 6, (top + height - bottom) / 2);
  return out;
}

std::string plot(const std::string& device, const std::vector<Dot>& dots,
                 const std::vector<std::string>& names) {
  Axis xs{1e9, -1e9};
  for (const Dot& dot : dots) {
    xs.low = std::min(xs.low, std::floor(std::log10(dot.allowed)));
    xs.high = std::max(xs.high, std::ceil(std::log10(dot.allowed)));
  }
  if (xs.high <= xs.low) xs.high = xs.low + 1;
  Axis ys{xs.low - floor_decades, xs.high};
  for (const Dot& dot : dots)
    if (std::isfinite(dot.error) && dot.error > 0)
      ys.high = std::max(ys.high, std::ceil(std::log10(dot.error)));
  std::string out = fmt::format(
      "<figure class=\"wide\"><svg viewBox=\"0 0 {} {}\" role=\"img\"><title>{}: errors against "
      "their bounds</title>",
      width, height, escape(device));
  out += frame(xs, ys);
  std::vector<std::string> groups(names.size());
  for (const Dot& dot : dots) {
    const double decades = dot.error > 0 ? std::log10(dot.error) : ys.low;
    groups[dot.series] +=
        fmt::format("<g><title>{}: error {}, bound {}</title>{}</g>", escape(*dot.property),
                    figure(dot.error), figure(dot.allowed),
                    marker(dot.series, x_of(xs, std::log10(dot.allowed)), y_of(ys, decades)));
  }
  for (const std::string& group : groups) out += "<g opacity=\".75\">" + group + "</g>";
  return out + "</svg></figure>\n" + legend(names);
}

}  // namespace

std::string bound_plots(const Report& report) {
  std::string out;
  for (const auto& device : report.certifications) {
    std::vector<Dot> dots;
    std::vector<std::string> names;
    for (const auto& v : device.verdicts) {
      const std::string operation = v.property.substr(0, v.property.find('.'));
      for (const auto& p : v.points) {
        if (!std::isfinite(p.allowed) || p.allowed <= 0 || std::isnan(p.error)) continue;
        auto name = std::find(names.begin(), names.end(), operation);
        if (name == names.end()) name = names.insert(names.end(), operation);
        dots.push_back(
            {p.allowed, p.error, static_cast<std::size_t>(name - names.begin()), &v.property});
      }
    }
    if (dots.empty()) continue;
    if (out.empty())
      out =
          "<h2 id=\"bounds\">Errors and their bounds</h2><p class=\"soft\">The results that came "
          "closest to their bound, at most 12 of a property. On the dashed line the error is the "
          "whole "
          "bound; above it the kernel is wrong. Errors of 0 and far below the axis stand on the "
          "floor."
          "</p>";
    if (report.certifications.size() > 1) out += "<h3>" + escape(device.device) + "</h3>";
    out += plot(device.device, dots, names);
  }
  return out;
}

}  // namespace assay::analysis
