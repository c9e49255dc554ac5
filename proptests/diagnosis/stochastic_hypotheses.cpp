// SPDX-License-Identifier: Apache-2.0
// The known errors of stochastic rounding: which word decides on which element, and by which bits.
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

struct Drawn {
  const Case* c;
  formats::BlockScaledTensor observed;
  std::vector<RationalValue> scaled;

  explicit Drawn(const Case& of)
      : c(&of),
        observed(observed_tensor(
            empty_tensor(*of.call.claim.a, of.call.m, of.call.k, of.call.claim.scale_layout),
            of.answer->outputs)),
        scaled(golden::scaled_elements(input_floats(of.call, ASSAY_DUT_X), of.call.m, of.call.k,
                                       *of.call.claim.a)) {}
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(scaled.size()); }
  [[nodiscard]] std::uint32_t code(std::int64_t i) const {
    return golden::load_code(observed, i / c->call.k, i % c->call.k);
  }
  [[nodiscard]] golden::StochasticOutcome outcome(std::int64_t i, int bits) const {
    const formats::FormatSpec& element = *c->call.claim.a->element;
    return golden::stochastic_outcome(element, scaled[i],
                                      golden::policy_of(*c->call.claim.profile, element), bits);
  }
};

/// Two seeds, one answer.
bool seed_ignored(const Case& c) {
  const auto& outputs = c.answer->outputs;
  const auto parts = static_cast<std::ptrdiff_t>(parts_of(*c.call.claim.a));
  return std::ssize(outputs) == 2 * parts &&
         std::equal(outputs.begin(), outputs.begin() + parts, outputs.begin() + parts);
}

/// Every pair of elements that are alike and `partner` apart is rounded alike; some are undecided.
template <class Partner>
bool alike(const Case& c, const Partner& partner) {
  const Drawn d(c);
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < d.size(); ++i) {
    const std::int64_t j = partner(i);
    if (j < 0 || j >= d.size() || d.scaled[i].is_nan() || !(d.scaled[i] == d.scaled[j])) continue;
    const golden::StochasticOutcome o = d.outcome(i, c.call.claim.random_bits);
    if (o.up == o.down || o.up_probability == 0) continue;
    if (d.code(i) != d.code(j)) return false;
    ++pairs;
  }
  return pairs > 40;  // independent elements: 2^-40 or less
}

/// Elements go up as often as few bits make them, and not as often as they should.
bool few_bits(const Case& c) {
  const Drawn d(c);
  for (int bits = 1; bits <= 8 && bits < c.call.claim.random_bits; ++bits) {
    double ups = 0;
    double few = 0;
    double right = 0;
    double variance = 0;
    for (std::int64_t i = 0; i < d.size(); ++i) {
      if (d.scaled[i].is_nan()) continue;
      const golden::StochasticOutcome o = d.outcome(i, c.call.claim.random_bits);
      if (o.up == o.down) continue;
      const double p = d.outcome(i, bits).up_probability.convert_to<double>();
      ups += d.code(i) == o.up ? 1 : 0;
      few += p;
      variance += p * (1 - p);
      right += o.up_probability.convert_to<double>();
    }
    const double slack = 5 * std::sqrt(variance);
    if (std::fabs(ups - few) <= slack && std::fabs(ups - right) > slack) return true;
  }
  return false;
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
      pattern("random_word_shared", "two neighbours share a word",
              [](const Case& c) {
                return alike(c, [](std::int64_t i) { return i % 2 == 0 ? i + 1 : -1; });
              }),
      pattern("random_words_per_row", "every row draws the same words",
              [](const Case& c) {
                return alike(c, [cols = c.call.k](std::int64_t i) { return i + cols; });
              }),
      pattern("stochastic_biased", "chances are those of too few random bits", few_bits)};
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{42}})
    out.push_back(edited(
        drawing, "seed_ignored", "every call draws from the same seed",
        [seed](StochasticModel& m, const Case&) { m.seed = seed; }, draws_philox));
  return out;
}

}  // namespace assay::proptests::diagnosis
