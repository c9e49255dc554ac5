// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "analysis/charts.h"
#include "analysis/html.h"
#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/names.h"

namespace assay::analysis {

std::string number_line(const formats::FormatSpec& spec,
                        const std::array<std::uint64_t, 16>& usage) {
  constexpr double left = 26;
  constexpr double right = 700;
  constexpr double line = 150;
  const auto fields = formats::fields_of(spec);
  const std::uint32_t last = fields.max_finite();
  const double largest = formats::decode(spec, last);
  const auto x_of = [&](double v) { return left + v / largest * (right - left); };
  std::uint64_t most = 0;
  std::uint64_t total = 0;
  const auto used = [&](std::uint32_t code) {
    const std::uint32_t negative = fields.with_sign(code, true);
    return usage[code % 16] + (negative != code ? usage[negative % 16] : 0);
  };
  for (std::uint32_t c = 0; c <= last; ++c) {
    most = std::max(most, used(c));
    total += used(c);
  }
  std::string out = fmt::format(
      "<figure class=\"wide\"><svg viewBox=\"0 0 726 216\" role=\"img\"><title>{} number line: "
      "values, midpoints and the side to which ties go</title>",
      escape(spec.name));
  out += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>", left - 8, line, right + 10);
  for (std::uint32_t c = 0; c <= last; ++c) {
    const double v = formats::decode(spec, c);
    const double x = x_of(v);
    if (total > 0) {
      const double height = 96 * static_cast<double>(used(c)) / static_cast<double>(most);
      out += fmt::format(
          "<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"18\" height=\"{:.1f}\"/><text "
          "x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
          x - 9, line - 8 - height, height, x, line - 12 - height,
          percent(static_cast<double>(used(c)) / static_cast<double>(total)));
    }
    out += fmt::format(
        "<path class=\"ink\" stroke-width=\"2\" d=\"M{0:.1f} {1}V{2}\"/><text class=\"ink b\" "
        "x=\"{0:.1f}\" "
        "y=\"{3}\" text-anchor=\"middle\">{4:g}</text><text class=\"mono\" x=\"{0:.1f}\" y=\"{5}\" "
        "text-anchor=\"middle\">{6:X}</text>",
        x, line - 7, line + 7, line + 22, v, line + 36, c);
  }
  for (std::uint32_t c = 0; c < last; ++c) {
    const double low = formats::decode(spec, c);
    const double high = formats::decode(spec, c + 1);
    const double x = x_of((low + high) / 2);
    // What the codec does with the tie, not what this figure believes.
    const auto& policy = formats::profile_row(formats::saturating, spec).policy;
    const bool up = formats::encode(spec, (low + high) / 2, formats::RoundingMode::nearest_even,
                                    policy) == c + 1;
    const double tip = up ? x + 11 : x - 11;
    out += fmt::format(
        "<path stroke=\"var(--s1)\" stroke-width=\"1.5\" stroke-dasharray=\"3 2\" d=\"M{0:.1f} "
        "{1}V{2}\"/><path fill=\"none\" stroke=\"var(--s1)\" stroke-width=\"1.6\" d=\"M{0:.1f} "
        "{3}H{4:.1f}m{5} -3l{6} 3 {5} 3\"/><text x=\"{0:.1f}\" y=\"{7}\" "
        "text-anchor=\"middle\">{8:g}</text>",
        x, line - 5, line + 46, line + 46, tip, up ? -4 : 4, up ? 4 : -4, line + 61,
        (low + high) / 2);
  }
  return out + "</svg></figure>\n";
}

}  // namespace assay::analysis
