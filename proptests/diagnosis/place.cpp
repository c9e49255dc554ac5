// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "golden/codec.h"

namespace assay::proptests::diagnosis {
namespace {

using Attribute = std::int64_t;
constexpr Attribute none = INT64_MIN;  ///< the attribute means nothing here

Attribute row(const Site& s) {
  return s.array->cols > 0 ? static_cast<Attribute>(s.slot) / s.array->cols : none;
}
Attribute col(const Site& s) {
  return s.array->cols > 0 ? static_cast<Attribute>(s.slot) % s.array->cols : none;
}
Attribute block_of(const Site& s) { return s.array->block > 0 ? col(s) / s.array->block : none; }
Attribute group_of(const Site& s) {
  return s.array->group.empty() ? none : s.array->group[static_cast<std::size_t>(row(s))];
}
Attribute row_in_group(const Site& s) {
  if (s.array->group.empty()) return none;
  Attribute r = row(s);
  const Attribute last = r;
  while (r > 0 && s.array->group[r - 1] == s.array->group[last]) --r;
  return last - r;
}
Attribute rows_behind_in_group(const Site& s) {
  if (s.array->group.empty()) return none;
  const auto size = static_cast<Attribute>(s.array->group.size());
  const Attribute first = row(s);
  Attribute r = first;
  while (r + 1 < size && s.array->group[r + 1] == s.array->group[first]) ++r;
  return r - first;
}
/// Groups without a row before this one's.
Attribute empty_before(const Site& s) {
  if (s.array->group.empty()) return none;
  Attribute empty = group_of(s);
  Attribute last = -1;
  for (Attribute r = 0; r <= row(s); ++r)
    if (s.array->group[r] >= 0 && s.array->group[r] != last) {
      last = s.array->group[r];
      if (last < group_of(s)) --empty;
    }
  return empty > 0 ? 1 : 0;
}
double source(const Site& s) { return s.array->source.empty() ? NAN : s.array->source[s.slot]; }
bool number_is(const Site& s, bool (*test)(const golden::RationalValue&)) {
  return s.array->format != nullptr && test(s.array->numbers[s.slot]);
}

/// The numbers of its block, by what they were made from.
bool block_any(const Site& s, bool (*test)(double)) {
  if (s.array->block <= 0 || s.array->source.empty()) return false;
  const Attribute first = row(s) * s.array->cols + block_of(s) * s.array->block;
  const Attribute last =
      row(s) * s.array->cols + std::min(s.array->cols, (block_of(s) + 1) * s.array->block);
  for (Attribute i = first; i < last; ++i)
    if (test(s.array->source[static_cast<std::size_t>(i)])) return true;
  return false;
}
bool block_all(const Site& s, bool (*test)(double)) {
  if (s.array->block <= 0 || s.array->source.empty()) return false;
  const Attribute first = row(s) * s.array->cols + block_of(s) * s.array->block;
  const Attribute last =
      row(s) * s.array->cols + std::min(s.array->cols, (block_of(s) + 1) * s.array->block);
  for (Attribute i = first; i < last; ++i)
    if (!test(s.array->source[static_cast<std::size_t>(i)])) return false;
  return true;
}

/// What is said of a slot in one word.
struct Word {
  const char* text;
  bool (*holds)(const Site&);
};
const Word words[] = {
    {"in the second of two equal calls", [](const Site& s) { return s.c->second; }},
    {"where m is 1", [](const Site& s) { return s.c->call.m == 1; }},
    {"where n is 1", [](const Site& s) { return s.c->call.n == 1; }},
    {"where k is 1", [](const Site& s) { return s.c->call.k == 1; }},
    {"where k is 0", [](const Site& s) { return s.c->call.k == 0; }},
    {"where beta is not 0", [](const Site& s) { return s.c->call.beta != 0.0F; }},
    {"where beta is 0", [](const Site& s) { return s.c->call.beta == 0.0F; }},
    {"where alpha is not 1", [](const Site& s) { return s.c->call.alpha != 1.0F; }},
    {"where alpha is negative", [](const Site& s) { return s.c->call.alpha < 0.0F; }},
    {"where rows do not follow each other", [](const Site& s) { return s.c->call.row_gap > 0; }},
    {"where rows follow each other", [](const Site& s) { return s.c->call.row_gap == 0; }},
    {"where there is a bias",
     [](const Site& s) { return !input_bytes(s.c->call, ASSAY_DUT_BIAS).empty(); }},
    {"where there is no bias",
     [](const Site& s) { return input_bytes(s.c->call, ASSAY_DUT_BIAS).empty(); }},
    {"where codes come in",
     [](const Site& s) {
       return !input_bytes(s.c->call, ASSAY_DUT_Q).empty() ||
              !input_bytes(s.c->call, ASSAY_DUT_Q, ASSAY_DUT_SCALES).empty();
     }},
    {"where numbers come in",
     [](const Site& s) { return !input_bytes(s.c->call, ASSAY_DUT_X).empty(); }},
    {"where there is a limit", [](const Site& s) { return s.c->call.limit != 0.0F; }},
    {"in the first row", [](const Site& s) { return row(s) == 0; }},
    {"in all rows but the first", [](const Site& s) { return row(s) > 0; }},
    {"in the last row", [](const Site& s) { return row(s) == s.array->rows - 1; }},
    {"in the first column", [](const Site& s) { return col(s) == 0; }},
    {"in all columns but the first", [](const Site& s) { return col(s) > 0; }},
    {"in the last column", [](const Site& s) { return col(s) == s.array->cols - 1; }},
    {"in the last block of a row",
     [](const Site& s) {
       return s.array->block > 0 && block_of(s) == (s.array->cols - 1) / s.array->block;
     }},
    {"in partial blocks",
     [](const Site& s) {
       return s.array->block > 0 && (block_of(s) + 1) * s.array->block > s.array->cols;
     }},
    {"in the first block of a row", [](const Site& s) { return block_of(s) == 0; }},
    {"in blocks of zeros",
     [](const Site& s) { return block_all(s, [](double x) { return x == 0; }); }},
    {"in blocks with NaN",
     [](const Site& s) { return block_any(s, [](double x) { return std::isnan(x); }); }},
    {"in blocks with an infinity",
     [](const Site& s) { return block_any(s, [](double x) { return std::isinf(x); }); }},
    {"in blocks without a positive number",
     [](const Site& s) { return block_all(s, [](double x) { return !(x > 0); }); }},
    {"behind an empty group", [](const Site& s) { return empty_before(s) == 1; }},
    {"in the first row of a group", [](const Site& s) { return row_in_group(s) == 0; }},
    {"in the last row of a group", [](const Site& s) { return rows_behind_in_group(s) == 0; }},
    {"for NaN", [](const Site& s) { return !s.array->source.empty() && std::isnan(source(s)); }},
    {"for infinities", [](const Site& s) { return std::isinf(source(s)); }},
    {"for numbers that are not finite",
     [](const Site& s) { return !s.array->source.empty() && !std::isfinite(source(s)); }},
    {"for negative numbers",
     [](const Site& s) { return !s.array->source.empty() && std::signbit(source(s)); }},
    {"for positive numbers",
     [](const Site& s) { return !s.array->source.empty() && !std::signbit(source(s)); }},
    {"for subnormal numbers",
     [](const Site& s) { return source(s) != 0 && std::fabs(source(s)) < 0x1p-126; }},
    {"for zeros", [](const Site& s) { return source(s) == 0; }},
    {"for numbers between two codes", [](const Site& s) { return s.array->step_of(s.slot) > 0; }},
    {"for ties", [](const Site& s) { return s.array->step_of(s.slot) == 0.5; }},
    {"for numbers just above a tie", [](const Site& s) { return s.array->step_of(s.slot) > 0.5; }},
    {"for numbers just below a tie",
     [](const Site& s) {
       const double f = s.array->step_of(s.slot);
       return f > 0 && f < 0.5;
     }},
    {"for numbers beyond the largest code",
     [](const Site& s) { return s.array->step_of(s.slot) < 0; }},
    {"for subnormal codes",
     [](const Site& s) {
       const formats::FormatSpec* f = s.array->code_format;
       return f != nullptr &&
              golden::magnitude_of(
                  *f, static_cast<std::uint32_t>(s.array->codes[s.slot]) & golden::code_mask(*f)) <=
                  (1U << static_cast<unsigned>(f->mantissa_bits));
     }},
    {"where the result is NaN",
     [](const Site& s) {
       return number_is(s, [](const golden::RationalValue& x) { return x.is_nan(); });
     }},
    {"where the result is infinite",
     [](const Site& s) {
       return number_is(s, [](const golden::RationalValue& x) { return x.is_infinite(); });
     }},
    {"where the result is negative",
     [](const Site& s) {
       return number_is(s,
                        [](const golden::RationalValue& x) { return x.negative && !x.is_zero(); });
     }},
    {"where the result is positive",
     [](const Site& s) {
       return number_is(s, [](const golden::RationalValue& x) {
         return !x.negative && !x.is_zero() && !x.is_nan();
       });
     }},
    {"where the result is zero",
     [](const Site& s) {
       return number_is(s, [](const golden::RationalValue& x) { return x.is_zero(); });
     }},
};

/// What is said with a number that the slots themselves give.
struct Measure {
  const char* name;
  Attribute (*of)(const Site&);
  bool shape;          ///< of the call: multiples matter, not residues
  bool label = false;  ///< not a place: residues mean nothing
};
const Measure measures[] = {
    {"m", [](const Site& s) { return s.c->call.m; }, true},
    {"n", [](const Site& s) { return s.c->call.n; }, true},
    {"k", [](const Site& s) { return s.c->call.k; }, true},
    {"groups", [](const Site& s) { return s.c->call.groups; }, true},
    {"row", row, false},
    {"column", col, false},
    {"row from the end", [](const Site& s) { return s.array->rows - 1 - row(s); }, false},
    {"column from the end", [](const Site& s) { return s.array->cols - 1 - col(s); }, false},
    {"block", block_of, false},
    {"the number of blocks in a row",
     [](const Site& s) {
       return s.array->block > 0 ? (s.array->cols + s.array->block - 1) / s.array->block : none;
     },
     true},
    {"place in the block",
     [](const Site& s) { return s.array->block > 0 ? col(s) % s.array->block : none; }, false},
    {"group", group_of, false},
    {"row of the group", row_in_group, false},
    {"row of the group from its end", rows_behind_in_group, false},
    {"the estimator", [](const Site& s) { return static_cast<Attribute>(s.c->call.estimator); },
     false, true},
    {"the code to give",
     [](const Site& s) {
       if (s.array->format != nullptr) return none;
       return static_cast<Attribute>(s.array->codes[s.slot] &
                                     (s.array->code_format == nullptr
                                          ? 0x7U
                                          : golden::magnitude_mask(*s.array->code_format)));
     },
     false, true},
    {"its scale factor's code",
     [](const Site& s) {
       if (!s.array->scale_codes.empty())
         return static_cast<Attribute>(s.array->scale_codes[s.slot]);
       return s.array->format == nullptr && s.array->block > 0
                  ? static_cast<Attribute>(s.array->codes[s.slot] >> 8U)
                  : none;
     },
     false, true},
    // Magnitudes in their order, as the bits of FP32 have it.
    {"magnitude",
     [](const Site& s) {
       const double x = std::fabs(source(s));
       return std::isnan(x)
                  ? none
                  : static_cast<Attribute>(std::bit_cast<std::uint32_t>(static_cast<float>(x)));
     },
     false, true},
};
std::string shown(const Measure& m, Attribute x) {
  if (std::strcmp(m.name, "magnitude") != 0) return std::to_string(x);
  return fmt::format("{:.9g}", std::bit_cast<float>(static_cast<std::uint32_t>(x)));
}

struct Statement {
  std::string text;
  int cost = 0;
  std::function<bool(const Site&)> holds;
};

void say_word(std::vector<Statement>& out, std::span<const Site> wrong) {
  for (const Word& w : words)
    if (std::all_of(wrong.begin(), wrong.end(), w.holds)) out.push_back({w.text, 1, w.holds});
  const std::string& name = wrong[0].array->name;
  const auto in_it = [name](const Site& s) { return s.array->name == name; };
  if (std::all_of(wrong.begin(), wrong.end(), in_it)) out.push_back({"in " + name, 1, in_it});
}

/// The bound between two neighbours that a kernel would more likely have: a power of two.
Attribute rounder(Attribute below, Attribute first) {
  for (Attribute p = 1; p > 0 && p <= first; p *= 2)
    if (p > below) return p;
  return first;
}

void say_measure(std::vector<Statement>& out, const Measure& m, std::span<const Site> wrong,
                 std::span<const Site> right) {
  std::vector<Attribute> w;
  for (const Site& s : wrong) {
    w.push_back(m.of(s));
    if (w.back() == none) return;
  }
  const auto [low_at, high_at] = std::minmax_element(w.begin(), w.end());
  const Attribute low = *low_at;
  const Attribute high = *high_at;
  Attribute below = -1;
  for (const Site& s : right)
    if (const Attribute x = m.of(s); x < low) below = std::max(below, x);
  const auto of = m.of;
  if (low == high)
    out.push_back({fmt::format("where {} is {}", m.name, shown(m, low)), 2,
                   [of, low](const Site& s) { return of(s) == low; }});
  if (low > 0) {
    const Attribute from = rounder(below, low);
    out.push_back({fmt::format("from {} {} on", m.name, shown(m, from)), 2,
                   [of, from](const Site& s) { return of(s) >= from; }});
  }
  out.push_back({fmt::format("up to {} {}", m.name, shown(m, high)), 3,
                 [of, high](const Site& s) { return of(s) != none && of(s) <= high; }});
  for (const Attribute step : {2, 4, 8, 16, 32, 64, 128}) {
    if (m.label) break;
    const auto same = [&](Attribute x) { return x % step == low % step; };
    const auto no_multiple = [&](Attribute x) { return x % step != 0; };
    const int cost = step == 2 ? 1 : 2;
    if (m.shape && std::all_of(w.begin(), w.end(), no_multiple))
      out.push_back({step == 2 ? fmt::format("where {} is odd", m.name)
                               : fmt::format("where {} is no multiple of {}", m.name, step),
                     cost, [of, step](const Site& s) { return of(s) % step != 0; }});
    if (std::all_of(w.begin(), w.end(), same)) {
      const Attribute rest = low % step;
      const char* parity = rest == 0 ? "even" : "odd";
      out.push_back({step == 2 ? fmt::format("where {} is {}", m.name, parity)
                               : fmt::format("where {} is {} modulo {}", m.name, rest, step),
                     cost, [of, step, rest](const Site& s) { return of(s) % step == rest; }});
    }
    if (std::all_of(w.begin(), w.end(), [&](Attribute x) { return x % step >= step / 2; }) &&
        step > 2)
      out.push_back({fmt::format("where {} is in the second half of {}", m.name, step), 2,
                     [of, step](const Site& s) { return of(s) % step >= step / 2; }});
  }
}

/// Beyond the last whole tile of rows or columns.
void say_tiles(std::vector<Statement>& out, std::span<const Site> wrong) {
  for (const Attribute tile : {2, 4, 8, 16, 32, 64, 128}) {
    const auto rows = [tile](const Site& s) { return row(s) >= s.array->rows / tile * tile; };
    const auto cols = [tile](const Site& s) { return col(s) >= s.array->cols / tile * tile; };
    if (std::all_of(wrong.begin(), wrong.end(), rows))
      out.push_back({fmt::format("in rows behind the last whole {}", tile), 2, rows});
    if (std::all_of(wrong.begin(), wrong.end(), cols))
      out.push_back({fmt::format("in columns behind the last whole {}", tile), 2, cols});
  }
}

/// The simplest statement that separates some slots.
std::optional<Statement> separates(std::span<const Site> wrong, std::span<const Site> right) {
  std::vector<Statement> statements;
  say_word(statements, wrong);
  if (wrong.size() >= 2 && right.size() >= 6) {
    for (const Measure& m : measures) say_measure(statements, m, wrong, right);
    say_tiles(statements, wrong);
  } else if (wrong.size() >= 2 && right.size() >= 2) {
    // Few slots can show it: a tile alone, and it costs more.
    say_tiles(statements, wrong);
    for (Statement& s : statements) s.cost += s.cost == 2 ? 2 : 0;
  }
  std::stable_sort(statements.begin(), statements.end(),
                   [](const Statement& a, const Statement& b) { return a.cost < b.cost; });
  for (const Statement& s : statements)
    if (std::none_of(right.begin(), right.end(), s.holds)) return s;
  if (wrong.size() < 4 || right.size() < 12) return std::nullopt;
  // Two statements of a word together, or one of a word and one with a number.
  std::vector<std::vector<bool>> holds(statements.size());
  for (std::size_t i = 0; i < statements.size(); ++i)
    for (const Site& s : right) holds[i].push_back(statements[i].holds(s));
  for (const int most : {2, 3})
    for (std::size_t i = 0; i < statements.size(); ++i)
      for (std::size_t j = i + 1; j < statements.size(); ++j) {
        if (statements[i].cost + statements[j].cost != most) continue;
        bool apart = true;
        for (std::size_t r = 0; r < right.size() && apart; ++r)
          apart = !(holds[i][r] && holds[j][r]);
        if (apart)
          return Statement{statements[i].text + ", " + statements[j].text, most + 1,
                           [a = statements[i].holds, b = statements[j].holds](const Site& s) {
                             return a(s) && b(s);
                           }};
      }
  return std::nullopt;
}

/// As many of them as `most`, evenly spread, the first and the last among them.
std::vector<Site> spread_of(std::span<const Site> all, std::size_t most) {
  if (all.size() <= most) return {all.begin(), all.end()};
  std::vector<Site> out;
  for (std::size_t i = 0; i < most; ++i) out.push_back(all[i * (all.size() - 1) / (most - 1)]);
  return out;
}

}  // namespace

std::optional<Place> place_of(std::span<const Site> wrong, std::span<const Site> right) {
  if (wrong.empty() || right.empty()) return std::nullopt;
  // Learned from some slots and held against all: those that speak against it are added, until none
  // does. What separates all separates any of them, so that nothing is lost.
  constexpr std::size_t at_a_time = 4096;
  std::vector<Site> some_wrong = spread_of(wrong, at_a_time);
  std::vector<Site> some_right = spread_of(right, at_a_time);
  while (true) {
    const std::optional<Statement> s = separates(some_wrong, some_right);
    if (!s) return std::nullopt;
    std::vector<Site> not_held;
    std::vector<Site> held;
    for (const Site& x : wrong)
      if (!s->holds(x)) not_held.push_back(x);
    for (const Site& x : right)
      if (s->holds(x)) held.push_back(x);
    if (not_held.empty() && held.empty()) return Place{s->text, s->cost};
    for (const Site& x : spread_of(not_held, at_a_time)) some_wrong.push_back(x);
    for (const Site& x : spread_of(held, at_a_time)) some_right.push_back(x);
  }
}

}  // namespace assay::proptests::diagnosis
