// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/diagnose.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "golden/layout.h"

namespace assay::proptests::diagnosis {
namespace {

constexpr std::int64_t most_products = 20000;  ///< of a case that golden recomputes many times
constexpr int kept_per_property = 3;
constexpr std::size_t kept_in_all = 32;

std::int64_t work(const Call& call) {
  return std::max<std::int64_t>(call.m, 1) * std::max<std::int64_t>(call.n, 1) *
         std::max<std::int64_t>(call.k, 1);
}

struct Cases {
  std::vector<Case> failing, passing;
};
/// The cheaper ones, as long as there are any.
Cases sorted_cases(std::span<const Observation> observations) {
  Cases cases;
  for (const Observation& o : observations) {
    if (o.trial.first.outcome != Outcome::answered) continue;
    if (std::optional<Call> call = o.experiment->call())
      (o.failed ? cases.failing : cases.passing).push_back({std::move(*call), &o.trial.first});
  }
  for (auto* list : {&cases.failing, &cases.passing}) {
    std::stable_sort(list->begin(), list->end(),
                     [](const Case& a, const Case& b) { return work(a.call) < work(b.call); });
    std::size_t most = list->size();
    while (most > 1 && work((*list)[most - 1].call) > most_products) --most;
    list->resize(std::min(most, kept_in_all));
  }
  return cases;
}

/// Conduct that shows in most failing cases (a stale answer may be right by accident).
std::vector<Candidate> conduct_of(std::span<const Observation> observations) {
  std::vector<Candidate> rows;
  std::int64_t failing = 0;
  for (const Observation& o : observations) {
    if (!o.failed) continue;
    ++failing;
    for (Candidate& c : conduct(o)) {
      auto row =
          std::find_if(rows.begin(), rows.end(), [&](const Candidate& r) { return r.id == c.id; });
      if (row == rows.end()) row = rows.insert(rows.end(), std::move(c));
      ++row->explained;
    }
  }
  for (Candidate& c : rows) c.failing = failing;
  std::erase_if(rows, [](const Candidate& c) { return 5 * c.explained < 3 * c.failing; });
  std::stable_sort(rows.begin(), rows.end(), [](const Candidate& a, const Candidate& b) {
    return a.explained > b.explained;
  });
  return rows;
}

/// Errors that show exactly where a call has a certain form.
struct Condition {
  const char* id;
  const char* name;
  bool (*holds)(const Call&);
};
bool any_row_beyond(const Call& c, int power) {
  return c.row_gap >= std::int64_t{1} << (power - 1) && (c.m > 2 || c.n > 2);
}
constexpr std::array conditions{
    Condition{"offsets_in_32_bits", "wrong wherever a row begins 2^32 elements behind the first",
              [](const Call& c) { return any_row_beyond(c, 32); }},
    Condition{"offsets_in_32_bits", "wrong wherever a row begins 2^31 elements behind the first",
              [](const Call& c) { return any_row_beyond(c, 31); }},
    Condition{"rows_beyond_grid", "wrong wherever there are more than 65,535 rows",
              [](const Call& c) { return c.m > 65535; }},
    Condition{"row_stride_ignored", "wrong wherever rows do not follow each other",
              [](const Call& c) { return c.row_gap > 0 && c.m != 1; }},
    Condition{"c_row_stride_ignored",
              "wrong wherever C is added and its rows do not follow each other",
              [](const Call& c) { return c.row_gap > 0 && c.m != 1 && c.beta != 0.0F; }},
    Condition{"empty_k_is_zero", "wrong wherever k is 0", [](const Call& c) { return c.k == 0; }},
    Condition{"scale_padding_read", "wrong wherever padding of the scale factors is not zero",
              [](const Call& c) {
                // A batch has such an array for each group, a layout call one that it moves whole.
                if (c.groups > 0 || c.claim.operation == "layout") return false;
                const std::int64_t b_rows = c.claim.operation == "gated_gemm" ? 2 * c.n : c.n;
                const auto dirty = [&](std::uint32_t role, const formats::BlockFormat* format,
                                       std::int64_t rows) {
                  if (format == nullptr || input_bytes(c, role, ASSAY_DUT_SCALES).empty())
                    return false;
                  const formats::BlockScaledTensor t = input_tensor(c, role, *format, rows, c.k);
                  formats::BlockScaledTensor clean = t;
                  std::fill(clean.scales.begin(), clean.scales.end(), 0);
                  const golden::BlockGrid grid = golden::block_grid(*format, rows, c.k);
                  for (std::int64_t r = 0; r < grid.down; ++r)
                    for (std::int64_t b = 0; b < grid.across; ++b)
                      golden::store_scale(clean, r, b, golden::load_scale(t, r, b));
                  return clean.scales != t.scales;
                };
                return dirty(ASSAY_DUT_A, c.claim.a, c.m) ||
                       dirty(ASSAY_DUT_B, c.claim.b, b_rows) || dirty(ASSAY_DUT_Q, c.claim.a, c.m);
              }}};

/// A condition that all failing calls meet and no passing one does.
std::vector<Candidate> conditions_of(std::span<const Observation> observations) {
  std::vector<Candidate> found;
  for (const Condition& condition : conditions) {
    Candidate c{condition.id, condition.name, 0, 0, 0, 0};
    for (const Observation& o : observations) {
      const std::optional<Call> call = o.experiment->call();
      if (!call) continue;
      const bool holds = condition.holds(*call);
      ++(o.failed ? c.failing : c.passing);
      if (o.failed == holds) ++(o.failed ? c.explained : c.consistent);
    }
    if (c.passing > 0 && c.explained == c.failing && c.consistent == c.passing)
      found.push_back(std::move(c));
  }
  return found;
}

/// Whether every failing case has the right numbers where numbers belong.
bool only_conduct_is_wrong(std::span<const Observation> observations) {
  return std::all_of(observations.begin(), observations.end(), [](const Observation& o) {
    return !o.failed || (o.trial.first.outcome == Outcome::answered &&
                         !o.experiment->judge(o.trial.first).mismatch);
  });
}

/// Golden declines operands that some errors would make: no explanation then.
template <class Function>
auto unless_declined(const Function& explains, const Case& one) -> decltype(explains(one)) {
  try {
    return explains(one);
  } catch (const std::invalid_argument&) {
    return {};
  }
}

/// Null where a failing case speaks against the hypothesis.
std::optional<Candidate> examine(const Hypothesis& h, const Cases& cases) {
  Candidate c{h.id, h.name,
              0,    static_cast<std::int64_t>(cases.failing.size()),
              0,    static_cast<std::int64_t>(cases.passing.size())};
  for (const Case& one : cases.failing) {
    if (!unless_declined(h.explains, one)) return std::nullopt;
    ++c.explained;
  }
  for (const Case& one : cases.passing) c.consistent += unless_declined(h.explains, one) ? 1 : 0;
  return c;
}

/// Errors made in some places only, those that show in most of the places where they could first:
/// any answer is a mixture of the right one and of an error that is wild enough. No more than a
/// few, and none that shows in less than one place of twenty.
std::vector<Candidate> partial(const kernels::Claim& claim, const Cases& cases) {
  constexpr std::size_t most = 3;
  std::vector<std::pair<double, Candidate>> found;
  for (const Hypothesis& h : hypotheses()) {
    if (!h.explains_partly || !h.applies(claim)) continue;
    Spread sum;
    const bool all = std::all_of(cases.failing.begin(), cases.failing.end(), [&](const Case& one) {
      const std::optional<Spread> s = unless_declined(h.explains_partly, one);
      if (s) sum = {sum.possible + s->possible, sum.shown + s->shown};
      return s.has_value();
    });
    if (!all || 20 * sum.shown < sum.possible || sum.shown == 0) continue;
    const auto failing = static_cast<std::int64_t>(cases.failing.size());
    const auto passing = static_cast<std::int64_t>(cases.passing.size());
    const double share = static_cast<double>(sum.shown) / static_cast<double>(sum.possible);
    const auto same = std::find_if(found.begin(), found.end(),
                                   [&](const auto& other) { return other.second.id == h.id; });
    if (same != found.end() && same->first >= share) continue;
    if (same != found.end()) found.erase(same);
    found.emplace_back(
        share, Candidate{h.id, h.name + ", in some places", failing, failing, passing, passing});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Candidate> rows;
  for (std::size_t i = 0; i < std::min(most, found.size()); ++i)
    rows.push_back(std::move(found[i].second));
  return rows;
}

}  // namespace

Diagnosis diagnose(std::span<const Observation> observations) {
  Diagnosis d;
  const auto failed = std::find_if(observations.begin(), observations.end(),
                                   [](const Observation& o) { return o.failed; });
  if (failed == observations.end()) return d;
  const std::vector<Candidate> conduct = conduct_of(observations);
  const bool numbers_right = only_conduct_is_wrong(observations);
  const auto settles = [numbers_right](const Candidate& c) {
    // Bytes that are not the kernel's may be written because rows are misplaced; then that is what
    // is wrong.
    return c.explained == c.failing && c.id != "stale_answer" &&
           (numbers_right || c.id != "writes_outside");
  };
  const bool settled = std::any_of(conduct.begin(), conduct.end(), settles);
  if (!numbers_right || !settled) d.candidates = conditions_of(observations);
  if (!d.candidates.empty()) return d;
  d.candidates = conduct;
  const std::optional<Call> call = failed->experiment->call();
  if (settled || !call) return d;
  const Cases cases = sorted_cases(observations);
  if (!cases.failing.empty())
    for (const Hypothesis& h : hypotheses()) {
      if (!h.applies(call->claim)) continue;
      const auto same = std::find_if(d.candidates.begin(), d.candidates.end(),
                                     [&](const Candidate& c) { return c.id == h.id; });
      const auto candidate = examine(h, cases);
      if (!candidate) continue;
      if (same == d.candidates.end())
        d.candidates.push_back(*candidate);
      else if (same->consistent < candidate->consistent)
        *same = *candidate;
    }
  // An error that every passing case permits, before one that shows under a condition.
  std::stable_sort(d.candidates.begin(), d.candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return a.consistent * std::max<std::int64_t>(b.passing, 1) >
                            b.consistent * std::max<std::int64_t>(a.passing, 1);
                   });
  if (d.candidates.empty() && !cases.failing.empty()) d.candidates = partial(call->claim, cases);
  if (d.candidates.empty()) d.evidence = evidence(observations);
  return d;
}

Diagnosis diagnose_failure(const CaseRunner& runner, const ExperimentPtr& smallest,
                           std::int64_t index) {
  constexpr std::int64_t more = 48;
  std::vector<Observation> observations{{smallest, runner.ask(smallest), true, false}};
  const std::optional<Call> call = smallest->call();
  if (!call) return {};
  // A call without an answer costs the device a process; what it is, the trial says.
  if (observations.front().trial.first.outcome != Outcome::answered) return diagnose(observations);
  std::vector<ExperimentPtr> experiments;
  for (std::int64_t i = index; i < index + more; ++i)
    experiments.push_back(runner.generate(i).value());
  const std::vector<Trial> trials = runner.ask(experiments);
  SeenAnswers seen;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const std::optional<Call> other = experiments[i]->call();
    if (!other || trials[i].first.outcome == Outcome::declined) continue;
    const bool repeats = seen.repeats(*other, trials[i].first);
    if (other->claim.entry != call->claim.entry || other->claim.tactic != call->claim.tactic ||
        name_of(other->claim) != name_of(call->claim))
      continue;
    const bool failed = rule(*experiments[i], trials[i]).mismatch.has_value();
    observations.push_back({experiments[i], trials[i], failed, repeats});
  }
  return diagnose(observations);
}

