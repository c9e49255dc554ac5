// SPDX-License-Identifier: Apache-2.0
// A whole network on the page: what was predicted beside what was measured.
#include <fmt/format.h>

#include <algorithm>

#include "analysis/charts.h"
#include "analysis/html.h"
#include "analysis/sections.h"
#include "analysis/statistics.h"

namespace assay::analysis {
namespace {

double rate(const simulator::RouterMeasure& r) {
  return r.tokens == 0 ? 0 : static_cast<double>(r.flips) / static_cast<double>(r.tokens);
}

std::string losses(const NetworkReport& report) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& f : report.forecasts) {
    const auto change = [](double d, double e) { return fmt::format("{:+.4f} ± {:.4f}", d, e); };
    rows.push_back(
        {text(f.recipe),
         number(f.predicted ? change(f.predicted->loss.change, f.predicted->loss.uncertainty)
                            : "–"),
         number(f.measured ? change(f.measured->loss.change, f.measured->loss.standard_error)
                           : "–"),
         number(f.predicted ? figure(f.predicted->loss.kl) : "–"),
         number(f.measured ? figure(f.measured->loss.kl) : "–"),
         number(f.measured
                    ? fmt::format("{:+.3f} .. {:+.3f}", f.measured->loss.p05, f.measured->loss.p95)
                    : "–")});
  }
  return table({"recipe", "loss change, predicted", "measured", "KL, predicted", "measured",
                "token losses, 5th to 95th percentile"},
               rows,
               "Predicted ±: spread over the roundings a recipe could make. Measured ±: bootstrap "
               "over tokens.");
}

/// Two series to a recipe: predicted and measured.
template <class P, class M>
std::string by_layer(const NetworkReport& report, std::string title, bool percent, P p, M m) {
  LineChart chart{std::move(title), "layer", "", {}, percent};
  for (const auto& f : report.forecasts) {
    if (f.predicted) {
      Series s{f.recipe + ", predicted", {}};
      for (const auto& r : f.predicted->routers) {
        s.points.push_back({static_cast<double>(r.layer), p(r), 0, 0});
      }
      chart.series.push_back(std::move(s));
    }
    if (f.measured) {
      Series s{f.recipe + ", measured", {}};
      for (const auto& r : f.measured->routers) {
        s.points.push_back({static_cast<double>(r.layer), m(r), 0, 0});
      }
      chart.series.push_back(std::move(s));
    }
  }
  std::vector<std::string> names;
  for (const auto& s : chart.series) names.push_back(s.name);
  return legend(names) + line_chart(chart);
}

std::string contributions(const NetworkReport& report) {
  std::string out;
  for (const auto& f : report.forecasts) {
    if (!f.predicted || f.predicted->contributions.empty()) continue;
    auto parts = f.predicted->contributions;
    double sum = 0;
    for (const auto& c : parts) sum += c.kl;
    std::stable_sort(parts.begin(), parts.end(),
                     [](const auto& a, const auto& b) { return a.kl > b.kl; });
    std::vector<std::vector<Cell>> rows;
    for (std::size_t i = 0; i < std::min<std::size_t>(parts.size(), 12); ++i) {
      const auto& c = parts[i];
      rows.push_back({text(c.group), number(percent(sum > 0 ? c.kl / sum : 0)),
                      number(figure(c.nsr)),
                      number(c.variance.empty() ? "–" : figure(c.variance.back()))});
    }
    out += "<details><summary>What " + escape(f.recipe) + " owes its error to</summary>" +
           table({"group of operands", "part of KL", "NSR", "variance at the last router"}, rows) +
           "</details>\n";
  }
  return out;
}

std::string table_of_agreement(const NetworkReport& report) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& a : agreements(report.forecasts)) {
    if (a.count == 0) continue;
    rows.push_back({text(a.kind), number(std::to_string(a.count)),
                    number(fmt::format("{:.3f}", a.median)), number(fmt::format("{:.3f}", a.worst)),
                    text(a.worst_at), number(fmt::format("{:.2f}", a.limit)),
                    number(percent(a.within)),
                    number(a.naive_median > 0 ? fmt::format("{:.2f}", a.naive_median) : "–")});
  }
  if (rows.empty()) return "";
  return table({"figure", "how many", "median factor", "worst", "at", "asked", "inside",
                "baseline's median"},
               rows, "Predicted over measured, as a factor of at least 1.");
}

}  // namespace

std::string network_section(const Report& report) {
  if (!report.network) return "";
  const NetworkReport& n = *report.network;
  std::string out = fmt::format(
      "<h2 id=\"network\">The network as a whole: {}, step {}</h2><p>{} tokens, loss "
      "{:.4f} without a recipe.</p>\n",
      escape(n.recording), n.training_step, n.tokens, n.clean_loss);
  out += losses(n);
  out += by_layer(
      n, "Share of tokens whose experts change", true,
      [](const simulator::RouterPrediction& r) { return r.flip_rate; }, rate);
  out += by_layer(
      n, "Noise of router logits (sd over tokens and experts)", false,
      [](const simulator::RouterPrediction& r) { return r.noise_sd; },
      [](const simulator::RouterMeasure& r) { return r.noise_sd; });
  return out + contributions(n) + table_of_agreement(n);
}

}  // namespace assay::analysis
