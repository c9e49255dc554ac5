// SPDX-License-Identifier: Apache-2.0
// The known errors of stochastic rounding: which word decides on which element, and by which bits.
#include <cmath>
#include <cstring>

#include "golden/layout.h"
#include "golden/philox.h"
#include "golden/quantize.h"
#include "golden/stochastic.h"
#include "proptests/diagnosis/hypothesis.h"
#include "proptests/judge.h"
#include "proptests/properties/quantized_output.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

struct Drawn {
  const Case* c;
  formats::BlockScaledTensor observed;
  std::vector<RationalValue> scaled;
  std::vector<std::uint32_t> words;

  explicit Drawn(const Case& of)
      : c(&of),
        observed(observed_tensor(
            empty_tensor(*of.call.claim.a, of.call.m, of.call.k, of.call.claim.scale_layout),
            of.answer->outputs)),
        scaled(golden::scaled_elements(input_floats(of.call, ASSAY_DUT_X), of.call.m, of.call.k,
                                       *of.call.claim.a)) {
    const auto bytes = input_bytes(of.call, ASSAY_DUT_RANDOM);
    words.resize(bytes.size() / sizeof(std::uint32_t));
    if (!words.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
  }
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

/// Of calls with RANDOM: the codes that these words make, `top` bits of each.
template <class Word>
bool words_are(const Case& c, const Word& word) {
  const Drawn d(c);
  if (d.words.empty()) return false;
  const kernels::Claim& claim = c.call.claim;
  const formats::FormatSpec& element = *claim.a->element;
  for (std::int64_t i = 0; i < d.size(); ++i) {
    if (d.scaled[i].is_nan()) continue;
    const golden::Random random{claim.random_bits, word(d.words, i) >> (32 - claim.random_bits)};
    if (golden::encode(element, d.scaled[i], formats::RoundingMode::stochastic,
                       golden::policy_of(*claim.profile, element), random) != d.code(i))
      return false;
  }
  return true;
}

/// The codes that the generator makes when it counts other elements than it should.
template <class Index>
bool counts_are(const Case& c, const Index& index) {
  const Drawn d(c);
  const kernels::Claim& claim = c.call.claim;
  const formats::FormatSpec& element = *claim.a->element;
  for (std::int64_t i = 0; i < d.size(); ++i) {
    if (d.scaled[i].is_nan()) continue;
    const golden::Random random = golden::random_of(
        c.call.seed, static_cast<std::uint64_t>(index(i, c.call)), claim.random_bits);
    if (golden::encode(element, d.scaled[i], formats::RoundingMode::stochastic,
                       golden::policy_of(*claim.profile, element), random) != d.code(i))
      return false;
  }
  return true;
}

/// Two seeds, one answer; or the answer that another seed's generator gives.
bool seed_ignored(const Case& c) {
  const auto& outputs = c.answer->outputs;
  const std::size_t parts = parts_of(*c.call.claim.a);
  if (c.call.claim.random == ASSAY_DUT_RANDOM_OPAQUE)
    return outputs.size() == 2 * parts &&
           std::equal(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(parts),
                      outputs.begin() + static_cast<std::ptrdiff_t>(parts));
  formats::QuantizeOptions options;
  options.rounding = formats::RoundingMode::stochastic;
  options.profile = c.call.claim.profile;
  options.random_bits = c.call.claim.random_bits;
  options.scale_layout = c.call.claim.scale_layout;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{42}}) {
    options.seed = seed;
    if (!compare(golden::quantize(input_floats(c.call, ASSAY_DUT_X), c.call.m, c.call.k,
                                  *c.call.claim.a, options),
                 Drawn(c).observed))
      return true;
  }
  return false;
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
bool draws_philox(const kernels::Claim& c) {
  return c.operation == "stochastic_quantize" && c.random == ASSAY_DUT_RANDOM_PHILOX;
}
bool reads_words(const kernels::Claim& c) {
  return c.operation == "stochastic_quantize" && c.random == ASSAY_DUT_RANDOM_WORDS;
}
bool has_seed(const kernels::Claim& c) {
  return c.operation == "stochastic_quantize" && c.random != ASSAY_DUT_RANDOM_WORDS;
}

}  // namespace

std::vector<Hypothesis> stochastic_hypotheses() {
  using Words = std::vector<std::uint32_t>;
  return {
      {"random_word_of_next", "an element takes the word of the next one", reads_words,
       [](const Case& c) {
         return words_are(c, [](const Words& w, std::int64_t i) { return w[(i + 1) % w.size()]; });
       }},
      {"random_low_bits", "the lowest bits of a word are used instead of the top ones", reads_words,
       [](const Case& c) {
         const int shift = 32 - c.call.claim.random_bits;
         return words_are(c, [shift](const Words& w, std::int64_t i) { return w[i] << shift; });
       }},
      {"random_word_shared", "two neighbours share a word", reads_words,
       [](const Case& c) {
         return words_are(c, [](const Words& w, std::int64_t i) { return w[i / 2 * 2]; });
       }},
      {"random_words_per_row", "the generator counts columns: every row draws the same words",
       draws_philox,
       [](const Case& c) {
         return counts_are(c, [](std::int64_t i, const Call& call) { return i % call.k; });
       }},
      {"random_words_per_column", "the generator counts rows: every column draws the same words",
       draws_philox,
       [](const Case& c) {
         return counts_are(c, [](std::int64_t i, const Call& call) { return i / call.k; });
       }},
      {"random_words_transposed", "the generator counts elements column by column", draws_philox,
       [](const Case& c) {
         return counts_are(
             c, [](std::int64_t i, const Call& call) { return i % call.k * call.m + i / call.k; });
       }},
      {"seed_ignored", "every call draws from the same seed", has_seed, seed_ignored},
      {"random_word_shared", "two neighbours share a word", is_opaque,
       [](const Case& c) {
         return alike(c, [](std::int64_t i) { return i % 2 == 0 ? i + 1 : -1; });
       }},
      {"random_words_per_row", "every row draws the same words", is_opaque,
       [](const Case& c) {
         return alike(c, [cols = c.call.k](std::int64_t i) { return i + cols; });
       }},
      {"stochastic_biased", "chances are those of too few random bits", is_opaque, few_bits},
  };
}

}  // namespace assay::proptests::diagnosis
