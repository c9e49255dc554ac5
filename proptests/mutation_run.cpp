// SPDX-License-Identifier: Apache-2.0
#include "proptests/mutation_run.h"

#include <algorithm>

#include "proptests/certify.h"
#include "proptests/diagnosis/diagnose.h"

namespace assay::proptests {

bool MutantRun::named(std::span<const std::string> truth) const {
  return !diagnosis.candidates.empty() &&
         std::find(truth.begin(), truth.end(), diagnosis.candidates.front().id) != truth.end();
}

std::vector<Property> device_properties() {
  std::vector<Property> properties = catalogue();
  std::erase_if(properties, [](const Property& p) { return !p.applies; });
  return properties;
}

MutantRun run_mutant(Device& device, std::span<const Property> properties,
                     const MutationOptions& options) {
  MutantRun run;
  CertifyOptions certify;
  certify.seed = options.seed;
  certify.entry = options.entry;
  certify.shrink_trials = 0;
  certify.diagnose = false;
  std::int64_t cases = 0;
  diagnosis::Casebook casebook;
  for (const std::int64_t round : options.rounds) {
    if (run.killers.size() >= 2) break;
    casebook.next_round();
    run.killers.clear();
    run.properties = 0;
    certify.cases = round;
    certify.on_batch = [&](const Property& property, std::span<const ExperimentPtr> experiments,
                           std::span<const Trial> trials, std::span<const Ruling> rulings) {
      casebook.add(property.id, experiments, trials, rulings);
    };
    for (const Property& property : properties) {
      const Verdict verdict = run_property(property, device, certify);
      if (verdict.status == Status::not_supported && verdict.cases == 0) continue;
      ++run.properties;
      if (verdict.status == Status::error) run.error = property.id + ": " + verdict.detail;
      if (run.cases_to_kill == 0) cases += verdict.cases;
      if (!verdict.counterexample) continue;
      if (run.cases_to_kill == 0) run.cases_to_kill = cases;
      run.killers.push_back(property.id);
    }
  }
  if (options.diagnose) run.diagnosis = casebook.finish();
  return run;
}

}  // namespace assay::proptests
