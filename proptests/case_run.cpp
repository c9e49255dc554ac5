// SPDX-License-Identifier: Apache-2.0
#include "proptests/case_run.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "proptests/properties/mma_claim.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

/// splitmix64: neighbouring (seed, id, index) give unrelated generators.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}
std::uint64_t hash_of(const std::string& id) {
  std::uint64_t h = 0xCBF29CE484222325U;
  for (const char c : id) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return h;
}

std::string outcome_text(const Answer& answer) {
  constexpr std::array names{"an answer", "declined", "the kernel reported failure", "crashed",
                             "did not return in time"};
  std::string text = names.at(static_cast<std::size_t>(answer.outcome));
  if (!answer.message.empty()) text += ": " + answer.message;
  return text;
}

}  // namespace

std::vector<Claim> claims_for(const Property& property, const Device& device,
                              const std::string& entry) {
  if (!property.applies)
    return device.name() == "cpu" && entry.empty() ? std::vector<Claim>{Claim{}}
                                                   : std::vector<Claim>{};
  std::vector<Claim> claims = device.claims();
  std::erase_if(claims, [&](const Claim& c) {
    return !property.applies(c) || (!entry.empty() && name_of(c) != entry);
  });
  // What the kernels' room cannot know: which models there are.
  for (const Claim& claim : claims)
    if (!claim.mma_model.empty()) require_mma_claim(claim);
  return claims;
}

CaseRunner::CaseRunner(const Property& property, Device& device, std::uint64_t seed,
                       const std::string& entry)
    : property_(property),
      device_(device),
      seed_(seed),
      claims_(claims_for(property, device, entry)) {}

rc::Shrinkable<ExperimentPtr> CaseRunner::generate(std::int64_t index) const {
  const auto i = static_cast<std::uint64_t>(index);
  const rc::Random random(mix(mix(seed_ ^ hash_of(property_.id)) + i));
  const Claim& claim = claims_[i % claims_.size()];
  if (property_.enumerate)
    return property_.enumerate(claim, index / static_cast<std::int64_t>(claims_.size()), random);
  return property_.generate(claim, random);
}

std::vector<Trial> CaseRunner::ask(std::span<const ExperimentPtr> experiments) const {
  return proptests::ask(device_, experiments);
}
Trial CaseRunner::ask(const ExperimentPtr& experiment) const {
  return ask(std::span(&experiment, 1)).front();
}

Status status_of(const Trial& trial) {
  for (const Answer* answer : {&trial.first, &trial.second}) {
    if (answer->outcome == Outcome::crash) return Status::crash;
    if (answer->outcome == Outcome::timeout) return Status::timeout;
    if (answer->outcome != Outcome::answered) break;  // there was no second run
  }
  return Status::fail;
}

std::int64_t affordable_trials(const Trial& trial, std::int64_t most) {
  constexpr std::int64_t without_answer = 50, without_end = 10;
  if (status_of(trial) == Status::timeout) return std::min(most, without_end);
  const bool answered =
      trial.first.outcome == Outcome::answered && trial.second.outcome == Outcome::answered;
  return answered ? most : std::min(most, without_answer);
}

Ruling rule(const Experiment& experiment, const Trial& trial) {
  const auto blame = [](const char* criterion, const char* expected, std::string observed) {
    return Ruling{true, Mismatch{"the call", criterion, expected, std::move(observed), "", ""}};
  };
  for (const Answer* answer : {&trial.first, &trial.second}) {
    if (answer->outcome != Outcome::answered)
      return blame("the call returns", "an answer", outcome_text(*answer));
    if (answer->inputs_changed)
      return blame("inputs are read only", "inputs unchanged", "the kernel wrote to its inputs");
    if (!answer->overrun.empty())
      return blame("nothing but the outputs is written", "memory unchanged",
                   "written: " + answer->overrun);
  }
  Ruling ruling = experiment.judge(trial.first);
  if (ruling.mismatch || trial.first.outputs == trial.second.outputs) return ruling;
  ruling = experiment.judge(trial.second);
  if (ruling.mismatch) return ruling;
  return blame("the same call twice gives the same bits", "equal outputs", "different outputs");
}

Shrunk shrink(const CaseRunner& runner, rc::Shrinkable<ExperimentPtr> failing, Mismatch mismatch,
              Status status, std::int64_t most_trials) {
  Shrunk best{failing.value(), std::move(mismatch), {}};
  std::int64_t trials = 0;
  for (bool simpler_fails = true; simpler_fails;) {
    simpler_fails = false;
    auto candidates = failing.shrinks();
    for (std::int64_t i = 0; trials < most_trials; ++i, ++trials) {
      auto candidate = candidates.next();
      if (!candidate) break;
      const ExperimentPtr experiment = candidate->value();
      const Trial trial = runner.ask(experiment);
      if (trial.first.outcome == Outcome::declined) continue;
      Ruling ruling = rule(*experiment, trial);
      if (!ruling.mismatch || status_of(trial) != status) continue;
      best.experiment = experiment;
      best.mismatch = std::move(*ruling.mismatch);
      best.path.push_back(i);
      failing = std::move(*candidate);
      simpler_fails = true;
      break;
    }
  }
  return best;
}

rc::Shrinkable<ExperimentPtr> follow(rc::Shrinkable<ExperimentPtr> from,
                                     std::span<const std::int64_t> path) {
  for (const std::int64_t step : path) {
    auto candidates = from.shrinks();
    auto candidate = candidates.next();
    for (std::int64_t i = 0; i < step && candidate; ++i) candidate = candidates.next();
    if (!candidate)
      throw std::invalid_argument(
          "--case leads nowhere: it belongs to another property, seed, device or version");
    from = std::move(*candidate);
  }
  return from;
}

}  // namespace assay::proptests
