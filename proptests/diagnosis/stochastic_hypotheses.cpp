// SPDX-License-Identifier: Apache-2.0
// The known errors of stochastic rounding: which word decides on which element, and by which bits.
#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/layout.h"
#include "golden/quantize.h"
#include "golden/stochastic.h"
#include "proptests/diagnosis/operations.h"
#include "proptests/judge.h"
#include "proptests/properties/quantized_output.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

/// How the undecided elements of a case went: under two seeds where the call has two.
struct Chance {
  std::vector<int> up;  ///< 1, 0, or -1 where there is nothing to decide
  std::vector<int> other;
  std::int64_t cols = 0;
  std::int64_t ups = 0, of = 0;
  golden::Rational fraction;  ///< of the way up of those that are alike, the most frequent ones
};
int gone(const formats::BlockScaledTensor& t, const golden::StochasticOutcome& o, std::int64_t i) {
  const std::uint32_t code = golden::load_code(t, i / t.cols, i % t.cols);
  return code == o.up ? 1 : 0;
}
std::optional<Chance> chance_of(const Case& c) {
  const kernels::Claim& claim = c.call.claim;
  const formats::FormatSpec& element = *claim.a->element;
  const golden::Policy policy = golden::policy_of(*claim.profile, element);
  const auto empty = empty_tensor(*claim.a, c.call.m, c.call.k, claim.scale_layout);
  const std::size_t parts = parts_of(*claim.a);
  if (c.answer->outputs.size() < parts || c.call.m == 0 || c.call.k == 0) return std::nullopt;
  const std::vector<float> x = input_floats(c.call, ASSAY_DUT_X);
  // One row stands for all where they are alike, as this property makes them.
  bool rows_alike = true;
  for (std::size_t i = static_cast<std::size_t>(c.call.k); i < x.size() && rows_alike; ++i)
    rows_alike = std::bit_cast<std::uint32_t>(x[i]) ==
                 std::bit_cast<std::uint32_t>(x[i - static_cast<std::size_t>(c.call.k)]);
  const std::int64_t rows = rows_alike ? 1 : c.call.m;
  const std::vector<RationalValue> scaled = golden::scaled_elements(
      std::span(x).first(static_cast<std::size_t>(rows * c.call.k)), rows, c.call.k, *claim.a);
  std::vector<bool> typical_at;
  const RationalValue& typical = scaled.back();
  for (const RationalValue& v : scaled) typical_at.push_back(v == typical);
  if (!typical.is_finite()) return std::nullopt;
  const golden::StochasticOutcome ideal =
      golden::ideal_stochastic_outcome(element, typical, policy);
  if (ideal.up == ideal.down) return std::nullopt;
  Chance out;
  out.cols = c.call.k;
  out.fraction = ideal.up_probability;
  const auto first = observed_tensor(empty, c.answer->outputs);
  const bool two = c.answer->outputs.size() >= 2 * parts;
  const auto second = two ? observed_tensor(empty, c.answer->outputs, parts) : first;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool counts = typical_at[i % typical_at.size()];
    out.up.push_back(counts ? gone(first, ideal, static_cast<std::int64_t>(i)) : -1);
    if (two) out.other.push_back(counts ? gone(second, ideal, static_cast<std::int64_t>(i)) : -1);
    if (!counts) continue;
    out.ups += out.up.back() + (two ? out.other.back() : 0);
    out.of += two ? 2 : 1;
  }
  return out;
}
/// Some go up and some do not: only then does it say anything that two are alike.
bool varies(const Chance& c) { return c.ups > 20 && c.of - c.ups > 20; }

/// Two seeds, one answer.
bool seed_ignored(const Case& c) {
  const auto chance = chance_of(c);
  return chance && varies(*chance) && !chance->other.empty() && chance->up == chance->other;
}

/// Every pair of elements that are alike and `partner` apart is rounded alike; some are undecided.
template <class Partner>
bool alike(const Case& c, const Partner& partner) {
  const auto chance = chance_of(c);
  if (!chance || !varies(*chance)) return false;
  std::int64_t pairs = 0;
  for (const auto* up : {&chance->up, &chance->other})
    for (std::int64_t i = 0; i < std::ssize(*up); ++i) {
      const std::int64_t j = partner(i, chance->cols);
      if (j < 0 || j >= std::ssize(*up) || (*up)[i] < 0 || (*up)[j] < 0) continue;
      if ((*up)[i] != (*up)[j]) return false;
      ++pairs;
    }
  return pairs > 40;  // independent elements: 2^-40 or less
}

