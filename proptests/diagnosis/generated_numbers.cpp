// SPDX-License-Identifier: Apache-2.0
// What may go wrong in conversions of numbers, in the words of stochastic rounding, and in every
// output, whatever the operation.
#include <algorithm>
#include <array>
#include <cmath>

#include "golden/layout.h"
#include "proptests/arena.h"
#include "proptests/diagnosis/fraction.h"
#include "proptests/diagnosis/stages.h"
#include "proptests/properties/convert_expected.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::RoundingMode;
using golden::RationalValue;

// --- Conversions ---------------------------------------------------------------------------

float as_float(const formats::FormatSpec& format, std::uint32_t bits) {
  const golden::Value v = golden::decode(format, bits);
  if (v.is_nan()) return NAN;
  if (v.is_infinite()) return v.negative ? -INFINITY : INFINITY;
  return std::copysign(static_cast<float>(golden::approximate(v.number)),
                       v.negative ? -1.0F : 1.0F);
}

struct ResultEdit {
  const char* id;
  const char* text;
  std::uint32_t (*code)(const formats::FormatSpec& f, const golden::Value& x, std::uint32_t right);
};
bool beyond(const formats::FormatSpec& f, const golden::Value& x) {
  return x.is_infinite() || (x.is_finite() && golden::max_finite(f) < golden::abs(x.number));
}
std::uint32_t signed_code(const formats::FormatSpec& f, std::uint32_t magnitude, bool negative) {
  return golden::with_sign(f, magnitude, negative && golden::sign_mask(f) != 0);
}
std::uint32_t nan_code(const formats::FormatSpec& f, std::uint32_t right, bool negative) {
  return golden::has_nan(f) ? golden::canonical_nan(f, negative && golden::sign_mask(f) != 0)
                            : right;
}
constexpr ResultEdit results[] = {
    {"nan_as_zero", "NaN becomes 0",
     [](const auto&, const auto& x, auto right) { return x.is_nan() ? 0U : right; }},
    {"nan_as_largest", "NaN becomes the largest number",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? golden::max_finite_code(f) : right;
     }},
    {"nan_as_largest", "NaN becomes the largest number of its sign",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? signed_code(f, golden::max_finite_code(f), x.negative) : right;
     }},
    {"nan_sign", "NaN has the other sign",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? right ^ golden::sign_mask(f) : right;
     }},
    {"nan_payload", "NaN has all bits set",
     [](const auto& f, const auto& x, auto right) {
       return x.is_nan() ? golden::code_mask(f) : right;
     }},
    {"overflow_is_nan", "numbers beyond the largest become NaN",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? nan_code(f, right, x.negative) : right;
     }},
    {"infinity_is_nan", "infinities become NaN",
     [](const auto& f, const auto& x, auto right) {
       return x.is_infinite() ? nan_code(f, right, x.negative) : right;
     }},
    {"infinity_as_zero", "infinities become 0",
     [](const auto&, const auto& x, auto right) { return x.is_infinite() ? 0U : right; }},
    {"overflow_saturates", "numbers beyond the largest become the largest",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? signed_code(f, golden::max_finite_code(f), x.negative) : right;
     }},
    {"infinity_saturates", "infinities become the largest number",
     [](const auto& f, const auto& x, auto right) {
       return x.is_infinite() ? signed_code(f, golden::max_finite_code(f), x.negative) : right;
     }},
    {"overflow_is_infinity", "numbers beyond the largest become the code behind it",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? signed_code(f, golden::max_finite_code(f) + 1, x.negative) : right;
     }},
    {"overflow_wraps", "numbers beyond the largest become 0",
     [](const auto& f, const auto& x, auto right) {
       return beyond(f, x) ? signed_code(f, 0, x.negative) : right;
     }},
    {"saturates_one_low", "the largest code is never given, but the one below",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == golden::max_finite_code(f) ? right - 1 : right;
     }},
    {"subnormals_flushed", "subnormal codes become 0",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t m = golden::magnitude_of(f, right);
       return m < (1U << static_cast<unsigned>(f.mantissa_bits)) ? right - m : right;
     }},
    {"subnormals_flushed", "subnormal codes become +0",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t m = golden::magnitude_of(f, right);
       return m < (1U << static_cast<unsigned>(f.mantissa_bits)) ? 0U : right;
     }},
    {"subnormals_clamped", "subnormal codes become the smallest normal one",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t m = golden::magnitude_of(f, right);
       const std::uint32_t least = 1U << static_cast<unsigned>(f.mantissa_bits);
       return m > 0 && m < least ? right - m + least : right;
     }},
    {"underflow_clamped", "what rounds to 0 becomes the smallest number",
     [](const auto& f, const auto& x, auto right) {
       return !x.is_zero() && golden::magnitude_of(f, right) == 0 ? right + 1 : right;
     }},
    {"sign_lost", "the sign is lost",
     [](const auto& f, const auto&, auto right) { return right & ~golden::sign_mask(f); }},
    {"sign_inverted", "the sign is inverted",
     [](const auto& f, const auto&, auto right) { return right ^ golden::sign_mask(f); }},
    {"zero_sign_lost", "-0 becomes +0",
     [](const auto& f, const auto&, auto right) {
       return golden::magnitude_of(f, right) == 0 ? 0U : right;
     }},
    {"negative_lost", "negative numbers become 0",
     [](const auto&, const auto& x, auto right) { return x.negative ? 0U : right; }},
    {"carry_lost", "a carry out of the mantissa does not reach the exponent",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero() || f.mantissa_bits == 0) return right;
       const std::uint32_t down = golden::encode(f, x, RoundingMode::toward_zero,
                                                 golden::policy_of(formats::saturating, f));
       const std::uint32_t mantissa = (1U << static_cast<unsigned>(f.mantissa_bits)) - 1;
       return (right & ~mantissa) != (down & ~mantissa) ? down & ~mantissa : right;
     }},
    {"carry_lost", "a mantissa that rounds up to the next exponent stays at its largest",
     [](const auto& f, const auto& x, auto right) {
       if (!x.is_finite() || x.is_zero() || f.mantissa_bits == 0) return right;
       const std::uint32_t down = golden::encode(f, x, RoundingMode::toward_zero,
                                                 golden::policy_of(formats::saturating, f));
       const std::uint32_t mantissa = (1U << static_cast<unsigned>(f.mantissa_bits)) - 1;
       return (right & ~mantissa) != (down & ~mantissa) ? down : right;
     }},
    {"bias_off", "exponents are one too small",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t step = 1U << static_cast<unsigned>(f.mantissa_bits);
       return golden::magnitude_of(f, right) >= step ? right - step : right;
     }},
    {"bias_off", "exponents are one too large",
     [](const auto& f, const auto&, auto right) {
       const std::uint32_t step = 1U << static_cast<unsigned>(f.mantissa_bits);
       return golden::magnitude_of(f, right) + step <= golden::max_finite_code(f) ? right + step
                                                                                  : right;
     }},
    {"magnitude_of_negatives", "negative numbers count as positive",
     [](const auto& f, const auto& x, auto right) {
       if (!x.negative || x.is_nan()) return right;
       return golden::encode(f, -x, RoundingMode::nearest_even,
                             golden::policy_of(formats::saturating, f));
     }},
};

