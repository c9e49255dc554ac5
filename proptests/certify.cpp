// SPDX-License-Identifier: Apache-2.0
#include "proptests/certify.h"

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>

#include "proptests/token.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

constexpr std::int64_t chunk = 256;

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

std::vector<Claim> claims_for(const Property& property, const Device& device) {
  if (!property.applies)
    return device.name() == "cpu" ? std::vector<Claim>{Claim{}} : std::vector<Claim>{};
  std::vector<Claim> claims = device.claims();
  std::erase_if(claims, [&](const Claim& c) { return !property.applies(c); });
  return claims;
}

std::string outcome_text(const Answer& answer) {
  constexpr std::array names{"an answer", "declined", "the kernel reported failure", "crashed",
                             "did not return in time"};
  std::string text = names.at(static_cast<std::size_t>(answer.outcome));
  if (!answer.message.empty()) text += ": " + answer.message;
  return text;
}

/// What is wrong with both runs together, the judge's word first.
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

class Runner {
 public:
  Runner(const Property& property, Device& device, std::uint64_t seed)
      : property_(property), device_(device), seed_(seed), claims_(claims_for(property, device)) {}

  [[nodiscard]] bool applicable() const { return !claims_.empty(); }

  [[nodiscard]] rc::Shrinkable<ExperimentPtr> generate(std::int64_t index) const {
    const auto i = static_cast<std::uint64_t>(index);
    const rc::Random random(mix(mix(seed_ ^ hash_of(property_.id)) + i));
    const Claim& claim = claims_[i % claims_.size()];
    if (property_.enumerate)
      return property_.enumerate(claim, index / static_cast<std::int64_t>(claims_.size()), random);
    return property_.generate(claim, random);
  }

  [[nodiscard]] std::vector<Trial> ask(std::span<const ExperimentPtr> experiments) const {
    return proptests::ask(device_, experiments);
  }
  [[nodiscard]] Trial ask(const ExperimentPtr& experiment) const {
    return ask(std::span(&experiment, 1)).front();
  }

 private:
  const Property& property_;
  Device& device_;
  std::uint64_t seed_;
  std::vector<Claim> claims_;
};

