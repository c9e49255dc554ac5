// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analysis/charts.h"
#include "analysis/html.h"
#include "analysis/sections.h"
#include "analysis/statistics.h"

namespace assay::analysis {
namespace {

using simulator::RouterNoise;
using simulator::RouterReplay;
using simulator::TensorReplay;

double fraction(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::string with_interval(std::uint64_t flips, std::uint64_t tokens) {
  if (tokens == 0) return "–";
  const auto i = wilson(flips, tokens);
  return fmt::format("{:.1f} % [{:.1f}, {:.1f}]", fraction(flips, tokens) * 100, i.low * 100,
                     i.high * 100);
}

std::string overview(const Report& report) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& replayed : report.replays) {
    const auto s = summarize(replayed);
    rows.push_back(
        {text(s.recipe), text(s.weight_format), number(fmt::format("{:.4g}", s.bits_per_weight)),
         number(fmt::format("{:.2f} %", (1 - s.weight_gain) * 100)), number(figure(s.weight_nsr)),
         number(figure(s.output_nsr)), number(figure(s.worst_output_nsr)),
         number(with_interval(s.local_flips, s.tokens)),
         number(with_interval(s.accumulated_flips, s.tokens)),
         number(s.has_loss_change ? fmt::format("{:+.4f}", s.loss_change) : "–")});
  }
  return table(
      {"recipe", "expert weights", "bits", "1 − gain", "weight NSR", "output NSR", "worst output",
       "flips, local", "flips, accumulated", "first-order Δloss"},
      rows,
      "Medians over quantized weights and linears. Flips: tokens whose set of experts changes, "
      "with the Wilson 95 % interval over all routers.");
}

template <class F>
LineChart per_layer(const Report& report, std::string title, std::string y_label, F f) {
  LineChart chart{std::move(title), "layer", std::move(y_label), {}, false};
  for (const auto& replayed : report.replays) {
    Series series{replayed.recipe.name, {}};
    for (const auto& r : replayed.result.routers) series.points.push_back(f(r));
    chart.series.push_back(std::move(series));
  }
  return chart;
}

Point flip_point(const RouterReplay& r, const RouterNoise& noise) {
  const auto n = noise.flipped.size();
  const auto i = wilson(noise.flips(), n);
  return {static_cast<double>(r.layer), fraction(noise.flips(), n), i.low, i.high};
}

std::string router_charts(const Report& report) {
  std::vector<std::string> names;
  for (const auto& replayed : report.replays) names.push_back(replayed.recipe.name);
  auto local =
      per_layer(report, "Share of tokens whose experts change: errors since the previous router",
                "", [](const RouterReplay& r) { return flip_point(r, r.local); });
  auto all = per_layer(report, "The same: errors accumulated over all earlier layers", "",
                       [](const RouterReplay& r) { return flip_point(r, r.accumulated); });
  local.percent = all.percent = true;
  const auto noise_point = [](const RouterReplay& r, double sd) {
    return Point{static_cast<double>(r.layer), sd, 0, 0};
  };
  auto local_noise =
      per_layer(report, "Logit noise (sd over tokens and experts): since the previous router", "",
                [&](const RouterReplay& r) { return noise_point(r, r.local.noise_sd); });
  auto all_noise = per_layer(report, "The same: accumulated", "", [&](const RouterReplay& r) {
    return noise_point(r, r.accumulated.noise_sd);
  });
  return legend(names) + "<div class=\"pair\">" + line_chart(local) + line_chart(all) +
         line_chart(local_noise) + line_chart(all_noise) + "</div>\n" +
         "<p class=\"soft\">Whiskers: Wilson 95 % intervals, which take tokens as independent; "
         "tokens of "
         "one sequence are not, so the truth is wider.</p>\n";
}

std::string router_table(const simulator::ReplayResult& result) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& r : result.routers) {
    const auto& n = r.local;
    std::string worst = "–";
    if (!n.token_noise.empty()) {
      const auto at = std::max_element(n.token_noise.begin(), n.token_noise.end());
      worst = fmt::format("{} (token {})", figure(*at), at - n.token_noise.begin());
    }
    const auto tokens = static_cast<std::uint64_t>(r.tokens);
    const auto q = [&](double p) {
      return r.margins.empty() ? "–" : figure(quantile(r.margins, p));
    };
    rows.push_back({text(r.op), number(q(0.1)), number(q(0.5)), number(figure(n.noise_sd)),
                    number(figure(n.centred_noise_sd)), number(worst),
                    number(with_interval(n.flips(), tokens)),
                    number(percent(fraction(1, tokens) * n.expected_flips)),
                    number(with_interval(r.accumulated.flips(), tokens))});
  }
  return table({"router", "margin p10", "margin p50", "noise sd", "centred", "worst token",
                "flips, local", "from one noise", "flips, accumulated"},
               rows,
               "Margins between ranks k and k + 1 in selection space. \"From one noise\": mean of "
               "Φ(−margin / sd), one sd for all tokens.");
}

