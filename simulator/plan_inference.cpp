// SPDX-License-Identifier: Apache-2.0
#include "simulator/plan_inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "simulator/plan_additions.h"

namespace assay::simulator {
namespace {

/// A unit as the plan uses it: products of one rounding, and the rest of the row.
struct Unit {
  MmaModel model;
  int instruction_k = 0;
  std::vector<std::string> names;
  [[nodiscard]] int step() const { return std::min(model.step, instruction_k); }
};

std::vector<Unit> units_of(const PlanTask& task, std::span<const MmaModel> models) {
  std::vector<Unit> units;
  for (const MmaModel& m : models) {
    if (m.a != task.a || m.b != task.b || m.scale != task.scale ||
        m.scale_block != task.scale_block)
      continue;
    for (const int k : {m.step, m.shortest_k}) {
      const auto same = [&m, k](const Unit& u) {
        return u.instruction_k == k && same_unit(u.model, m);
      };
      const auto known = std::find_if(units.begin(), units.end(), same);
      if (known == units.end())
        units.push_back({m, k, {m.name}});
      else if (known->names.back() != m.name)
        known->names.push_back(m.name);
    }
  }
  return units;
}

// --- what the order questions answer ------------------------------------------------------------

/// Where an element is: its chain, and its step in it.
struct Place {
  std::int64_t chain = 0, step = 0;
};

std::vector<Place> places(const Schedule& schedule, std::int64_t k, int step) {
  std::vector<Place> places(static_cast<std::size_t>(schedule.padded_k));
  std::int64_t chain = 0;
  for (const auto& segments : schedule.slices)
    for (const Segment& segment : segments) {
      std::int64_t position = 0;
      for (const KRange& r : segment)
        for (std::int64_t i = r.first; i < r.first + r.count; ++i)
          places[static_cast<std::size_t>(i)] = {chain, position++ / step};
      ++chain;
    }
  places.resize(static_cast<std::size_t>(k));
  return places;
}

bool loses(const std::vector<Place>& places, const OrderQuestion& q, std::int64_t block,
           bool lowered) {
  const Place x = places[static_cast<std::size_t>(q.x * block + large_at)];
  const Place z = places[static_cast<std::size_t>(q.z * block + small_at)];
  // A lowered instruction starts from zero and is added to the accumulator when the large products
  // have cancelled.
  return x.chain == z.chain && (lowered ? x.step == z.step : z.step <= x.step);
}

bool fits(const PlanTask& task, const Unit& unit, const Schedule& schedule,
          const PlanQuestions& questions, std::span<const char> lost) {
  const std::vector<Place> where = places(schedule, task.k, unit.step());
  const bool lowered = unit.model.arithmetic == Arithmetic::lowered;
  for (std::size_t i = 0; i < lost.size(); ++i)
    if (loses(where, questions.order[i], granularity(task), lowered) != (lost[i] != 0))
      return false;
  return true;
}

/// The simplest plan on the unit: one chain, tiles in a row.
GemmPlan plain(const PlanTask& task, const Unit& unit) {
  GemmPlan p;
  p.model = unit.model;
  p.instruction_k = p.tile_k = unit.instruction_k;
  p.output = task.output;
  p.rounding = task.rounding;
  p.overflow = task.overflow;
  return p;
}

/// The grid, each order of additions once, simplest plans first.
std::vector<GemmPlan> schedules(const PlanTask& task, const Unit& unit, std::int64_t block) {
  std::vector<GemmPlan> plans;
  const std::int64_t blocks = task.k / block;
  const auto granule = static_cast<int>(std::max<std::int64_t>(block, unit.instruction_k));
  GemmPlan p = plain(task, unit);
  for (int count = 1; count <= blocks; ++count) {
    for (const int tiles : {1, 2, 3, 4, 6, 8, 12, 16}) {
      p.tile_k = tiles * granule;
      const std::int64_t all = (task.k + p.tile_k - 1) / p.tile_k;
      if (count > all) break;  // slices without tiles
      for (const TileOrder order : {TileOrder::ascending, TileOrder::descending}) {
        if (order == TileOrder::ascending && count == 1 && tiles > 1) continue;
        for (const SplitTiles split :
             {SplitTiles::contiguous, SplitTiles::balanced, SplitTiles::interleaved}) {
          if (count == 1 && split != SplitTiles::contiguous) continue;
          p.tile_order = order;
          p.split = {count, split, ReductionOrder::ascending, &formats::fp32};
          // A promotion behind a whole slice changes no more than the sign of a zero.
          const std::int64_t longest = (all + count - 1) / count * p.tile_k;
          for (std::int64_t every = 0; every < longest; every += granule) {
            p.promote_every = static_cast<int>(every);
            plans.push_back(p);
          }
        }
      }
    }
  }
  return plans;
}

std::vector<std::vector<std::vector<std::int64_t>>> chains_of(const PlanQuestions& questions,
                                                              std::span<const char> lost) {
  std::int64_t blocks = 0;
  for (const OrderQuestion& q : questions.order) blocks = std::max(blocks, q.x + 1);
  const auto n = static_cast<std::size_t>(blocks);
  std::vector<char> table(n * n, 1);  // a block is in its own chain
  for (std::size_t i = 0; i < lost.size(); ++i)
    table[static_cast<std::size_t>(questions.order[i].x) * n +
          static_cast<std::size_t>(questions.order[i].z)] = lost[i];
  const auto before = [&](std::size_t z, std::size_t x) { return table[x * n + z] != 0; };
  std::vector<std::vector<std::vector<std::int64_t>>> chains;
  std::vector<bool> seen(n);
  for (std::size_t first = 0; first < n; ++first) {
    if (seen[first]) continue;
    std::vector<std::size_t> members;
    for (std::size_t y = 0; y < n; ++y)
      if (y == first || (!seen[y] && (before(y, first) || before(first, y)))) members.push_back(y);
    // How many blocks are lost beside one is its place in the chain.
    std::map<std::size_t, std::vector<std::int64_t>> by_place;
    for (const std::size_t x : members) {
      seen[x] = true;
      const auto place = static_cast<std::size_t>(std::count_if(
          members.begin(), members.end(), [&](std::size_t z) { return before(z, x); }));
      by_place[place].push_back(static_cast<std::int64_t>(x));
    }
    chains.emplace_back();
    for (auto& [place, together] : by_place) chains.back().push_back(std::move(together));
  }
  return chains;
}

/// Which order questions answer zero.
std::vector<char> lost_of(const PlanTask& task, const PlanQuestions& questions,
                          const auto& answer) {
  const std::uint32_t sign = 1U << (task.output->exponent_bits + task.output->mantissa_bits);
  std::vector<char> lost;
  for (std::size_t i = 0; i < questions.order.size(); ++i)
    lost.push_back((answer(static_cast<std::int64_t>(i)) & ~sign) == 0 ? 1 : 0);
  return lost;
}

class Judge {
 public:
  Judge(const PlanQuestions& q, std::span<const std::uint32_t> d, int threads)
      : q_(q), d_(d), threads_(threads) {}