/// The first failing one among the simpler cases, again and again. Deterministic, so the path
/// replays.
struct Shrunk {
  ExperimentPtr experiment;
  Mismatch mismatch;
  std::vector<std::int64_t> path;
};
Shrunk shrink(const Runner& runner, rc::Shrinkable<ExperimentPtr> failing, Mismatch mismatch,
              std::int64_t most_trials) {
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
      if (!ruling.mismatch) continue;
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
                                     const std::vector<std::int64_t>& path) {
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

Counterexample counterexample(const Property& property, const CertifyOptions& options,
                              const Token& token, const Shrunk& shrunk) {
  Counterexample c;
  c.case_index = token.index;
  c.token = to_string(token);
  c.shrink_steps = static_cast<std::int64_t>(token.path.size());
  c.mismatch = shrunk.mismatch;
  c.operands = shrunk.experiment->describe();
  c.replay = "assay certify " + options.target + " --property " + property.id + " --case " +
             c.token + " --seed " + std::to_string(options.seed);
  return c;
}

/// Cases first .. first + count - 1: generated and judged in parallel, asked in order.
struct Batch {
  std::vector<ExperimentPtr> experiments;
  std::vector<Trial> trials;
  std::vector<Ruling> rulings;
};

template <class Body>
void parallel(std::int64_t count, const Body& body) {
  std::exception_ptr thrown;
#pragma omp parallel for schedule(dynamic, 4)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(assay_certify)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

Batch run_batch(const Runner& runner, std::int64_t first, std::int64_t count) {
  Batch batch{std::vector<ExperimentPtr>(count), {}, std::vector<Ruling>(count)};
  parallel(count,
           [&](std::int64_t i) { batch.experiments[i] = runner.generate(first + i).value(); });
  batch.trials = runner.ask(batch.experiments);
  parallel(count, [&](std::int64_t i) {
    if (batch.trials[i].first.outcome != Outcome::declined)
      batch.rulings[i] = rule(*batch.experiments[i], batch.trials[i]);
  });
  return batch;
}

void run_cases(const Runner& runner, const Property& property, const CertifyOptions& options,
               Verdict& verdict) {
  for (std::int64_t first = 0; first < options.cases; first += chunk) {
    const Batch batch = run_batch(runner, first, std::min(chunk, options.cases - first));
    for (std::size_t i = 0; i < batch.rulings.size(); ++i) {
      ++verdict.cases;
      if (batch.trials[i].first.outcome == Outcome::declined) {
        ++verdict.not_supported;
        continue;
      }
      if (!batch.rulings[i].decided) ++verdict.undecided;
      if (!batch.rulings[i].mismatch) continue;
      Token token{first + static_cast<std::int64_t>(i), {}};
      const Shrunk shrunk = shrink(runner, runner.generate(token.index), *batch.rulings[i].mismatch,
                                   options.shrink_trials);
      token.path = shrunk.path;
      verdict.status = Status::fail;
      verdict.counterexample = counterexample(property, options, token, shrunk);
      return;
    }
  }
}

void replay(const Runner& runner, const Property& property, const CertifyOptions& options,
            Verdict& verdict) {
  const Token token = parse_token(options.token);
  const ExperimentPtr experiment = follow(runner.generate(token.index), token.path).value();
  const Trial trial = runner.ask(experiment);
  verdict.cases = 1;
  if (trial.first.outcome == Outcome::declined) {
    verdict.not_supported = 1;
    return;
  }
  const Ruling ruling = rule(*experiment, trial);
  if (!ruling.decided) verdict.undecided = 1;
  if (!ruling.mismatch) return;
  verdict.status = Status::fail;
  verdict.counterexample =
      counterexample(property, options, token, {experiment, *ruling.mismatch, token.path});
}

bool selected(const std::string& id, const std::string& filter) {
  return filter.empty() || id == filter ||
         (id.starts_with(filter) && (filter.back() == '.' || id[filter.size()] == '.'));
}

}  // namespace

Verdict run_property(const Property& property, Device& device, const CertifyOptions& options) {
  Verdict verdict;
  verdict.property = property.id;
  verdict.section = property.section;
  verdict.statement = property.statement;
  const Runner runner(property, device, options.seed);
  if (!runner.applicable()) {
    verdict.status = Status::not_supported;
    verdict.detail = "the device claims nothing that this property is about";
    return verdict;
  }
  verdict.status = Status::pass;
  try {
    if (options.token.empty())
      run_cases(runner, property, options, verdict);
    else
      replay(runner, property, options, verdict);
  } catch (const std::exception& e) {
    if (!options.token.empty()) throw;  // the user's token is wrong, not the suite
    verdict.status = Status::error;
    verdict.detail = e.what();
    return verdict;
  }
  if (verdict.status == Status::pass && verdict.not_supported == verdict.cases) {
    verdict.status = Status::not_supported;
    verdict.detail = "the device declined every case";
  } else if (verdict.status == Status::pass &&
             verdict.undecided + verdict.not_supported == verdict.cases) {
    verdict.status = Status::skipped;
    verdict.detail = "no case could be judged: in all of them an intermediate result may overflow";
  }
  return verdict;
}

Report run_certification(Device& device, const CertifyOptions& options) {
  if (options.cases < 1) throw std::invalid_argument("--cases must be at least 1");
  std::vector<Property> properties = catalogue();
  std::erase_if(properties, [&](const Property& p) { return !selected(p.id, options.property); });
  if (properties.empty())
    throw std::invalid_argument(
        "no property is called '" + options.property +
        "'; a full run prints every id, and the beginning of one up to a dot will do");
  if (!options.token.empty() && properties.size() != 1)
    throw std::invalid_argument("--case needs --property with the id of one property");
  Report report{device.name(), options.seed, options.cases, {}};
  for (const Property& property : properties) {
    report.verdicts.push_back(run_property(property, device, options));
    if (options.on_verdict) options.on_verdict(report.verdicts.back());
  }
  return report;
}

std::int64_t Report::count(Status status) const {
  return std::count_if(verdicts.begin(), verdicts.end(),
                       [&](const Verdict& v) { return v.status == status; });
}

std::int64_t Report::cases() const {
  std::int64_t sum = 0;
  for (const Verdict& v : verdicts) sum += v.cases;
  return sum;
}

std::vector<Property> catalogue() {
  std::vector<Property> all;
  for (auto* part : {codec_properties, convert_properties, quantize_properties,
                     dequantize_properties, gemm_properties, qat_properties})
    for (Property& property : part()) all.push_back(std::move(property));
  return all;
}

}  // namespace assay::proptests