template <class Code>
Hypothesis converting_by(const char* id, const std::string& text, Code code) {
  return edited(converting, id, text, [code](ConvertModel& m, const Case&) { m.code = code; });
}

std::vector<Hypothesis> of_results() {
  std::vector<Hypothesis> out;
  for (const ResultEdit& edit : results)
    out.push_back(
        converting_by(edit.id, edit.text, [&edit](const kernels::Claim& c, std::uint32_t bits) {
          return edit.code(*c.code, golden::decode(*c.output, bits), converted(c, bits));
        }));
  for (const FractionRule& rule : fraction_rules())
    out.push_back(
        converting_by(rule.id, rule.text, [&rule](const kernels::Claim& c, std::uint32_t bits) {
          return rounded_by(rule, *c.code, golden::to_rational(golden::decode(*c.output, bits)),
                            converted(c, bits));
        }));
  for (const ValueEdit& edit : value_edits())
    out.push_back(converting_by(
        (std::string("input_") + edit.id).c_str(), said(edit.text, "the input"),
        [&edit](const kernels::Claim& c, std::uint32_t bits) {
          return golden::encode(*c.code, golden::value_of(edit.value(as_float(*c.output, bits))),
                                c.rounding, golden::policy_of(*c.profile, *c.code));
        }));
  cross(out, converting,
        Stage<ConvertModel>{
            "input", "the input",
            [](ConvertModel& m) { return std::vector{grid_of(m.source, m.rows, m.cols)}; }, false,
            false});
  return out;
}

// --- Random words --------------------------------------------------------------------------

using Bits = std::uint32_t (*)(std::uint32_t word, int bits);
struct Drawing {
  const char* id;
  const char* text;
  Bits of;  ///< the random bits that count, from a word
};
std::uint32_t mask(int bits) { return (1U << static_cast<unsigned>(bits)) - 1; }
constexpr Drawing draws[] = {
    {"random_low_bits", "the lowest bits of a word are used instead of the top ones",
     [](std::uint32_t w, int n) { return w & mask(n); }},
    {"random_middle_bits", "the bits below the top 8 of a word are used",
     [](std::uint32_t w, int n) { return w << 8U >> static_cast<unsigned>(32 - n); }},
    {"random_middle_bits", "the bits below the top 16 of a word are used",
     [](std::uint32_t w, int n) { return w << 16U >> static_cast<unsigned>(32 - n); }},
    {"random_middle_bits", "the bits below the top one of a word are used",
     [](std::uint32_t w, int n) { return w << 1U >> static_cast<unsigned>(32 - n); }},
    {"random_middle_bits", "one bit of a word too many is shifted out",
     [](std::uint32_t w, int n) { return w >> static_cast<unsigned>(33 - n); }},
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
      {"the low word of the seed stands for both",
       [](auto s) { return (s & 0xFFFFFFFFU) | s << 32U; }},
      {"the low word of the seed is extended with its sign",
       [](auto s) {
         return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(s)));
       }},
  };
  for (const Seed& seed : seeds)
    out.push_back(edited(drawing, "seed_misread", seed.text, [&seed](M& m, const Case&) {
      if (!m.words.empty() || seed.of(m.seed) == m.seed) return false;
      m.seed = seed.of(m.seed);
      return true;
    }));
  return out;
}

}  // namespace

std::vector<Hypothesis> generated_of_conversions() { return of_results(); }
std::vector<Hypothesis> generated_of_draws() { return of_draws(); }

}  // namespace assay::proptests::diagnosis
