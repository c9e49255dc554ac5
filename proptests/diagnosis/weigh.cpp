// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/weigh.h"

#include <algorithm>
#include <stdexcept>

#include "proptests/diagnosis/place.h"

namespace assay::proptests::diagnosis {
namespace {

constexpr std::size_t most_in_places = 3;
constexpr std::size_t share_missed = 4;  ///< one failing case of so many may speak against `mostly`
constexpr std::size_t least_for_most = 4;

/// Golden declines operands that some errors would make: no explanation then.
template <class Function>
auto unless_declined(const Function& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::invalid_argument&) {
    return {};
  }
}

struct Sites {
  std::vector<Site> wrong, right;
  std::size_t wrongs = 0, rights = 0;
  bool trivial = true;  ///< all that is wrong is 0 or NaN
  void add(const Sites& other) {
    wrong.insert(wrong.end(), other.wrong.begin(), other.wrong.end());
    right.insert(right.end(), other.right.begin(), other.right.end());
    wrongs += other.wrongs;
    rights += other.rights;
    trivial = trivial && other.trivial;
  }
};

/// False where a slot is neither right nor wrong in this way.
bool collect(Sites& to, const Reading& r, const Prediction& p) {
  if (p.size() != r.right.size()) return false;
  std::size_t wrongs = 0;
  for (std::size_t a = 0; a < p.size(); ++a) {
    if (slots(p[a]) != slots(r.right[a])) return false;
    for (std::size_t i = 0; i < slots(p[a]); ++i) {
      const Verdict v = verdict(r.seen[a], r.right[a], p[a], i);
      if (v == Verdict::neither) return false;
      if (v == Verdict::both) continue;
      const bool wrong = v == Verdict::wrong;
      (wrong ? to.wrong : to.right).push_back({&r.one, &r.right[a], i});
      wrongs += wrong ? 1 : 0;
      if (wrong &&
          (p[a].format == nullptr || !(p[a].numbers[i].is_zero() || p[a].numbers[i].is_nan())))
        to.trivial = false;
      to.rights += wrong ? 0 : 1;
    }
  }
  to.wrongs += wrongs;
  return true;
}

/// The first and the last row that came out wrong, of an output that has many more.
void tell_rows(Reading& r) {
  if (r.right.empty() || r.right.front().format == nullptr || r.right.front().rows < 6) return;
  PredictedArray& a = r.right.front();
  const auto wrong = [&](std::int64_t row) {
    for (std::int64_t c = 0; c < a.cols; ++c)
      if (!agrees(r.seen.front(), a, static_cast<std::size_t>(row * a.cols + c), true)) return true;
    return false;
  };
  std::int64_t first = 0;
  while (first < a.rows && !wrong(first)) ++first;
  if (first == a.rows) return;
  a.telling.push_back(first);
  std::int64_t last = a.rows - 1;
  while (last > first && !wrong(last)) --last;
  if (last > first) a.telling.push_back(last);
}

std::optional<Weighed> weigh_pattern(const Hypothesis& h, std::span<const Reading> failing,
                                     std::span<const Reading> passing) {
  Weighed w;
  w.candidate = {h.id, h.name,
                 0,    static_cast<std::int64_t>(failing.size()),
                 0,    static_cast<std::int64_t>(passing.size())};
  for (const Reading& r : failing) {
    if (!unless_declined([&] { return h.explains(r.one); })) return std::nullopt;
    ++w.candidate.explained;
  }
  for (const Reading& r : passing)
    w.candidate.consistent += unless_declined([&] { return h.explains(r.one); }) ? 1 : 0;
  const bool all = w.candidate.consistent == w.candidate.passing;
  w.rank = h.loose ? Rank::alike : all ? Rank::everywhere : Rank::sometimes;
  return w;
}

/// Assumptions beside the place: that an error which would show nearly everywhere shows where it
/// does, and, for one that is not about the output, that what it leaves is 0 or NaN by chance.
int assumed(const Hypothesis& h, const Sites& sites, double share) {
  return (share < 0.02 ? 2 : share < 0.2 ? 1 : 0) + (sites.trivial && !h.literal ? 2 : 0);
}

bool settles(const Weighed& w) { return w.rank == Rank::everywhere; }

bool before(const Weighed& a, const Weighed& b) {
  if (a.rank != b.rank) return a.rank < b.rank;
  if (a.rank <= Rank::somewhere && a.cost != b.cost) return a.cost < b.cost;
  if (a.rank == Rank::in_places) return a.share > b.share;
  return false;
}

void weigh_into(std::vector<Weighed>& out, const std::vector<Hypothesis>& all,
                const kernels::Claim& claim, std::span<const Reading> failing,
                std::span<const Reading> passing, bool most = false) {
  for (const Hypothesis& h : all) {
    if (!h.applies(claim)) continue;
    std::optional<Weighed> w = weigh(h, failing, passing, most);
    if (!w) continue;
    const auto same = std::find_if(out.begin(), out.end(), [&](const Weighed& other) {
      return other.candidate.id == w->candidate.id;
    });
    if (same == out.end()) {
      out.push_back(std::move(*w));
    } else if (before(*w, *same)) {
      // In its own place: the worse one of the same name may have been met early.
      out.erase(same);
      out.push_back(std::move(*w));
    }
  }
}

// --- Two errors together ---------------------------------------------------------------------

/// A slot of a failing case that is not as it should be, by its number among those.
using Slots = std::vector<bool>;

std::size_t wrong_slots(std::span<const Reading> failing) {
  std::size_t count = 0;
  for (const Reading& r : failing)
    for (std::size_t a = 0; a < r.right.size(); ++a)
      for (std::size_t i = 0; i < slots(r.right[a]); ++i)
        count += agrees(r.seen[a], r.right[a], i, true) ? 0 : 1;
  return count;
}

/// Which of them the error makes as they are; nothing where a slot that could show it does not.
std::optional<Slots> explained(const Hypothesis& h, std::span<const Reading> failing,
                               std::span<const Reading> passing, std::size_t wrong) {
  Slots out(wrong);
  bool any = false;
  std::size_t at = 0;
  for (const bool failed : {true, false})
    for (const Reading& r : failed ? failing : passing) {
      const auto p = unless_declined([&] { return h.predict(r.one, r.right); });
      if (p && p->size() != r.right.size()) return std::nullopt;
      for (std::size_t a = 0; a < r.right.size(); ++a) {
        if (p && slots((*p)[a]) != slots(r.right[a])) return std::nullopt;
        for (std::size_t i = 0; i < slots(r.right[a]); ++i) {
          const Verdict v = p ? verdict(r.seen[a], r.right[a], (*p)[a], i) : Verdict::both;
          if (v == Verdict::right) return std::nullopt;
          if (!failed || agrees(r.seen[a], r.right[a], i, true)) continue;
          any = any || v == Verdict::wrong;
          out[at++] = v == Verdict::wrong;
        }
      }
    }
  return any ? std::optional(std::move(out)) : std::nullopt;
}

/// Where no single error is found: two of them, both of which show wherever they could, and which
/// leave no wrong slot unexplained.
void weigh_pairs(std::vector<Weighed>& out, const kernels::Claim& claim,
                 std::span<const Reading> failing, std::span<const Reading> passing) {
  struct Half {
    const Hypothesis* h;
    Slots slots;
  };
  // Found on a few cases, and held against all.
  constexpr std::size_t few = 6;
  const std::span<const Reading> some_failing = failing.first(std::min(few, failing.size()));
  const std::span<const Reading> some_passing = passing.first(std::min(few, passing.size()));
  const std::size_t wrong = wrong_slots(some_failing);
  if (wrong < 2) return;
  std::vector<Half> halves;
  for (const auto* table : {&hypotheses(), &generated_hypotheses()})
    for (const Hypothesis& h : *table) {
      if (!h.predict || h.literal || h.loose || !h.applies(claim)) continue;
      std::optional<Slots> s = explained(h, some_failing, some_passing, wrong);
      if (s && std::none_of(halves.begin(), halves.end(),
                            [&](const Half& other) { return other.slots == *s; }))
        halves.push_back({&h, std::move(*s)});
    }
  const auto cover = [](const Slots& a, const Slots& b) {
    for (std::size_t k = 0; k < a.size(); ++k)
      if (!a[k] && !b[k]) return false;
    return true;
  };
  const std::size_t wrong_in_all = wrong_slots(failing);
  const auto of_all = [&](const Half& half) {
    return explained(*half.h, failing, passing, wrong_in_all);
  };
  for (std::size_t i = 0; i < halves.size(); ++i)
    for (std::size_t j = i + 1; j < halves.size(); ++j) {
      if (!cover(halves[i].slots, halves[j].slots)) continue;
      const std::optional<Slots> a = of_all(halves[i]);
      if (!a) break;
      const std::optional<Slots> b = of_all(halves[j]);
      if (!b || !cover(*a, *b)) continue;
      Weighed w;
      const auto failed = static_cast<std::int64_t>(failing.size());
      const auto passed = static_cast<std::int64_t>(passing.size());
      w.candidate = {halves[i].h->id + "+" + halves[j].h->id,
                     halves[i].h->name + "; and " + halves[j].h->name,
                     failed,
                     failed,
                     passed,
                     passed};
      w.rank = Rank::two;
      out.push_back(std::move(w));
      return;
    }
}

}  // namespace

