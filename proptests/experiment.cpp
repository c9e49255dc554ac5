// SPDX-License-Identifier: Apache-2.0
#include "proptests/experiment.h"

#include <stdexcept>

#include "proptests/arena.h"

namespace assay::proptests {

Answer Experiment::run_host(std::uint8_t) const {
  throw std::logic_error("an experiment without a call has host code to run");
}

namespace {

/// What went wrong in either call went wrong in the case.
void append(Answer& to, Answer from) {
  if (to.outcome != Outcome::answered) return;
  to.outcome = from.outcome;
  to.message = std::move(from.message);
  to.inputs_changed = to.inputs_changed || from.inputs_changed;
  if (to.overrun.empty()) to.overrun = std::move(from.overrun);
  for (auto& output : from.outputs) to.outputs.push_back(std::move(output));
}

}  // namespace

std::vector<Trial> ask(Device& device, std::span<const ExperimentPtr> experiments) {
  std::vector<Trial> trials(experiments.size());
  std::vector<Call> calls;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < experiments.size(); ++i) {
    if (std::optional<Call> call = experiments[i]->call()) {
      calls.push_back(std::move(*call));
      places.push_back(i);
      if (const Experiment* companion = experiments[i]->companion()) {
        calls.push_back(companion->call().value());
        places.push_back(i);
      }
    } else {
      trials[i] = {experiments[i]->run_host(first_run.poison),
                   experiments[i]->run_host(second_run.poison)};
    }
  }
  if (calls.empty()) return trials;
  std::vector<Trial> asked = device.ask(calls);
  for (std::size_t i = 0; i < places.size(); ++i) {
    Trial& trial = trials[places[i]];
    if (i > 0 && places[i - 1] == places[i]) {
      append(trial.first, std::move(asked[i].first));
      append(trial.second, std::move(asked[i].second));
    } else {
      trial = std::move(asked[i]);
    }
  }
  return trials;
}

}  // namespace assay::proptests
