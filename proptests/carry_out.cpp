// SPDX-License-Identifier: Apache-2.0
// The workers: each takes the next batch that is still of interest, runs it on its own instance of
// the device, and writes it down.
#include <algorithm>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "proptests/certify.h"

namespace assay::proptests {
namespace {

using Clock = std::chrono::steady_clock;

/// What the workers share; every member function locks.
class Queue {
 public:
  Queue(const RunPlan& plan, const RunControl& control, Results& done)
      : plan_(plan),
        control_(control),
        done_(done),
        units_(units_of(plan, control.shard)),
        left_(plan.properties.size(), 0),
        failed_at_(plan.properties.size()) {
    if (control.time_budget)
      deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(*control.time_budget);
    for (const WorkUnit& unit : units_) ++left_[unit.property];
    for (const WorkUnit& unit : units_) {
      const auto known = done.find({plan.properties[unit.property].id, unit.range.first});
      if (known != done.end()) note(unit, known->second);
    }
  }

  /// A batch of a property that failed in an earlier batch decides nothing any more.
  std::optional<WorkUnit> next() {
    const std::scoped_lock lock(mutex_);
    while (next_ < units_.size()) {
      if (thrown_ || (deadline_ && Clock::now() >= *deadline_)) return std::nullopt;
      if (control_.max_failures > 0 && failures_ >= control_.max_failures) return std::nullopt;
      const WorkUnit unit = units_[next_++];
      if (done_.contains({plan_.properties[unit.property].id, unit.range.first})) continue;
      if (failed_at_[unit.property] && *failed_at_[unit.property] < unit.range.first) continue;
      return unit;
    }
    return std::nullopt;
  }

  void finish(const WorkUnit& unit, BatchResult batch) {
    const std::scoped_lock lock(mutex_);
    if (control_.journal != nullptr) control_.journal->append(batch);
    const auto kept = done_.emplace(std::pair(batch.property, batch.range.first), std::move(batch));
    const bool was_open = left_[unit.property] > 0;
    note(unit, kept.first->second);
    if (control_.on_batch) control_.on_batch(kept.first->second);
    if (!was_open || left_[unit.property] > 0) return;
    const Verdict verdict = verdict_of(plan_, plan_.properties[unit.property], done_);
    if (control_.journal != nullptr) control_.journal->append(verdict);
    if (control_.on_verdict) control_.on_verdict(verdict);
  }

  /// The run ends; what a worker threw is thrown again by the run.
  void stop(std::exception_ptr thrown) {
    const std::scoped_lock lock(mutex_);
    if (!thrown_) thrown_ = std::move(thrown);
  }
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  void note(const WorkUnit& unit, const BatchResult& batch) {
    std::int64_t& left = left_[unit.property];
    if (left > 0) --left;
    if (batch.status == Status::pass) return;
    std::optional<std::int64_t>& failed = failed_at_[unit.property];
    if (!failed) ++failures_;
    failed = std::min(failed.value_or(unit.range.first), unit.range.first);
    left = 0;
  }

  const RunPlan& plan_;
  const RunControl& control_;
  Results& done_;
  std::vector<WorkUnit> units_;
  std::vector<std::int64_t> left_;  ///< batches of a property that are still to run
  std::vector<std::optional<std::int64_t>> failed_at_;
  std::int64_t failures_ = 0;
  std::size_t next_ = 0;
  std::optional<Clock::time_point> deadline_;
  std::exception_ptr thrown_;
  std::mutex mutex_;
};

void work(Queue& queue, const RunPlan& plan, std::span<const Property> properties, Device& device,
          const RunControl& control) {
  std::map<std::size_t, CaseRunner> runners;
  while (const std::optional<WorkUnit> unit = queue.next()) {
    const Property& property = properties[unit->property];
    const CaseRunner& runner =
        runners.try_emplace(unit->property, property, device, plan.seed, plan.entry).first->second;
    BatchOptions options;
    options.seed = plan.seed;
    options.shrink_trials = control.shrink_trials;
    options.diagnose = control.diagnose;
    options.target = plan.target;
    options.entry = plan.entry;
    options.observe = control.observe;
    if (std::find(plan.flaky.begin(), plan.flaky.end(), property.id) != plan.flaky.end())
      options.retries = plan.retries;
    queue.finish(*unit, run_batch(runner, unit->range, options));
  }
}

}  // namespace

void carry_out(const RunPlan& plan, std::span<const Property> properties, const RunControl& control,
               Results& done) {
  Queue queue(plan, control, done);
  const auto guarded = [&](Device& device) {
    try {
      work(queue, plan, properties, device, control);
    } catch (...) {
      queue.stop(std::current_exception());
    }
  };
  if (control.devices.size() == 1) {
    guarded(*control.devices.front());
  } else {
    std::vector<std::thread> workers;
#ifdef _OPENMP
    const int share = std::max(1, omp_get_max_threads() / static_cast<int>(control.devices.size()));
#endif
    for (Device* const device : control.devices)
      workers.emplace_back([&, device] {
#ifdef _OPENMP
        omp_set_num_threads(share);  // of this worker's own loops
#endif
        guarded(*device);
      });
    for (std::thread& worker : workers) worker.join();
  }
  queue.rethrow();
}

}  // namespace assay::proptests