std::optional<Reading> read(Case one) {
  Reading r{std::move(one), {}, {}};
  std::optional<Prediction> right = unless_declined([&] { return right_prediction(r.one); });
  if (!right) return std::nullopt;
  r.right = std::move(*right);
  r.seen = seen(r.one);
  if (r.seen.size() != r.right.size()) return std::nullopt;
  for (std::size_t a = 0; a < r.right.size(); ++a)
    if ((r.right[a].format == nullptr ? r.seen[a].codes.size() : r.seen[a].numbers.size()) !=
        slots(r.right[a]))
      return std::nullopt;
  tell_rows(r);
  return r;
}

std::optional<Weighed> weigh(const Hypothesis& h, std::span<const Reading> failing,
                             std::span<const Reading> passing, bool most) {
  if (!h.predict && most) return std::nullopt;
  if (!h.predict) return weigh_pattern(h, failing, passing);
  Sites sites;
  std::size_t missed = 0;
  for (const Reading& r : failing) {
    Sites of_case;
    const auto p = unless_declined([&] { return h.predict(r.one, r.right); });
    if (!p || !collect(of_case, r, *p) || of_case.wrongs == 0) {
      if (++missed * share_missed > failing.size() || !most) return std::nullopt;
      continue;
    }
    sites.add(of_case);
  }
  const std::size_t rights_of_failing = sites.rights;
  Weighed w;
  w.cost = h.learned;
  const auto passed = static_cast<std::int64_t>(passing.size());
  const auto failed = static_cast<std::int64_t>(failing.size());
  w.candidate = {h.id, h.name, failed - static_cast<std::int64_t>(missed), failed, 0, passed};
  for (const Reading& r : passing) {
    const std::size_t before = sites.rights;
    const auto p = unless_declined([&] { return h.predict(r.one, r.right); });
    if (p) (void)collect(sites, r, *p);
    w.candidate.consistent += sites.rights == before ? 1 : 0;
  }
  if (most) {
    // Not all is explained: the place would be of no use.
    w.rank = Rank::mostly;
    return sites.rights > 4 * sites.wrongs ? std::nullopt : std::optional(w);
  }
  w.share = static_cast<double>(sites.wrongs) / static_cast<double>(sites.wrongs + sites.rights);
  if (sites.rights == 0) return w;
  if (const std::optional<Place> place = place_of(sites.wrong, sites.right)) {
    w.rank = Rank::somewhere;
    w.cost += place->cost + assumed(h, sites, w.share);
    w.candidate.where = place->text;
    w.candidate.consistent = passed;
    return w;
  }
  w.rank = Rank::sometimes;
  if (rights_of_failing == 0) return w;
  w.rank = Rank::in_places;
  w.candidate.where = "in some places";
  w.candidate.consistent = passed;
  const double share =
      static_cast<double>(sites.wrongs) / static_cast<double>(sites.wrongs + rights_of_failing);
  return share < 0.05 ? std::nullopt : std::optional(w);
}

