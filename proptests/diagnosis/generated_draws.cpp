// SPDX-License-Identifier: Apache-2.0
// What may go wrong in the words of stochastic rounding: which word an element takes, which of its
// bits, and how they decide.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "proptests/diagnosis/fraction.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::RoundingMode;
using golden::RationalValue;

using Bits = std::uint32_t (*)(std::uint32_t word, int bits);
struct Drawing {
  const char* id;
  const char* text;
  Bits of;  ///< the random bits that count, from a word
};
std::uint32_t mask(int bits) { return (1U << static_cast<unsigned>(bits)) - 1; }
std::uint32_t reversed(std::uint32_t w) {
  std::uint32_t out = 0;
  for (unsigned i = 0; i < 32; ++i) out |= (w >> i & 1U) << (31 - i);
  return out;
}
constexpr Drawing draws[] = {
    {"random_low_bits", "the lowest bits of a word are used instead of the top ones",
     [](std::uint32_t w, int n) { return w & mask(n); }},
    {"random_inverted", "random bits are inverted",
     [](std::uint32_t w, int n) { return ~w >> static_cast<unsigned>(32 - n); }},
    {"random_bytes_swapped", "the bytes of a word are read in the other order",
     [](std::uint32_t w, int n) { return __builtin_bswap32(w) >> static_cast<unsigned>(32 - n); }},
    {"random_zero", "random bits are 0: elements are truncated",
     [](std::uint32_t, int) { return 0U; }},
    {"random_half", "random bits are one half: elements are rounded to nearest",
     [](std::uint32_t, int n) { return 1U << static_cast<unsigned>(n - 1); }},
    {"random_largest", "random bits are all ones", [](std::uint32_t, int n) { return mask(n); }},
    {"random_signed", "random bits are read as a signed number",
     [](std::uint32_t w, int n) {
       return (w >> static_cast<unsigned>(32 - n)) ^ (1U << static_cast<unsigned>(n - 1));
     }},
    {"random_bits_reversed", "the bits of a word are read in the other order",
     [](std::uint32_t w, int n) { return reversed(w) >> static_cast<unsigned>(32 - n); }},
    {"random_halves_exchanged", "the halves of a word are exchanged",
     [](std::uint32_t w, int n) { return (w << 16U | w >> 16U) >> static_cast<unsigned>(32 - n); }},
    {"random_folded", "the halves of a word are combined by exclusive or",
     [](std::uint32_t w, int n) { return ((w << 16U) ^ w) >> static_cast<unsigned>(32 - n); }},
    {"random_reduced", "random bits are the remainder by 2^n - 1",
     [](std::uint32_t w, int n) { return w % mask(n); }},
};

struct Decision {
  const char* id;
  const char* text;
  /// Whether the element goes up: the fraction of its way, in units of 2^-bits, and the word.
  bool (*up)(const golden::Rational& scaled, std::uint32_t word, std::uint32_t one, bool negative);
};
golden::Integer floor_of(const golden::Rational& x) {
  return boost::multiprecision::numerator(x) / boost::multiprecision::denominator(x);
}
constexpr Decision decisions[] = {
    {"stochastic_strict", "an element goes up for a sum above 1 only, not at 1",
     [](const auto& f, auto w, auto one, bool) { return floor_of(f) + w > one; }},
    {"stochastic_fraction_exact",
     "the fraction is not cut to the random bits before it is compared",
     [](const auto& f, auto w, auto one, bool) { return f + w >= one; }},
    {"stochastic_fraction_exact",
     "an element goes up where its fraction is above the random number",
     [](const auto& f, auto w, auto, bool) { return f > w; }},
    {"stochastic_complement", "an element goes up where the random number is below its fraction",
     [](const auto& f, auto w, auto, bool) { return floor_of(f) > w; }},
    {"stochastic_complement",
     "an element goes up where the random number is not above its fraction",
     [](const auto& f, auto w, auto, bool) { return floor_of(f) >= w; }},
    {"stochastic_fraction_rounded", "the fraction is rounded to the random bits, not cut",
     [](const auto& f, auto w, auto one, bool) {
       return floor_of(f + golden::Rational(1) / 2) + w >= one;
     }},
    {"stochastic_fraction_rounded", "the fraction is rounded up to the random bits",
     [](const auto& f, auto w, auto one, bool) {
       return -floor_of(-f) + w >= one || floor_of(f) + (f == floor_of(f) ? 0 : 1) + w >= one;
     }},
    {"stochastic_by_value", "negative elements go up as positive ones go down",
     [](const auto& f, auto w, auto one, bool negative) {
       if (!negative) return floor_of(f) + w >= one;
       const golden::Rational down = one - f;
       return floor_of(down) + w < one;
     }},
    {"stochastic_reversed", "an element goes down where it should go up",
     [](const auto& f, auto w, auto one, bool) { return floor_of(f) + w < one; }},
    {"stochastic_step_misread", "the fraction is taken as half of what it is",
     [](const auto& f, auto w, auto one, bool) { return floor_of(f / 2) + w >= one; }},
    {"stochastic_step_misread", "the fraction is taken as twice what it is",
     [](const auto& f, auto w, auto one, bool) { return floor_of(f * 2) + w >= one; }},
    {"stochastic_truncated_below_half", "elements below half of a step never go up",
     [](const auto& f, auto w, auto one, bool) { return 2 * f >= one && floor_of(f) + w >= one; }},
    {"stochastic_half_added", "half a step is added to the random number",
     [](const auto& f, auto w, auto one, bool) { return floor_of(f) + w + one / 2 >= one; }},
    {"stochastic_one_added", "1 is added to the random number",
     [](const auto& f, auto w, auto one, bool) { return floor_of(f) + w + 1 >= one; }},
};