template <std::int64_t n>
bool alike_within(const Case& c) {
  return alike(c, [](std::int64_t i, std::int64_t cols) {
    return i % cols % n != n - 1 && i % cols + 1 < cols ? i + 1 : -1;
  });
}
template <std::int64_t n>
bool repeats_after(const Case& c) {
  return alike(c,
               [](std::int64_t i, std::int64_t cols) { return i % cols + n < cols ? i + n : -1; });
}

bool repeats_by_row(const Case& c) {
  return alike(c, [](std::int64_t i, std::int64_t cols) { return i + cols; });
}

/// The chance of going up that an error leaves at a fraction of the way.
using Chances = double (*)(double fraction, int bits);
template <int bits>
double of_bits(double f, int) {
  return std::floor(std::ldexp(f, bits)) / std::ldexp(1.0, bits);
}
struct ChanceError {
  const char* id;
  const char* name;
  Chances of;
};
constexpr ChanceError chance_errors[] = {
    {"random_top_bit_missing",
     "the top random bit is always 0 (31 bits are used as 32): elements below half of a step never "
     "go up, and the others too rarely",
     [](double f, int) { return std::max(0.0, 2 * f - 1); }},
    {"random_top_bit_set", "the top random bit is always 1: elements go up too often",
     [](double f, int) { return std::min(1.0, 2 * f); }},
    {"random_zero", "random bits are 0: elements are truncated", [](double, int) { return 0.0; }},
    {"random_half", "elements are rounded to nearest, not at random",
     [](double f, int) { return f < 0.5 ? 0.0 : 1.0; }},
    {"random_largest", "elements always go up", [](double, int) { return 1.0; }},
    {"stochastic_reversed", "an element goes down where it should go up",
     [](double f, int) { return 1 - f; }},
    {"stochastic_coin", "elements go up with a chance of a half, wherever they are",
     [](double, int) { return 0.5; }},
    {"stochastic_biased", "chances are those of a single random bit", of_bits<1>},
    {"stochastic_biased", "chances are those of 2 random bits", of_bits<2>},
    {"stochastic_biased", "chances are those of 3 random bits", of_bits<3>},
    {"stochastic_biased", "chances are those of 4 random bits", of_bits<4>},
    {"stochastic_biased", "chances are those of 5 random bits", of_bits<5>},
    {"stochastic_biased", "chances are those of 6 random bits", of_bits<6>},
    {"stochastic_biased", "chances are those of 7 random bits", of_bits<7>},
    {"stochastic_biased", "chances are those of 8 random bits", of_bits<8>},
    {"stochastic_half_added", "half a step is added: elements go up too often",
     [](double f, int) { return std::min(1.0, f + 0.5); }},
    {"stochastic_squared", "the chance is the square of the fraction",
     [](double f, int) { return f * f; }},
    {"stochastic_root", "the chance is the root of the fraction",
     [](double f, int) { return std::sqrt(f); }},
    {"stochastic_summed", "the random number is a mean of two: its middle is too frequent",
     [](double f, int) { return f < 0.5 ? 2 * f * f : 1 - 2 * (1 - f) * (1 - f); }},
    {"stochastic_step_misread", "the fraction is taken as half of what it is",
     [](double f, int) { return f / 2; }},
    {"stochastic_step_misread", "the fraction is taken as twice what it is",
     [](double f, int) { return std::min(1.0, 2 * f); }},
};

/// Whether so many ups are what a chance of p leaves; 0 and 1 leave no doubt.
bool fits(const Chance& c, double p) {
  const double n = static_cast<double>(c.of);
  return std::fabs(static_cast<double>(c.ups) - n * p) <= 5 * std::sqrt(n * p * (1 - p));
}