std::vector<Weighed> weigh_all(const kernels::Claim& claim, std::span<const Reading> failing,
                               std::span<const Reading> passing) {
  std::vector<Weighed> out;
  if (failing.empty()) return out;
  weigh_into(out, hypotheses(), claim, failing, passing);
  if (std::none_of(out.begin(), out.end(), settles))
    weigh_into(out, generated_hypotheses(), claim, failing, passing);
  // Pairs are of codes: every hypothesis would have to compute every product of every case.
  if (claim.b == nullptr &&
      std::none_of(out.begin(), out.end(), [](const Weighed& w) { return w.rank < Rank::alike; }))
    weigh_pairs(out, claim, failing, passing);
  if (std::none_of(out.begin(), out.end(),
                   [](const Weighed& w) { return w.rank < Rank::in_places; }) &&
      failing.size() >= least_for_most) {
    weigh_into(out, hypotheses(), claim, failing, passing, true);
    weigh_into(out, generated_hypotheses(), claim, failing, passing, true);
  }
  std::stable_sort(out.begin(), out.end(), before);
  // Any answer is a mixture of the right one and of an error that is wild enough: a few of these,
  // and only where nothing better is known.
  const bool better = !out.empty() && out.front().rank != Rank::in_places;
  std::size_t kept = 0;
  std::erase_if(out, [&](const Weighed& w) {
    return w.rank == Rank::in_places && (better || ++kept > most_in_places);
  });
  return out;
}

}  // namespace assay::proptests::diagnosis
