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

namespace {

template <class F>
auto timed(double& seconds, F f) {
  const simulator::ThreadClock clock;
  auto out = f();
  seconds = clock.seconds();
  return out;
}

}  // namespace

NetworkRun::NetworkRun(const simulator::Recording& recording,
                       const simulator::ReplayOptions& options)
    : options_(options),
      graph_(simulator::Graph::of(recording)),
      clean_(timed(forward_seconds_, [&] { return simulator::run_forward(graph_, {}); })) {
  report_.recording = graph_.recording;
  report_.training_step = graph_.training_step;
  report_.tokens = graph_.token_count();
  report_.clean_loss = clean_.loss;
  report_.channels = simulator::channel_profiles(graph_, clean_);
  report_.experts =
      timed(experts_seconds_, [&] { return simulator::expert_diversity(graph_, clean_, {}); });
  report_.use = simulator::utilisation(graph_, clean_);
}

void NetworkRun::prepare(int samples, simulator::Grouping grouping) {
  const auto groups =
      simulator::operand_groups(graph_, clean_, grouping).size() + graph_.routers.size();
  Progress progress("responses", static_cast<std::int64_t>(groups));
  prepare(simulator::measure_responses(
      graph_, clean_, samples, options_.seed,
      [&](std::int64_t /*done*/, std::int64_t /*total*/) { progress.advance(1); }, grouping));
}

void NetworkRun::prepare(simulator::Responses responses) {
  report_.response_seconds = responses.seconds;
  report_.samples = responses.samples;
  predictor_ = std::make_unique<simulator::Predictor>(graph_, clean_, std::move(responses));
}

}  // namespace assay::tools
