// SPDX-License-Identifier: Apache-2.0
#include "tools/replay_text.h"

#include <fmt/format.h>

#include <vector>

#include "tools/table.h"

namespace assay::tools {
namespace {

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-"
                    : fmt::format("{:.1f} %",
                                  100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace

std::string replay_text(const analysis::Report& report) {
  std::vector<std::vector<std::string>> recipes{{"recipe", "weights", "bits", "gain", "NSR",
                                                 "output NSR", "worst output NSR", "at",
                                                 "tokens rerouted", "accumulated", "loss change"}};
  for (const analysis::Replayed& replayed : report.replays) {
    const analysis::ReplaySummary s = analysis::summarize(replayed);
    recipes.push_back({s.recipe, s.weight_format, fmt::format("{:.2f}", s.bits_per_weight),
                       fmt::format("{:.5f}", s.weight_gain), fmt::format("{:.3e}", s.weight_nsr),
                       fmt::format("{:.3e}", s.output_nsr),
                       fmt::format("{:.3e}", s.worst_output_nsr), s.worst_linear,
                       percent(s.local_flips, s.tokens), percent(s.accumulated_flips, s.tokens),
                       s.has_loss_change ? fmt::format("{:+.4f}", s.loss_change) : "-"});
  }
  std::string text;
  if (!report.replays.empty())
    text += fmt::format("recording {}, step {}\n\n", report.replays.front().result.recording,
                        report.replays.front().result.training_step);
  text += table(recipes);
  for (const analysis::Replayed& replayed : report.replays) {
    if (replayed.result.routers.empty()) continue;
    std::vector<std::vector<std::string>> routers{{"router", "noise sd", "tokens rerouted",
                                                   "accumulated sd",
                                                   "tokens rerouted, accumulated"}};
    for (const simulator::RouterReplay& router : replayed.result.routers) {
      const auto tokens = static_cast<std::uint64_t>(router.tokens);
      routers.push_back({router.op, fmt::format("{:.4f}", router.local.noise_sd),
                         percent(router.local.flips(), tokens),
                         fmt::format("{:.4f}", router.accumulated.noise_sd),
                         percent(router.accumulated.flips(), tokens)});
    }
    text += fmt::format("\n{}\n{}", replayed.recipe.name, table(routers));
    for (const std::string& note : replayed.result.notes) text += fmt::format("note: {}\n", note);
  }
  return text;
}

}  // namespace assay::tools
