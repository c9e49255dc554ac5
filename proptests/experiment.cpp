// SPDX-License-Identifier: Apache-2.0
#include "proptests/experiment.h"

#include <stdexcept>

#include "proptests/arena.h"

namespace assay::proptests {

Answer Experiment::run_host(std::uint8_t) const {
  throw std::logic_error("an experiment without a call has host code to run");
}

std::vector<Trial> ask(Device& device, std::span<const ExperimentPtr> experiments) {
  std::vector<Trial> trials(experiments.size());
  std::vector<Call> calls;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < experiments.size(); ++i) {
    if (std::optional<Call> call = experiments[i]->call()) {
      calls.push_back(std::move(*call));
      places.push_back(i);
    } else {
      trials[i] = {experiments[i]->run_host(first_run.poison),
                   experiments[i]->run_host(second_run.poison)};
    }
  }
  if (calls.empty()) return trials;
  std::vector<Trial> asked = device.ask(calls);
  for (std::size_t i = 0; i < places.size(); ++i) trials[places[i]] = std::move(asked[i]);
  return trials;
}

}  // namespace assay::proptests
