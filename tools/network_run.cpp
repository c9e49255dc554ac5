// SPDX-License-Identifier: Apache-2.0
#include "tools/network_run.h"

#include <filesystem>

#include "simulator/graph/thread_clock.h"
#include "tools/progress.h"

namespace assay::tools {

simulator::Recording open_recording(const std::string& path) {
  return simulator::Recording::open(path == "embedded" ? simulator::default_recording()
                                                       : std::filesystem::path(path));
}

NetworkRun::NetworkRun(const simulator::Recording& recording,
                       const simulator::ReplayOptions& options,
                       const simulator::MeasureOptions& extra)
    : options_(options),
      extra_(extra),
      graph_(simulator::Graph::of(recording)),
      clean_(simulator::run_forward(graph_, {})) {
  report_.recording = graph_.recording;
  report_.training_step = graph_.training_step;
  report_.tokens = graph_.token_count();
  report_.clean_loss = clean_.loss;
  report_.channels = simulator::channel_profiles(graph_, clean_);
  report_.experts = simulator::expert_diversity(graph_, clean_, {});
  report_.use = simulator::utilisation(graph_, clean_);
}

void NetworkRun::prepare(int samples, simulator::Grouping grouping) {
  const auto groups =
      simulator::operand_groups(graph_, clean_, grouping).size() + graph_.routers.size();
  Progress progress("responses", static_cast<std::int64_t>(groups));
  auto responses = simulator::measure_responses(
      graph_, clean_, samples, options_.seed,
      [&](std::int64_t /*done*/, std::int64_t /*total*/) { progress.advance(1); }, grouping);
  report_.response_seconds = responses.seconds;
  report_.samples = samples;
  predictor_ = std::make_unique<simulator::Predictor>(graph_, clean_, std::move(responses));
}

void NetworkRun::add(const simulator::Recipe& recipe, bool predict, bool measure) {
  analysis::Forecast f;
  f.recipe = recipe.name;
  if (predict) {
    const simulator::ThreadClock clock;
    predictor_->prepare(recipe, options_);
    f.statistics_seconds = clock.seconds();
    report_.statistics_seconds += f.statistics_seconds;
    f.predicted = predictor_->with_contributions(recipe, options_);
  }
  if (measure) f.measured = simulator::measure(graph_, clean_, recipe, options_, {}, extra_);
  report_.forecasts.push_back(std::move(f));
}

}  // namespace assay::tools
