// SPDX-License-Identifier: Apache-2.0
// Generators of random words that are not the claimed one: other rounds, counters and keys.
#include <array>

#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

/// Philox with another number of rounds, or fed otherwise: counter and key from seed and index.
struct Generator {
  const char* id;
  const char* text;
  int rounds;
  std::array<std::uint32_t, 4> (*counter)(std::uint64_t seed, std::uint64_t index);
  std::array<std::uint32_t, 2> (*key)(std::uint64_t seed);
};
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k,
                                    int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(b >> 32U) ^ c[1] ^ k[0], static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32U) ^ c[3] ^ k[1], static_cast<std::uint32_t>(a)};
    k = {k[0] + 0x9E3779B9U, k[1] + 0xBB67AE85U};
  }
  return c;
}
using Counter = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;
Counter low_words(std::uint64_t, std::uint64_t i) {
  return {static_cast<std::uint32_t>(i / 4), static_cast<std::uint32_t>(i / 4 >> 32U), 0, 0};
}
Key of_seed(std::uint64_t s) {
  return {static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(s >> 32U)};
}
constexpr Generator generators[] = {
    {"philox_rounds", "Philox has 7 rounds, not 10", 7, low_words, of_seed},
    {"philox_rounds", "Philox has 9 rounds, not 10", 9, low_words, of_seed},
    {"philox_rounds", "Philox has 6 rounds, not 10", 6, low_words, of_seed},
    {"philox_rounds", "Philox has 8 rounds, not 10", 8, low_words, of_seed},
    {"philox_rounds", "Philox has 11 rounds, not 10", 11, low_words, of_seed},
    {"philox_counter_misplaced", "the counter of Philox is in its high words", 10,
     [](auto, auto i) {
       return Counter{0, 0, static_cast<std::uint32_t>(i / 4), 0};
     },
     of_seed},
    {"philox_counter_misplaced", "the counter of Philox is in its second word", 10,
     [](auto, auto i) {
       return Counter{0, static_cast<std::uint32_t>(i / 4), 0, 0};
     },
     of_seed},
    {"philox_counter_misplaced", "the counter of Philox is in its last word", 10,
     [](auto, auto i) {
       return Counter{0, 0, 0, static_cast<std::uint32_t>(i / 4)};
     },
     of_seed},
    {"philox_counter_from_one", "the counter of Philox begins at 1", 10,
     [](auto s, auto i) { return low_words(s, i + 4); }, of_seed},
    {"philox_counter_per_element", "the counter of Philox is the element and not every fourth", 10,
     [](auto, auto i) {
       return Counter{static_cast<std::uint32_t>(i), 0, 0, 0};
     },
     of_seed},
    {"philox_seed_in_counter", "the seed is the counter and the index the key of Philox", 10,
     [](auto s, auto) {
       return Counter{static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(s >> 32U), 0, 0};
     },
     [](auto) {
       return Key{0, 0};
     }},
};

/// Counters of row and column apart: which word of which draw an element takes.
struct Apart {
  const char* id;
  const char* text;
  Counter (*counter)(std::uint32_t row, std::uint32_t col);
  Key (*key)(std::uint64_t seed, std::uint32_t row);
  bool lanes;  ///< four columns share a draw; otherwise the first word of a draw is used
};
Key own_seed(std::uint64_t s, std::uint32_t) { return of_seed(s); }
constexpr Apart aparts[] = {
    {"philox_row_in_counter", "the row is the second word of the counter, the column the first",
     [](auto r, auto c) {
       return Counter{c / 4, r, 0, 0};
     },
     own_seed, true},
    {"philox_row_in_counter", "the row is the first word of the counter, the column the second",
     [](auto r, auto c) {
       return Counter{r, c / 4, 0, 0};
     },
     own_seed, true},
    {"philox_row_in_counter", "the row is the third word of the counter, the column the first",
     [](auto r, auto c) {
       return Counter{c / 4, 0, r, 0};
     },
     own_seed, true},
    {"philox_row_in_counter", "row and column are words of the counter, a draw for each element",
     [](auto r, auto c) {
       return Counter{c, r, 0, 0};
     },
     own_seed, false},
    {"philox_row_in_seed", "the row is added to the seed, and columns are counted from 0",
     [](auto, auto c) {
       return Counter{c / 4, 0, 0, 0};
     },
     [](auto s, auto r) { return of_seed(s + r); }, true},
    {"philox_row_in_seed", "the row is combined with the seed, and columns are counted from 0",
     [](auto, auto c) {
       return Counter{c / 4, 0, 0, 0};
     },
     [](auto s, auto r) { return of_seed(s ^ r); }, true},
    {"philox_row_in_seed", "the row is the high word of the key",
     [](auto, auto c) {
       return Counter{c / 4, 0, 0, 0};
     },
     [](auto s, auto r) {
       return Key{static_cast<std::uint32_t>(s), r};
     },
     true},
};

}  // namespace

std::vector<Hypothesis> generated_of_generators() {
  using M = StochasticModel;
  std::vector<Hypothesis> out;
  for (const Apart& a : aparts)
    out.push_back(edited(drawing, a.id, a.text, [&a](M& m, const Case&) {
      if (!m.words.empty() || m.quantizer.cols == 0) return false;
      m.drawn = [&a](const M& q, std::int64_t at) {
        const auto r = static_cast<std::uint32_t>(at / q.quantizer.cols);
        const auto c = static_cast<std::uint32_t>(at % q.quantizer.cols);
        return philox(a.counter(r, c), a.key(q.seed, r), 10)[a.lanes ? c % 4 : 0] >>
               static_cast<unsigned>(32 - q.bits);
      };
      return true;
    }));
  for (const Generator& g : generators)
    out.push_back(edited(drawing, g.id, g.text, [&g](M& m, const Case&) {
      if (!m.words.empty()) return false;
      m.drawn = [&g](const M& q, std::int64_t at) {
        const auto i = static_cast<std::uint64_t>(at);
        const Counter words = philox(g.counter(q.seed, i), g.key(q.seed), g.rounds);
        return words[i % 4] >> static_cast<unsigned>(32 - q.bits);
      };
      return true;
    }));
  return out;
}

}  // namespace assay::proptests::diagnosis