using GroupKey = std::pair<simulator::Role, simulator::TensorClass>;

std::map<GroupKey, std::vector<const TensorReplay*>> groups(const simulator::ReplayResult& result) {
  std::map<GroupKey, std::vector<const TensorReplay*>> found;
  for (const auto& t : result.tensors) found[{t.role, t.tensor_class}].push_back(&t);
  return found;
}

std::string group_name(const GroupKey& key) {
  return fmt::format("{} {}", simulator::name(key.second), simulator::name(key.first));
}

std::string operand_table(const simulator::ReplayResult& result) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& [key, tensors] : groups(result)) {
    std::vector<double> gains;
    std::vector<double> noises;
    const TensorReplay* worst = tensors.front();
    const TensorReplay* worst_block = tensors.front();
    std::uint64_t clipped = 0;
    std::uint64_t flushed = 0;
    std::uint64_t elements = 0;
    for (const auto* t : tensors) {
      gains.push_back(t->error.gain);
      noises.push_back(t->error.nsr);
      if (t->error.nsr > worst->error.nsr) worst = t;
      if (t->worst_block_error > worst_block->worst_block_error) worst_block = t;
      clipped += t->clipped;
      flushed += t->flushed;
      elements += static_cast<std::uint64_t>(t->rows * t->cols);
    }
    rows.push_back({text(group_name(key)), text(tensors.front()->format),
                    number(std::to_string(tensors.size())),
                    number(fmt::format("{:.4f}", quantile(gains, 0.5))),
                    number(figure(quantile(noises, 0.5))),
                    text(fmt::format("{} ({})", figure(worst->error.nsr), worst->tensor)),
                    text(fmt::format("{} (block {} of {})", figure(worst_block->worst_block_error),
                                     worst_block->worst_block, worst_block->tensor)),
                    number(fmt::format("{:.2f} %", fraction(clipped, elements) * 100)),
                    number(fmt::format("{:.2f} %", fraction(flushed, elements) * 100))});
  }
  return table(
      {"operands", "format", "tensors", "gain", "NSR", "worst NSR", "worst block", "clipped",
       "to zero"},
      rows,
      "Medians over the tensors of a group; clipped: |x| above the largest value of its block.");
}

std::string histograms(const simulator::ReplayResult& result) {
  std::string out = "<div class=\"small\">";
  for (const auto& [key, tensors] : groups(result)) {
    simulator::ErrorHistogram sum;
    for (const auto* t : tensors) {
      sum.below += t->histogram.below;
      sum.above += t->histogram.above;
      for (std::size_t b = 0; b < sum.bins.size(); ++b) sum.bins[b] += t->histogram.bins[b];
    }
    out += error_histogram(group_name(key), sum);
  }
  return out + "</div>\n";
}