std::string evidence(std::span<const Observation> observations) {
  std::set<std::string> places;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> extents;
  for (const Observation& o : observations) {
    if (!o.failed) continue;
    const std::optional<Call> call = o.experiment->call();
    if (!call || o.trial.first.outcome != Outcome::answered) continue;
    if (const Ruling r = o.experiment->judge(o.trial.first); r.mismatch && places.size() < 6)
      places.insert(r.mismatch->where);
    for (const auto& [name, extent] :
         {std::pair<const char*, std::int64_t>{"m", call->m}, {"n", call->n}, {"k", call->k}}) {
      auto [at, fresh] = extents.try_emplace(name, extent, extent);
      at->second.first = std::min(at->second.first, extent);
      at->second.second = std::max(at->second.second, extent);
    }
  }
  std::string text = "first errors at";
  for (const std::string& place : places) text += " " + place;
  for (const auto& [name, range] : extents)
    if (range.second > 0) text += fmt::format(", {} {}..{}", name, range.first, range.second);
  return text;
}

void Casebook::add(const std::string& property, std::span<const ExperimentPtr> experiments,
                   std::span<const Trial> trials, std::span<const Ruling> rulings) {
  for (std::size_t i = 0; i < experiments.size(); ++i) {
    if (trials[i].first.outcome == Outcome::declined) continue;
    const std::optional<Call> call = experiments[i]->call();
    if (!call) continue;
    const bool failed = rulings[i].mismatch.has_value();
    const bool repeats = seen_.repeats(*call, trials[i].first);
    Entry& entry = entries_[name_of(call->claim) + "#" + std::to_string(call->claim.entry)];
    int& kept = (failed ? entry.failing : entry.passing)[property];
    if (kept++ < kept_per_property)
      entry.observations.push_back({experiments[i], trials[i], failed, repeats});
  }
}