std::vector<Hypothesis> of_draws() {
  using M = StochasticModel;
  std::vector<Hypothesis> out;
  for (const Drawing& row : draws)
    out.push_back(edited(drawing, row.id, row.text, [&row](M& m, const Case&) {
      m.drawn = [&row](const M& q, std::int64_t at) { return row.of(q.word(at), q.bits); };
    }));
  // Any other window of the word, and any bit of the right one that is lost or stuck.
  for (int first = 0; first < 32; ++first)
    out.push_back(edited(
        drawing, "random_middle_bits",
        fmt::format("the random bits begin at bit {} of the word instead of the top", first),
        [first](M& m, const Case&) {
          if (first == 31) return false;
          m.drawn = [first](const M& q, std::int64_t at) {
            const std::uint64_t w = q.word(at);
            const int low = first + 1 - q.bits;
            return static_cast<std::uint32_t>(low >= 0 ? w >> low : w << -low) & mask(q.bits);
          };
          return true;
        }));
  for (int bit = 0; bit < 16; ++bit)
    for (const bool set : {false, true})
      out.push_back(
          edited(drawing, bit == 0 ? "random_top_bit_missing" : "random_bit_missing",
                 fmt::format("{} random bit is always {}",
                             bit == 0 ? std::string("the top") : fmt::format("the top but {}", bit),
                             set ? 1 : 0) +
                     (bit == 0 && !set ? ": the word has 31 bits and is used as if it had 32" : ""),
                 [bit, set](M& m, const Case&) {
                   if (bit >= m.bits) return false;
                   m.drawn = [bit, set](const M& q, std::int64_t at) {
                     const std::uint32_t r = q.word(at) >> static_cast<unsigned>(32 - q.bits);
                     const std::uint32_t one = 1U << static_cast<unsigned>(q.bits - 1 - bit);
                     return set ? r | one : r & ~one;
                   };
                   return true;
                 }));
  out.push_back(edited(drawing, "random_top_bit_missing",
                       "a word has 31 bits and is used as if it had 32: one bit is shifted out",
                       [](M& m, const Case&) {
                         m.drawn = [](const M& q, std::int64_t at) {
                           return q.word(at) >> static_cast<unsigned>(33 - q.bits);
                         };
                       }));
  // A word serves several elements.
  for (const int parts : {2, 4, 8})
    for (const bool high_first : {false, true})
      out.push_back(
          edited(drawing, "random_word_split",
                 fmt::format("a word serves {} elements, {} bits each, the {} first", parts,
                             32 / parts, high_first ? "highest" : "lowest"),
                 [parts, high_first](M& m, const Case&) {
                   m.drawn = [parts, high_first](const M& q, std::int64_t at) {
                     const int width = 32 / parts;
                     const auto part = static_cast<int>(at % parts);
                     const std::uint32_t own =
                         q.word(at / parts) >> (width * (high_first ? parts - 1 - part : part));
                     const std::uint64_t bits = own & ((std::uint64_t{1} << width) - 1);
                     return static_cast<std::uint32_t>(q.bits <= width ? bits >> (width - q.bits)
                                                                       : bits << (q.bits - width));
                   };
                 }));
  for (int fewer = 1; fewer < 16; ++fewer)
    out.push_back(edited(
        drawing, "random_bits_fewer", "only " + std::to_string(fewer) + " random bits are used",
        [fewer](M& m, const Case&) {
          if (fewer >= m.bits) return false;
          m.drawn = [fewer](const M& q, std::int64_t at) {
            const auto drop = static_cast<unsigned>(q.bits - fewer);
            return q.word(at) >> static_cast<unsigned>(32 - q.bits) >> drop << drop;
          };
          return true;
        }));
  for (const Decision& row : decisions)
    out.push_back(edited(drawing, row.id, row.text, [&row](M& m, const Case&) {
      m.rounding = [&row, element = m.quantizer.format.element,
                    policy = golden::policy_of(*m.profile, *m.quantizer.format.element)](
                       const RationalValue& x, golden::Random r) {
        const Neighbours n = neighbours(*element, x);
        if (!x.is_finite() || x.is_zero() || n.low == n.high)
          return golden::encode(*element, x, RoundingMode::stochastic, policy, r);
        const golden::Rational low = golden::decode(*element, n.low).number.rational();
        const golden::Rational high = golden::decode(*element, n.high).number.rational();
        const std::uint32_t one = 1U << static_cast<unsigned>(r.bits);
        const golden::Rational f =
            (boost::multiprecision::abs(x.number) - low) / (high - low) * one;
        return golden::with_sign(*element, row.up(f, r.word, one, x.negative) ? n.high : n.low,
                                 x.negative);
      };
    }));
  // Which word an element takes: any other place of the matrix, of its four, or of its block.
  for (const MapEdit& edit : map_edits())
    for (const bool wrap : {false, true})
      out.push_back(edited(drawing, std::string("random_word_") + edit.id,
                           said(edit.text, "the random word"), [&edit, wrap](M& m, const Case&) {
                             const std::int64_t rows = m.quantizer.rows;
                             const std::int64_t cols = m.quantizer.cols;
                             std::vector<std::uint32_t> index(
                                 static_cast<std::size_t>(rows * cols));
                             for (std::size_t i = 0; i < index.size(); ++i)
                               index[i] = static_cast<std::uint32_t>(i);
                             Grid g = grid_of(index, rows, cols);
                             if (!apply(edit, g, wrap)) return false;
                             m.drawn = [index](const M& q, std::int64_t at) {
                               return q.word(index[static_cast<std::size_t>(at)]) >>
                                      static_cast<unsigned>(32 - q.bits);
                             };
                             return true;
                           }));
  struct Place {
    const char* id;
    const char* text;
    std::int64_t (*of)(std::int64_t at, const M& m);
  };
  static constexpr Place others[] = {
      {"random_words_per_row", "every row draws the same words",
       [](auto at, const M& m) { return at % m.quantizer.cols; }},
      {"random_words_per_column", "every column draws the same words",
       [](auto at, const M& m) { return at / m.quantizer.cols; }},
      {"random_word_shared", "two neighbours share a word",
       [](auto at, const M&) { return at / 2 * 2; }},
      {"random_word_shared", "four neighbours share a word",
       [](auto at, const M&) { return at / 4 * 4; }},
      {"random_word_shared", "a block shares a word",
       [](auto at, const M& m) {
         return at / m.quantizer.format.block.cols * m.quantizer.format.block.cols;
       }},
      {"random_word_shared", "all elements share a word",
       [](auto, const M&) { return std::int64_t{0}; }},
      {"random_words_per_block", "every block draws the same words",
       [](auto at, const M& m) { return at % m.quantizer.cols % m.quantizer.format.block.cols; }},
      {"random_lanes_reversed", "the four words of a draw are taken in the other order",
       [](auto at, const M&) { return at / 4 * 4 + 3 - at % 4; }},
      {"random_lanes_rotated", "the four words of a draw are taken from the second on",
       [](auto at, const M&) { return at / 4 * 4 + (at + 1) % 4; }},
      {"random_counter_per_element",
       "the generator counts elements and not fours: the first word of each draw is used",
       [](auto at, const M&) { return at * 4; }},
      {"random_counter_per_element", "the generator counts elements and not fours",
       [](auto at, const M&) { return at * 4 + at % 4; }},
      {"random_words_repeat", "words repeat after 128 elements",
       [](auto at, const M&) { return at % 128; }},
      {"random_words_repeat", "words repeat after 256 elements",
       [](auto at, const M&) { return at % 256; }},
      {"random_words_padded", "words are counted in rows of whole blocks",
       [](auto at, const M& m) {
         const std::int64_t b = m.quantizer.format.block.cols;
         return at / m.quantizer.cols * ((m.quantizer.cols + b - 1) / b * b) +
                at % m.quantizer.cols;
       }},
      {"random_words_padded", "words are counted in rows of whole fours",
       [](auto at, const M& m) {
         return at / m.quantizer.cols * ((m.quantizer.cols + 3) / 4 * 4) + at % m.quantizer.cols;
       }},
      {"random_word_of_next", "an element takes the word of the next one",
       [](auto at, const M&) { return at + 1; }},
      {"random_word_of_previous", "an element takes the word of the one before",
       [](auto at, const M&) { return std::max<std::int64_t>(at - 1, 0); }},
      {"random_words_transposed", "words are counted column by column",
       [](auto at, const M& m) {
         return at % m.quantizer.cols * m.quantizer.rows + at / m.quantizer.cols;
       }},
  };
  for (const Place& place : others)
    out.push_back(edited(drawing, place.id, place.text, [&place](M& m, const Case&) {
      m.drawn = [&place](const M& q, std::int64_t at) {
        std::int64_t from = place.of(at, q);
        if (!q.words.empty()) from %= std::ssize(q.words);
        return q.word(from) >> static_cast<unsigned>(32 - q.bits);
      };
    }));
  // Rows that do not follow each other, where the index counts what lies between them.
  out.push_back(edited(
      drawing, "random_index_by_stride", "the index of an element is row * row stride + column",
      [](M& m, const Case& c) {
        if (c.call.row_gap == 0 || !m.words.empty()) return false;
        m.drawn = [gap = c.call.row_gap](const M& q, std::int64_t at) {
          return q.word(at + at / q.quantizer.cols * gap) >> static_cast<unsigned>(32 - q.bits);
        };
        return true;
      }));
  for (Hypothesis& h : generated_of_generators()) out.push_back(std::move(h));
  // Between 0 and the smallest element alone.
  for (const bool nearest : {false, true})
    out.push_back(
        edited(drawing, "stochastic_small_elements",
               nearest ? "elements below half of the smallest number always become 0"
                       : "elements below the smallest number always become 0",
               [nearest](M& m, const Case&) {
                 m.rounding = [nearest, element = m.quantizer.format.element,
                               policy = golden::policy_of(*m.profile, *m.quantizer.format.element)](
                                  const RationalValue& x, golden::Random r) {
                   const Neighbours n = neighbours(*element, x);
                   if (x.is_finite() && n.low == 0 && n.high == 1 && (!nearest || n.side < 0))
                     return golden::with_sign(*element, 0, x.negative);
                   return golden::encode(*element, x, RoundingMode::stochastic, policy, r);
                 };
               }));
  struct Seed {
    const char* text;
    std::uint64_t (*of)(std::uint64_t);
  };
  static constexpr Seed seeds[] = {
      {"only the low word of the seed counts", [](auto s) { return s & 0xFFFFFFFFU; }},
      {"only the high word of the seed counts", [](auto s) { return s >> 32U << 32U; }},
      {"the words of the seed are exchanged", [](auto s) { return s << 32U | s >> 32U; }},
      {"the seed is one more", [](auto s) { return s + 1; }},
      {"only the low 31 bits of the seed count", [](auto s) { return s & 0x7FFFFFFFU; }},
      {"only the low 16 bits of the seed count", [](auto s) { return s & 0xFFFFU; }},
      {"the seed is 0", [](auto) { return std::uint64_t{0}; }},
      {"the seed is one less", [](auto s) { return s - 1; }},
      {"the seed is shifted by one bit", [](auto s) { return s << 1U; }},
      {"the words of the seed are combined by exclusive or",
       [](auto s) { return (s ^ s >> 32U) & 0xFFFFFFFFU; }},
      {"the words of the seed are added", [](auto s) { return (s + (s >> 32U)) & 0xFFFFFFFFU; }},
      {"only the low 24 bits of the seed count", [](auto s) { return s & 0xFFFFFFU; }},
      {"the low word of the seed stands for both",
       [](auto s) { return (s & 0xFFFFFFFFU) | s << 32U; }},
      {"the low word of the seed is extended with its sign",
       [](auto s) {
         return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(s)));
       }},
  };
  for (const bool high : {true, false})
    out.push_back(edited(drawing, "seed_of_earlier_call",
                         high ? "the high word of the seed is that of an earlier call"
                              : "the low word of the seed is that of an earlier call",
                         [high](M& m, const Case& c) {
                           if (!m.words.empty() || c.earlier.empty()) return false;
                           const std::uint64_t mask_of_it =
                               high ? 0xFFFFFFFF00000000U : 0xFFFFFFFFU;
                           m.seed = (m.seed & ~mask_of_it) | (c.earlier[0].seed & mask_of_it);
                           return true;
                         }));
  for (const Seed& seed : seeds)
    out.push_back(edited(drawing, "seed_misread", seed.text, [&seed](M& m, const Case&) {
      if (!m.words.empty() || seed.of(m.seed) == m.seed) return false;
      m.seed = seed.of(m.seed);
      return true;
    }));
  return out;
}

}  // namespace

std::vector<Hypothesis> generated_of_draws() { return of_draws(); }

}  // namespace assay::proptests::diagnosis