  /// All answers, the cheap ones first.
  [[nodiscard]] bool gives(const GemmPlan& plan) const {
    for (std::int64_t i = q_.first_dense - 1; i >= 0; --i)
      if (expected(plan, i) != answer(i, i)) return false;
    const std::int64_t n = std::min(q_.rows - q_.first_dense, dense_rows);
    const std::vector<std::uint32_t> dense = gemm(plan, row(q_.first_dense, n), threads_);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        if (dense[static_cast<std::size_t>(i * n + j)] !=
            answer(q_.first_dense + i, q_.first_dense + j))
          return false;
    return true;
  }

  [[nodiscard]] std::uint32_t answer(std::int64_t i, std::int64_t j) const {
    return d_[static_cast<std::size_t>(i * q_.rows + j)];
  }

  /// What the plan gives for question i.
  [[nodiscard]] std::uint32_t expected(const GemmPlan& plan, std::int64_t i) const {
    return gemm(plan, row(i, 1))[0];
  }

 private:
  [[nodiscard]] GemmOperands row(std::int64_t first, std::int64_t count) const {
    const auto rows = [&](const std::vector<std::uint32_t>& codes) {
      const std::size_t width = codes.size() / static_cast<std::size_t>(q_.rows);
      return std::span(codes).subspan(static_cast<std::size_t>(first) * width,
                                      static_cast<std::size_t>(count) * width);
    };
    return {count, count, q_.k, rows(q_.a), rows(q_.b), rows(q_.scale_a), rows(q_.scale_b)};
  }

