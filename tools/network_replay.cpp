// SPDX-License-Identifier: Apache-2.0
#include "tools/network_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "proptests/sha256.h"
#include "simulator/graph/side_by_side.h"
#include "simulator/graph/thread_clock.h"
#include "tools/network_journal.h"
#include "tools/network_run.h"
#include "tools/progress.h"

namespace assay::tools {
namespace {

std::string key_of(const NetworkReplay& r, const simulator::Recording& recording) {
  std::string text =
      r.program + "\n" + simulator::to_json(recording.header()) + written(r.recording, r.journal) +
      fmt::format("\n{} {} {} {} {} {} {}\n", r.options.seed, r.options.step, r.predict, r.measure,
                  r.samples, static_cast<int>(r.extra.products), r.extra.learning_rate);
  for (const std::string& recipe : r.recipe_texts) text += recipe + "\n";
  return proptests::sha256(text);
}

/// About how many milliseconds the parts of a replay take, for its progress: multiples of what the
/// clean execution took here that fit the shipped recordings.
struct Costs {
  std::int64_t shared = 1;  ///< of the pass behind predictions: one group of operands or router
  std::int64_t prediction = 1, measurement = 1;
};

Costs costs_of(const NetworkRun& network, const std::vector<simulator::OperandGroup>& groups,
               int samples, int at_once) {
  const double forward = 1000 * network.forward_seconds();
  const double experts = 1000 * network.experts_seconds();
  double weights = 0;
  for (const auto& g : groups) weights += g.role == simulator::Role::weight ? 1 : 0;
  const auto cost = [](double ms) { return static_cast<std::int64_t>(ms) + 1; };
  // Twice for each sample, of the half of the network that on average comes after a group.
  return {cost(forward * samples / simulator::most_at_once()), cost(forward * (2 + weights / 6)),
          cost((10 * forward + experts) / at_once)};
}

class Replay {
 public:
  explicit Replay(const NetworkReplay& replay)
      : replay_(replay),
        recording_(simulator::Recording::open(replay.recording)),
        journal_(replay.journal, key_of(replay, recording_), replay.resume, replay.recipes.size()),
        network_(recording_, replay.options),
        at_once_(std::min(replay.at_once > 0 ? replay.at_once : simulator::most_at_once(),
                          static_cast<int>(replay.recipes.size()))) {
    const auto groups = simulator::operand_groups(network_.graph(), network_.clean());
    shared_parts_ = static_cast<std::int64_t>(groups.size() + network_.graph().routers.size());
    costs_ = costs_of(network_, groups, replay.samples, at_once_);
    const auto recipes = static_cast<std::int64_t>(replay.recipes.size());
    progress_.emplace(
        "replay",
        (replay.predict ? shared_parts_ * costs_.shared + recipes * costs_.prediction : 0) +
            (replay.measure ? recipes * costs_.measurement : 0));
  }

  analysis::NetworkReport run() {
    if (replay_.predict) predict();
    if (replay_.measure) measure();
    analysis::NetworkReport report = network_.report();
    if (replay_.predict) {
      report.samples = replay_.samples;
      report.response_seconds = journal_.response_seconds().value();
    }
    report.forecasts = journal_.forecasts();
    for (const auto& f : report.forecasts) report.statistics_seconds += f.statistics_seconds;
    return report;
  }

 private:
  [[nodiscard]] simulator::Responses responses() {
    if (auto kept = journal_.responses()) {
      progress_->advance(shared_parts_ * costs_.shared, true);
      return std::move(*kept);
    }
    auto fresh = simulator::measure_responses(
        network_.graph(), network_.clean(), replay_.samples, replay_.options.seed,
        [&](std::int64_t /*done*/, std::int64_t /*all*/) { progress_->advance(costs_.shared); });
    journal_.add(fresh);
    return fresh;
  }

  void predict() {
    const auto& known = journal_.forecasts();
    auto left =
        std::count_if(known.begin(), known.end(), [](const auto& f) { return !f.predicted; });
    progress_->advance((std::ssize(known) - left) * costs_.prediction, true);
    if (left == 0) {
      progress_->advance(shared_parts_ * costs_.shared, true);
    } else {
      network_.prepare(responses());
    }
    for (std::size_t i = 0; left > 0; ++i) {
      const simulator::Recipe& recipe = replay_.recipes[i];
      // Also where the prediction is known: a later recipe's statistics are those that no recipe
      // before it had.
      const simulator::ThreadClock clock;
      network_.predictor().prepare(recipe, replay_.options);
      if (known[i].predicted) continue;
      analysis::Forecast part;
      part.recipe = recipe.name;
      part.statistics_seconds = clock.seconds();
      part.predicted = network_.predictor().with_contributions(recipe, replay_.options);
      journal_.add(i, std::move(part));
      progress_->advance(costs_.prediction);
      --left;
    }
    journal_.drop_responses();
  }

  void measure() {
    std::vector<std::size_t> left;
    std::vector<const simulator::Recipe*> recipes;
    for (std::size_t i = 0; i < replay_.recipes.size(); ++i) {
      if (journal_.forecasts()[i].measured) {
        progress_->advance(costs_.measurement, true);
        continue;
      }
      left.push_back(i);
      recipes.push_back(&replay_.recipes[i]);
    }
    // No more run at once than are left.
    const int at_once = std::min(at_once_, std::max(1, static_cast<int>(left.size())));
    simulator::measure_side_by_side(network_.graph(), network_.clean(), recipes, replay_.options,
                                    replay_.extra, at_once,
                                    [&](std::size_t k, simulator::Measurement measurement) {
                                      analysis::Forecast part;
                                      part.recipe = recipes[k]->name;
                                      part.measured = std::move(measurement);
                                      part.at_once = at_once;
                                      journal_.add(left[k], std::move(part));
                                      progress_->advance(costs_.measurement);
                                    });
  }

  const NetworkReplay& replay_;
  simulator::Recording recording_;
  NetworkJournal journal_;
  NetworkRun network_;
  int at_once_;
  std::int64_t shared_parts_ = 0;
  Costs costs_;
  std::optional<Progress> progress_;
};

}  // namespace

analysis::NetworkReport replay_network(const NetworkReplay& replay) { return Replay(replay).run(); }

}  // namespace assay::tools
