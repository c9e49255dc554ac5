// SPDX-License-Identifier: Apache-2.0
#include "proptests/batch.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <tuple>

#include "proptests/diagnosis/diagnose.h"
#include "proptests/reproduction.h"
#include "proptests/token.h"

namespace assay::proptests {
namespace {

constexpr std::size_t points_per_batch = 4;

template <class Body>
void parallel(std::int64_t count, const Body& body) {
  std::exception_ptr thrown;
#pragma omp parallel for schedule(dynamic, 4)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(assay_batch)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

/// Generated and judged in parallel, asked in order.
struct Cases {
  std::vector<ExperimentPtr> experiments;
  std::vector<Trial> trials;
  std::vector<Ruling> rulings;
};

Cases run_cases(const CaseRunner& runner, const CaseRange& range) {
  const auto count = static_cast<std::size_t>(range.count);
  Cases cases{std::vector<ExperimentPtr>(count), {}, std::vector<Ruling>(count)};
  parallel(range.count, [&](std::int64_t i) {
    cases.experiments[i] = runner.generate(range.first + i).value();
  });
  cases.trials = runner.ask(cases.experiments);
  parallel(range.count, [&](std::int64_t i) {
    if (cases.trials[i].first.outcome != Outcome::declined)
      cases.rulings[i] = rule(*cases.experiments[i], cases.trials[i]);
  });
  return cases;
}

Counterexample counterexample(const CaseRunner& runner, const BatchOptions& options,
                              const Token& token, const Shrunk& shrunk) {
  Counterexample c;
  c.case_index = token.index;
  c.token = to_string(token);
  c.shrink_steps = static_cast<std::int64_t>(token.path.size());
  c.mismatch = shrunk.mismatch;
  c.operands = shrunk.experiment->describe();
  c.replay =
      "assay reproduce " + to_string(Reproduction{options.target, options.entry,
                                                  runner.property().id, options.seed, c.token});
  return c;
}

bool passes_on_retry(const CaseRunner& runner, const ExperimentPtr& experiment,
                     std::int64_t retries) {
  for (std::int64_t i = 0; i < retries; ++i) {
    const Trial trial = runner.ask(experiment);
    if (trial.first.outcome != Outcome::declined && !rule(*experiment, trial).mismatch) return true;
  }
  return false;
}

/// Counts one case; true where it failed.
bool count(BatchResult& result, const Trial& trial, const Ruling& ruling) {
  ++result.cases;
  if (trial.first.outcome == Outcome::declined) {
    ++result.not_supported;
    return false;
  }
  if (!ruling.decided) ++result.undecided;
  if (ruling.worst) result.points.push_back(*ruling.worst);
  return ruling.mismatch.has_value();
}

void fill(BatchResult& result, const CaseRunner& runner, const BatchOptions& options) {
  const Cases batch = run_cases(runner, result.range);
  if (options.observe)
    options.observe(runner.property(), batch.experiments, batch.trials, batch.rulings);
  for (std::size_t i = 0; i < batch.rulings.size(); ++i) {
    const Trial& trial = batch.trials[i];
    if (!count(result, trial, batch.rulings[i])) continue;
    if (passes_on_retry(runner, batch.experiments[i], options.retries)) {
      ++result.flakes;
      continue;
    }
    Token token{result.range.first + static_cast<std::int64_t>(i), {}};
    result.status = status_of(trial);
    const Shrunk shrunk = shrink(runner, runner.generate(token.index), *batch.rulings[i].mismatch,
                                 result.status, affordable_trials(trial, options.shrink_trials));
    token.path = shrunk.path;
    result.counterexample = counterexample(runner, options, token, shrunk);
    if (options.diagnose)
      result.counterexample->diagnosis =
          diagnosis::diagnose_failure(runner, shrunk.experiment, token.index);
    return;
  }
}

}  // namespace

std::vector<CaseRange> batches_of(std::int64_t cases) {
  std::vector<CaseRange> ranges;
  std::int64_t size = 4;
  for (std::int64_t first = 0; first < cases; first += ranges.back().count) {
    ranges.push_back({first, std::min(size, cases - first)});
    size = std::min<std::int64_t>(4 * size, 256);
  }
  return ranges;
}

void keep_worst(std::vector<ErrorPoint>& points, std::size_t most) {
  std::sort(points.begin(), points.end(), [](const ErrorPoint& a, const ErrorPoint& b) {
    return std::tuple(-a.share(), a.exact, a.allowed) < std::tuple(-b.share(), b.exact, b.allowed);
  });
  if (points.size() > most) points.resize(most);
}

BatchResult run_batch(const CaseRunner& runner, const CaseRange& range,
                      const BatchOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  BatchResult result;
  result.property = runner.property().id;
  result.range = range;
  try {
    fill(result, runner, options);
  } catch (const std::exception& e) {
    result.status = Status::error;
    result.detail = e.what();
  }
  keep_worst(result.points, points_per_batch);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

BatchResult replay_case(const CaseRunner& runner, const std::string& text,
                        const BatchOptions& options) {
  const Token token = parse_token(text);
  BatchResult result;
  result.property = runner.property().id;
  result.range = {token.index, 1};
  const ExperimentPtr experiment = follow(runner.generate(token.index), token.path).value();
  const Trial trial = runner.ask(experiment);
  const bool declined = trial.first.outcome == Outcome::declined;
  const Ruling ruling = declined ? Ruling{} : rule(*experiment, trial);
  if (!count(result, trial, ruling)) return result;
  result.status = status_of(trial);
  result.counterexample =
      counterexample(runner, options, token, {experiment, *ruling.mismatch, token.path});
  if (options.diagnose)
    result.counterexample->diagnosis = diagnosis::diagnose_failure(runner, experiment, token.index);
  return result;
}

}  // namespace assay::proptests