std::string worst_linears(const simulator::ReplayResult& result) {
  std::vector<const simulator::LinearReplay*> order;
  order.reserve(result.linears.size());
  for (const auto& l : result.linears) order.push_back(&l);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->error.nsr > b->error.nsr; });
  order.resize(std::min<std::size_t>(order.size(), 8));
  std::vector<std::vector<Cell>> rows;
  for (const auto* l : order) {
    rows.push_back({text(l->op), number(std::to_string(l->rows)),
                    number(fmt::format("{:.4f}", l->error.gain)), number(figure(l->error.nsr)),
                    number(figure(l->nsr_if_uncorrelated)),
                    number(fmt::format("{} (row {})", figure(l->worst_row_error), l->worst_row)),
                    number(l->has_loss_change ? fmt::format("{:+.2e}", l->loss_change) : "–")});
  }
  return "<details><summary>The linears with the noisiest outputs</summary>" +
         table({"linear", "rows", "gain", "output NSR", "if uncorrelated", "worst row",
                "first-order Δloss"},
               rows) +
         "</details>\n";
}

std::string recipe_part(const Replayed& replayed) {
  const auto& recipe = replayed.recipe;
  const auto& result = replayed.result;
  std::string out =
      fmt::format("<h3 id=\"recipe-{0}\">{0}</h3><p>{1}</p><p class=\"soft\">Source: {2}.</p>",
                  escape(recipe.name), escape(recipe.summary), escape(recipe.source));
  std::vector<std::string> notes = result.notes;
  notes.insert(notes.end(), recipe.notes.begin(), recipe.notes.end());
  if (!notes.empty()) {
    out += "<ul class=\"soft\">";
    for (const auto& n : notes) out += "<li>" + escape(n) + "</li>";
    out += "</ul>";
  }
  if (result.tensors.empty()) return out + "<p>No operand is quantized.</p>\n";
  out += operand_table(result) + histograms(result);
  if (!result.routers.empty()) out += router_table(result);
  return out + worst_linears(result);
}

constexpr std::string_view kLimits = R"html(<div class="note"><h3>What these figures do not say</h3>
<ul>
<li>Errors travel exactly inside a block and by addition along the residual stream. How a changed stream
changes what later blocks compute, and the cascade after a first flip, are not in them.</li>
<li>It is one training step of one model. A recipe that looks good here may still drift over thousands of steps.</li>
<li>The first-order loss change is ⟨dL/dy, dy⟩ over the quantized linears, each taken alone; curvature adds to it.</li>
<li>Accumulators and outputs are exact here; real ones add their own error.</li>
</ul></div>
)html";

}  // namespace

std::string replay_section(const Report& report) {
  if (report.replays.empty()) return {};
  const auto& first = report.replays.front().result;
  std::uint64_t tokens = 0;
  std::uint64_t recorded_differs = 0;
  double worst_recomputation = 0;
  for (const auto& r : first.routers) {
    tokens = std::max<std::uint64_t>(tokens, static_cast<std::uint64_t>(r.tokens));
    recorded_differs += r.recorded_differs;
  }
  for (const auto& c : first.recomputations) {
    worst_recomputation = std::max(worst_recomputation, c.relative_mse);
  }
  std::string out = fmt::format(
      "<h2 id=\"replay\">Replay of {}</h2><p>Step {}. The unquantized recomputation matches the "
      "recording to a "
      "relative MSE of {} at worst over {} attention and SwiGLU outputs, and picks other experts "
      "than "
      "recorded for {} tokens.</p>",
      escape(first.recording), first.training_step, figure(worst_recomputation),
      first.recomputations.size(), recorded_differs);
  out += overview(report);
  if (!first.routers.empty()) {
    out += "<h2 id=\"routers\">Routers</h2>" + router_charts(report);
  }
  out +=
      "<h2 id=\"recipes\">Recipe by recipe</h2><p class=\"soft\">Histograms: (x̂ − x) / rms(x) over "
      "all "
      "elements of the group.</p>";
  for (const auto& replayed : report.replays) out += recipe_part(replayed);
  return out + std::string(kLimits);
}

}  // namespace assay::analysis