bool SeenAnswers::repeats(const Call& call, const Answer& answer) {
  std::string out;
  for (const auto& bytes : answer.outputs) out.append(bytes.begin(), bytes.end());
  std::string in;
  for (const Operand& o : call.in) in.append(o.bytes.begin(), o.bytes.end());
  const auto [at, fresh] = answers_.try_emplace(std::move(out), in);
  return !fresh && at->second != in;
}

Diagnosis Casebook::finish() const {
  struct Votes {
    Candidate candidate;
    std::int64_t entries = 0, ranks = 0;
  };
  std::vector<Votes> votes;
  Diagnosis whole;
  for (const auto& [name, entry] : entries_) {
    const Diagnosis d = diagnose(entry.observations);
    if (whole.evidence.empty()) whole.evidence = d.evidence;
    for (std::size_t rank = 0; rank < d.candidates.size(); ++rank) {
      const Candidate& c = d.candidates[rank];
      auto vote = std::find_if(votes.begin(), votes.end(),
                               [&](const Votes& v) { return v.candidate.id == c.id; });
      if (vote == votes.end()) {
        votes.push_back({c, 1, static_cast<std::int64_t>(rank)});
        continue;
      }
      ++vote->entries;
      vote->ranks += static_cast<std::int64_t>(rank);
      vote->candidate.explained += c.explained;
      vote->candidate.failing += c.failing;
      vote->candidate.consistent += c.consistent;
      vote->candidate.passing += c.passing;
    }
  }
  std::stable_sort(votes.begin(), votes.end(), [](const Votes& a, const Votes& b) {
    if (a.entries != b.entries) return a.entries > b.entries;
    return a.ranks < b.ranks;
  });
  for (Votes& v : votes) whole.candidates.push_back(std::move(v.candidate));
  if (!whole.candidates.empty()) whole.evidence.clear();
  return whole;
}

}  // namespace assay::proptests::diagnosis