  const PlanQuestions& q_;
  std::span<const std::uint32_t> d_;
  int threads_;
};

/// The reductions that differ for this many slices.
std::vector<SplitK> reductions(SplitK split, std::size_t slices) {
  std::vector<SplitK> all;
  if (slices == 1) return {split};
  for (const auto* partials : {&formats::fp32, &formats::bf16, &formats::fp16}) {
    for (const ReductionOrder order :
         {ReductionOrder::ascending, ReductionOrder::descending, ReductionOrder::pairwise}) {
      if (slices == 2 && order != ReductionOrder::ascending) continue;
      split.partials = partials;
      split.order = order;
      all.push_back(split);
    }
  }
  return all;
}

}  // namespace

InferredPlan infer_plan(const PlanTask& task, const PlanQuestions& questions,
                        std::span<const std::uint32_t> d, std::span<const MmaModel> models,
                        int threads) {
  require_valid(task);
  if (d.size() != static_cast<std::size_t>(questions.rows * questions.rows))
    throw std::invalid_argument(
        fmt::format("{} outputs, where {} x {} belong", d.size(), questions.rows, questions.rows));
  const Judge judge(questions, d, threads);
  InferredPlan result;
  result.granularity = granularity(task);
  const std::vector<char> lost =
      lost_of(task, questions, [&](std::int64_t i) { return judge.answer(i, i); });
  bool any_shows = false;
  bool all_show = true;  // of the candidates' units
  const std::span<const MmaModel> known = models.empty() ? all_mma_models() : models;
  for (const Unit& unit : units_of(task, known)) {
    // The formats are wide enough for this unit if one chain on it loses what it should.
    const GemmPlan simplest = plain(task, unit);
    const auto expected = [&](std::int64_t i) { return judge.expected(simplest, i); };
    const bool shows = fits(task, unit, schedule_of(simplest, task.k), questions,
                            lost_of(task, questions, expected));
    any_shows = any_shows || shows;
    const std::size_t before = result.candidates.size();
    std::map<std::string, std::ptrdiff_t> classes;  // an order of additions: its candidate, or -1
    for (GemmPlan plan :
         shows ? schedules(task, unit, result.granularity) : std::vector<GemmPlan>{simplest}) {
      const Schedule schedule = schedule_of(plan, task.k);
      ++result.considered;
      if (shows && !fits(task, unit, schedule, questions, lost)) continue;
      for (const SplitK& split : reductions(plan.split, schedule.slices.size())) {
        plan.split = split;
        const auto next = static_cast<std::ptrdiff_t>(result.candidates.size());
        const auto [found, is_new] = classes.try_emplace(additions(plan, schedule, task.k), next);
        if (!is_new) {
          if (found->second >= 0)
            ++result.candidates[static_cast<std::size_t>(found->second)].equal_plans;
          continue;
        }
        if (!judge.gives(plan)) {
          found->second = -1;
          continue;
        }
        plan.name = "inferred";
        plan.source =
            fmt::format("inferred for K = {} from answers to {} questions", task.k, questions.rows);
        result.candidates.push_back({plan, unit.names, 1});
      }
    }
    all_show = all_show && (shows || result.candidates.size() == before);
  }
  result.order_shows = any_shows && all_show;
  if (any_shows) result.chains = chains_of(questions, lost);
  return result;
}

}  // namespace assay::simulator
