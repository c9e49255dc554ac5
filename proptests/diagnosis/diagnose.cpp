// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/diagnose.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "golden/layout.h"
#include "proptests/arena.h"
#include "proptests/diagnosis/place.h"
#include "proptests/diagnosis/weigh.h"

namespace assay::proptests::diagnosis {
namespace {

constexpr std::int64_t most_products = 20000;  ///< of a case that golden recomputes many times
// Passing cases cost little: only what explains the failing ones is held against them.
constexpr int failing_per_property = 8, passing_per_property = 16;
constexpr std::size_t failing_in_all = 32, passing_in_all = 160;
constexpr std::size_t kept_alike = 64;  ///< earlier calls with one shape of weights
constexpr std::size_t most_recent = 6;
constexpr std::size_t most_of_a_shape = 12;

std::int64_t work(const Call& call) {
  return std::max<std::int64_t>(call.m, 1) * std::max<std::int64_t>(call.n, 1) *
         std::max<std::int64_t>(call.k, 1);
}

struct Cases {
  std::vector<Reading> failing, passing;
};
/// The cheaper ones, as long as there are any. Of a case whose first run was right the second one
/// failed.
Cases readings_of(std::span<const Observation> observations) {
  std::vector<Case> failing;
  std::vector<Case> passing;
  for (const Observation& o : observations) {
    if (o.trial.first.outcome != Outcome::answered) continue;
    std::optional<Call> call = o.experiment->call();
    if (!call) continue;
    Case one{std::move(*call), &o.trial.first};
    for (const ExperimentPtr& e : o.earlier)
      if (std::optional<Call> before = e->call()) one.earlier.push_back(std::move(*before));
    const bool later = o.failed && o.trial.second.outcome == Outcome::answered &&
                       !o.experiment->judge(o.trial.first).mismatch &&
                       o.experiment->judge(o.trial.second).mismatch;
    if (later) {
      Case second = one;
      second.answer = &o.trial.second;
      second.second = true;
      failing.push_back(std::move(second));
    }
    (o.failed && !later ? failing : passing).push_back(std::move(one));
  }
  Cases cases;
  for (const auto& [from, to] : {std::pair(&failing, &cases.failing), {&passing, &cases.passing}}) {
    std::stable_sort(from->begin(), from->end(),
                     [](const Case& a, const Case& b) { return work(a.call) < work(b.call); });
    std::size_t most = from->size();
    while (most > 1 && work((*from)[most - 1].call) > most_products) --most;
    from->resize(std::min(most, from == &failing ? failing_in_all : passing_in_all));
    for (Case& one : *from)
      if (std::optional<Reading> r = read(std::move(one))) to->push_back(std::move(*r));
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

/// Where a call stands among the others, by its shape and flags alone.
std::string calls_where(std::span<const Observation> observations, const char* id) {
  PredictedArray call_alone = {};
  call_alone.rows = call_alone.cols = 1;
  call_alone.codes = {0};
  std::vector<Case> cases;
  std::vector<bool> shows;
  for (const Observation& o : observations) {
    std::optional<Call> call = o.experiment->call();
    if (!call) continue;
    cases.push_back({std::move(*call), nullptr});
    const std::vector<Candidate> found = conduct(o);
    shows.push_back(std::any_of(found.begin(), found.end(),
                                [id](const Candidate& c) { return c.id == std::string(id); }));
  }
  std::vector<Site> wrong;
  std::vector<Site> right;
  for (std::size_t i = 0; i < cases.size(); ++i)
    (shows[i] ? wrong : right).push_back({&cases[i], &call_alone, 0});
  const std::optional<Place> place = place_of(wrong, right);
  return place ? place->text : "";
}

/// What an output would hold that nobody writes to.
std::optional<Prediction> unwritten(const Case& c, const Prediction& right) {
  const std::uint8_t poison = (c.second ? second_run : first_run).poison;
  Prediction p = right;
  for (PredictedArray& a : p) {
    if (a.format == nullptr) {
      const std::uint64_t nibble = poison & 0xFU;
      for (std::uint64_t& code : a.codes) code = (code & ~std::uint64_t{0xF}) | nibble;
      continue;
    }
    const std::uint32_t bits = poison * (a.format->storage_bits == 16 ? 0x0101U : 0x01010101U);
    std::fill(a.numbers.begin(), a.numbers.end(),
              golden::to_rational(golden::decode(*a.format, bits)));
    std::fill(a.bounds.begin(), a.bounds.end(), golden::Bound{});
    a.bit_exact = true;
  }
  return p;
}

/// Whether the second of two equal calls answers the first one's numbers with its own added, in
/// every case whose answers differ.
bool adds_up(std::span<const Observation> observations) {
  bool any = false;
  for (const Observation& o : observations) {
    const std::optional<Call> call = o.experiment->call();
    if (!o.failed || !call || o.trial.second.outcome != Outcome::answered ||
        o.trial.first.outputs == o.trial.second.outputs)
      continue;
    const std::optional<Reading> one = read({*call, &o.trial.first});
    const std::optional<Reading> two = read({*call, &o.trial.second});
    if (!one || !two) return false;
    for (std::size_t a = 0; a < one->seen.size(); ++a) {
      const PredictedArray& right = one->right[a];
      if (right.format == nullptr) continue;
      for (std::size_t i = 0; i < right.numbers.size(); ++i) {
        const double first = one->seen[a].numbers[i];
        const double second = two->seen[a].numbers[i];
        if (first == second || !right.numbers[i].is_finite() || !std::isfinite(second)) continue;
        const auto own = right.numbers[i].number.convert_to<double>();
        const double error = right.bounds[i].error.convert_to<double>();
        // Each of the three is an FP32 or bf16 number at best.
        const double slack = (right.format == &formats::bf16 ? 0x1p-7 : 0x1p-20) *
                             (std::fabs(first) + std::fabs(second));
        if (std::fabs(second - first - own) > 2 * error + slack) return false;
        any = any || std::fabs(own) > 4 * (2 * error + slack);
      }
    }
  }
  return any;
}

/// The conduct of a kernel, and where it shows.
void place_conduct(std::vector<Candidate>& rows, std::span<const Observation> observations) {
  for (Candidate& c : rows) {
    if (c.id == "output_unwritten" || c.id == "last_output_unwritten") {
      const Cases cases = readings_of(observations);
      const Hypothesis h{c.id, c.name, nullptr, unwritten};
      if (const auto w = weigh(h, cases.failing, cases.passing);
          w && !cases.failing.empty() && w->rank == Rank::somewhere)
        c.where = w->candidate.where;
    }
    if (c.where.empty()) c.where = calls_where(observations, c.id.c_str());
  }
}

}  // namespace

Diagnosis diagnose(std::span<const Observation> observations) {
  Diagnosis d;
  const auto failed = std::find_if(observations.begin(), observations.end(),
                                   [](const Observation& o) { return o.failed; });
  if (failed == observations.end()) return d;
  std::vector<Candidate> conduct = conduct_of(observations);
  for (Candidate& c : conduct)
    if (c.id == "not_repeatable" && adds_up(observations)) {
      c.id = "added_to_earlier_results";
      c.name = "results are added to what earlier calls left: a workspace is not cleared";
    }
  const bool numbers_right = only_conduct_is_wrong(observations);
  const auto settles = [numbers_right](const Candidate& c) {
    // Bytes that are not the kernel's may be written because rows are misplaced; then that is what
    // is wrong.
    return c.explained == c.failing && c.id != "stale_answer" &&
           (numbers_right || c.id != "writes_outside");
  };
  const bool settled = std::any_of(conduct.begin(), conduct.end(), settles);
  const std::optional<Call> call = failed->experiment->call();
  if (!settled && !call) return d;
  if (settled) {
    d.candidates = conduct;
    place_conduct(d.candidates, observations);
    // Where a size alone decides, that is what is wrong.
    std::vector<Candidate> sizes = conditions_of(observations);
    std::erase_if(sizes, [](const Candidate& c) {
      return c.id != "rows_beyond_grid" && c.id != "offsets_in_32_bits";
    });
    d.candidates.insert(d.candidates.begin(), sizes.begin(), sizes.end());
    // That a call is answered otherwise the second time may be explained: by what is kept of
    // earlier ones.
    if (d.candidates.size() > 1 || d.candidates.front().id != "not_repeatable" || !call) return d;
    const Cases cases = readings_of(observations);
    std::vector<Weighed> weighed = weigh_all(call->claim, cases.failing, cases.passing);
    std::erase_if(weighed, [](const Weighed& w) {
      return w.rank > Rank::somewhere || w.candidate.id.find("earlier") == std::string::npos;
    });
    for (std::size_t i = 0; i < weighed.size(); ++i)
      d.candidates.insert(d.candidates.begin() + static_cast<std::ptrdiff_t>(i),
                          std::move(weighed[i].candidate));
    return d;
  }
  const Cases cases = readings_of(observations);
  std::vector<Weighed> weighed = weigh_all(call->claim, cases.failing, cases.passing);
  const auto rank = [&](std::vector<Candidate> rows, Rank as) {
    for (Candidate& c : rows) {
      const auto at = std::find_if(weighed.begin(), weighed.end(),
                                   [as](const Weighed& w) { return w.rank > as; });
      const bool known = std::any_of(weighed.begin(), weighed.end(), [&](const Weighed& w) {
        return w.candidate.id == c.id && w.rank <= as;
      });
      if (!known) weighed.insert(at, {std::move(c), as, 0, 1});
    }
  };
  rank(conditions_of(observations), Rank::condition);
  const bool known = std::any_of(weighed.begin(), weighed.end(),
                                 [](const Weighed& w) { return w.rank <= Rank::condition; });
  if (known)
    std::erase_if(weighed, [](const Weighed& w) { return w.rank > Rank::condition; });
  else
    rank(conduct, Rank::alike);
  std::stable_sort(weighed.begin(), weighed.end(),
                   [](const Weighed& a, const Weighed& b) { return a.rank < b.rank; });
  for (Weighed& w : weighed)
    if (std::none_of(d.candidates.begin(), d.candidates.end(),
                     [&](const Candidate& c) { return c.id == w.candidate.id; }))
      d.candidates.push_back(std::move(w.candidate));
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
  Asked asked;
  asked.add(*call, smallest);
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const std::optional<Call> other = experiments[i]->call();
    if (!other || trials[i].first.outcome == Outcome::declined) continue;
    const bool repeats = seen.repeats(*other, trials[i].first);
    if (other->claim.entry != call->claim.entry || other->claim.tactic != call->claim.tactic ||
        name_of(other->claim) != name_of(call->claim))
      continue;
    const bool failed = rule(*experiments[i], trials[i]).mismatch.has_value();
    observations.push_back({experiments[i], trials[i], failed, repeats, asked.before(*other)});
    asked.add(*other, experiments[i]);
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
    const std::string name = name_of(call->claim) + "#" + std::to_string(call->claim.entry);
    Entry& entry = entries_[name];
    Asked& asked = asked_[name];
    int& kept = (failed ? entry.failing : entry.passing)[property];
    if (kept++ < (failed ? failing_per_property : passing_per_property))
      entry.observations.push_back(
          {experiments[i], trials[i], failed, repeats, asked.before(*call)});
    asked.add(*call, experiments[i]);
  }
}

std::vector<ExperimentPtr> Asked::before(const Call& call) const {
  std::vector<ExperimentPtr> out = last_;
  const auto add = [&](const ExperimentPtr& e) {
    if (std::find(out.begin(), out.end(), e) == out.end()) out.push_back(e);
  };
  for (const ExperimentPtr& kept : {last_bias_, last_limit_})
    if (kept) add(kept);
  const auto found = alike_.find({call.n, call.k, call.groups});
  if (found == alike_.end()) return out;
  const std::vector<Alike>& alike = found->second;
  std::size_t same_shape = 0;
  for (auto at = alike.rbegin(); at != alike.rend() && same_shape < most_of_a_shape; ++at)
    if (at->m == call.m) {
      add(at->experiment);
      ++same_shape;
    }
  for (std::size_t i = 0; i < std::min(alike.size(), most_of_a_shape); ++i)
    add(alike[alike.size() - 1 - i].experiment);
  for (std::size_t i = 0; i < std::min(alike.size(), most_of_a_shape); ++i)
    add(alike[i].experiment);
  return out;
}

void Asked::add(const Call& call, const ExperimentPtr& experiment) {
  last_.insert(last_.begin(), experiment);
  if (last_.size() > most_recent) last_.pop_back();
  if (!input_bytes(call, ASSAY_DUT_BIAS).empty()) last_bias_ = experiment;
  if (call.limit != 0.0F) last_limit_ = experiment;
  std::vector<Alike>& alike = alike_[{call.n, call.k, call.groups}];
  if (alike.size() < kept_alike) alike.push_back({call.m, experiment});
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
