// SPDX-License-Identifier: Apache-2.0
// From batches to verdicts. Batches are taken in the order of their cases up to the first that
// failed; what ran beyond it (another shard cannot know) is left out.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "proptests/certify.h"

namespace assay::proptests {
namespace {

constexpr std::size_t points_per_property = 12;

void add(Verdict& verdict, const BatchResult& batch) {
  verdict.cases += batch.cases;
  verdict.undecided += batch.undecided;
  verdict.not_supported += batch.not_supported;
  verdict.flakes += batch.flakes;
  verdict.points.insert(verdict.points.end(), batch.points.begin(), batch.points.end());
  if (batch.status == Status::pass) return;
  verdict.status = batch.status;
  verdict.detail = batch.detail;
  verdict.counterexample = batch.counterexample;
}

void conclude(Verdict& verdict) {
  if (verdict.cases == 0) {
    verdict.status = Status::skipped;
    verdict.detail = "unfinished: none of its cases ran";
  } else if (verdict.not_supported == verdict.cases) {
    verdict.status = Status::not_supported;
    verdict.detail = "the device declined every case";
  } else if (verdict.undecided + verdict.not_supported == verdict.cases) {
    verdict.status = Status::skipped;
    verdict.detail = "no case could be judged: in all of them an intermediate result may overflow";
  } else if (verdict.cases < verdict.planned) {
    verdict.detail = fmt::format("unfinished: {} of {} cases ran", verdict.cases, verdict.planned);
  } else if (verdict.flakes > 0) {
    verdict.detail = fmt::format("{} cases failed and passed when asked again", verdict.flakes);
  }
}

auto batches_of_property(const std::string& id, const Results& results) {
  return std::pair(results.lower_bound({id, 0}),
                   results.upper_bound({id, std::numeric_limits<std::int64_t>::max()}));
}

}  // namespace

Verdict verdict_of(const RunPlan& plan, const PlannedProperty& property, const Results& results) {
  Verdict verdict;
  verdict.property = property.id;
  verdict.section = property.section;
  verdict.statement = property.statement;
  if (!property.skip.empty()) {
    verdict.status = Status::skipped;
    verdict.detail = property.skip;
    return verdict;
  }
  if (!property.applicable) {
    verdict.status = Status::not_supported;
    verdict.detail = "the device claims nothing that this property is about";
    return verdict;
  }
  verdict.status = Status::pass;
  verdict.planned = plan.cases;
  const auto [first, last] = batches_of_property(property.id, results);
  for (auto batch = first; batch != last && verdict.status == Status::pass; ++batch)
    add(verdict, batch->second);
  keep_worst(verdict.points, points_per_property);
  if (verdict.status == Status::pass) conclude(verdict);
  return verdict;
}

Report report_of(const RunPlan& plan, const Results& results) {
  Report report;
  report.device = plan.device;
  report.seed = plan.seed;
  report.cases_per_property = plan.cases;
  report.entry = plan.entry;
  report.profile = plan.profile;
  report.profile_hash = plan.profile_hash;
  report.claims = plan.claims.dump();
  for (const PlannedProperty& property : plan.properties) {
    report.verdicts.push_back(verdict_of(plan, property, results));
    const auto [first, last] = batches_of_property(property.id, results);
    double seconds = 0;
    for (auto batch = first; batch != last; ++batch) seconds += batch->second.seconds;
    report.seconds.push_back(seconds);
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

std::int64_t Report::unfinished() const {
  return std::count_if(verdicts.begin(), verdicts.end(), [](const Verdict& v) {
    return (v.status == Status::pass || v.status == Status::skipped ||
            v.status == Status::not_supported) &&
           v.cases < v.planned;
  });
}

}  // namespace assay::proptests