/// The elements go up as often as the error makes them. Where that is as often as they should, the
/// case speaks neither way: it must not have failed for another reason.
Hypothesis by_chance(const ChanceError& row) {
  Hypothesis h;
  h.id = row.id;
  h.name = row.name;
  h.applies = [](const kernels::Claim& c) {
    return c.operation == "stochastic_quantize" && c.random == ASSAY_DUT_RANDOM_OPAQUE;
  };
  h.explains = [&row](const Case& c) {
    const auto chance = chance_of(c);
    if (!chance || chance->of == 0) return false;
    const double f = chance->fraction.convert_to<double>();
    if (!fits(*chance, row.of(f, c.call.claim.random_bits))) return false;
    return !fits(*chance, f) || !(seed_ignored(c) || repeats_by_row(c) || alike_within<2>(c));
  };
  return h;
}

bool is_opaque(const kernels::Claim& c) {
  return c.operation == "stochastic_quantize" && c.random == ASSAY_DUT_RANDOM_OPAQUE;
}
bool draws_philox(const kernels::Claim& c) { return c.random == ASSAY_DUT_RANDOM_PHILOX; }
bool reads_words(const kernels::Claim& c) { return c.random == ASSAY_DUT_RANDOM_WORDS; }

using Drawn32 = std::uint32_t (*)(const StochasticModel&, std::int64_t at);
/// An element takes these 32 bits, of which the top ones count.
Hypothesis taking(const char* id, const char* name, bool (*applies)(const kernels::Claim&),
                  Drawn32 word) {
  return edited(
      drawing, id, name,
      [word](StochasticModel& m, const Case&) {
        m.drawn = [word](const StochasticModel& q, std::int64_t at) {
          return word(q, at) >> static_cast<unsigned>(32 - q.bits);
        };
      },
      applies);
}
Hypothesis pattern(const char* id, const char* name, bool (*explains)(const Case&)) {
  Hypothesis h;
  h.id = id;
  h.name = name;
  h.applies = is_opaque;
  h.explains = explains;
  return h;
}

}  // namespace

std::vector<Hypothesis> stochastic_hypotheses() {
  using M = const StochasticModel&;
  std::vector<Hypothesis> out{
      taking("random_word_of_next", "an element takes the word of the next one", reads_words,
             [](M m, std::int64_t i) { return m.word((i + 1) % std::ssize(m.words)); }),
      taking("random_low_bits", "the lowest bits of a word are used instead of the top ones",
             reads_words,
             [](M m, std::int64_t i) { return m.word(i) << static_cast<unsigned>(32 - m.bits); }),
      taking("random_word_shared", "two neighbours share a word", reads_words,
             [](M m, std::int64_t i) { return m.word(i / 2 * 2); }),
      taking("random_words_per_row", "the generator counts columns: every row draws the same words",
             draws_philox, [](M m, std::int64_t i) { return m.word(i % m.quantizer.cols); }),
      taking("random_words_per_column",
             "the generator counts rows: every column draws the same words", draws_philox,
             [](M m, std::int64_t i) { return m.word(i / m.quantizer.cols); }),
      taking("random_words_transposed", "the generator counts elements column by column",
             draws_philox,
             [](M m, std::int64_t i) {
               return m.word(i % m.quantizer.cols * m.quantizer.rows + i / m.quantizer.cols);
             }),
      pattern("seed_ignored", "every call draws from the same seed", seed_ignored),
      pattern("random_word_shared", "all elements share a word",
              [](const Case& c) {
                return alike(c, [](std::int64_t i, std::int64_t) { return i + 1; });
              }),
      pattern("random_words_per_row", "every row draws the same words", repeats_by_row),
      pattern("random_word_shared", "eight neighbours share a word", alike_within<8>),
      pattern("random_word_shared", "four neighbours share a word", alike_within<4>),
      pattern("random_word_shared", "two neighbours share a word", alike_within<2>),
      pattern("random_words_repeat", "words repeat after 16 elements of a row", repeats_after<16>),
      pattern("random_words_repeat", "words repeat after 32 elements of a row", repeats_after<32>),
      pattern("random_words_per_row", "two rows draw the same words", [](const Case& c) {
        return alike(
            c, [](std::int64_t i, std::int64_t cols) { return i / cols % 2 == 0 ? i + cols : -1; });
      })};
  for (const ChanceError& row : chance_errors) out.push_back(by_chance(row));
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{42}})
    out.push_back(edited(
        drawing, "seed_ignored", "every call draws from the same seed",
        [seed](StochasticModel& m, const Case&) { m.seed = seed; }, draws_philox));
  return out;
}

}  // namespace assay::proptests::diagnosis
