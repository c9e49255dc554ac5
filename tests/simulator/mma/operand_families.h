// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operands on which matrix units differ: random numbers of everyday size tell almost nothing about
// alignment, specials and subnormal numbers.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "simulator/mma/model.h"

namespace assay::simulator::tests {

enum class Family : std::uint8_t {
  raw,           ///< any bits, NaN and infinities included
  finite,        ///< any finite bits
  narrow,        ///< exponents of few binades around the middle
  wide,          ///< all exponents, few large ones
  cancellation,  ///< terms in pairs of opposite sign, and a small rest
  boundary,      ///< exponents F - 2 .. F + 2 below the largest product
  subnormal,     ///< the smallest exponents
};
inline constexpr Family families[] = {Family::raw,      Family::finite,       Family::narrow,
                                      Family::wide,     Family::cancellation, Family::boundary,
                                      Family::subnormal};
constexpr std::string_view family_names[] = {"raw",          "finite",   "narrow",   "wide",
                                             "cancellation", "boundary", "subnormal"};

/// A generator of 64-bit words (SplitMix64; Steele, Lea, Flood, OOPSLA 2014) for where the Mersenne
/// twister would be a quarter of the time.
class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
  }

 private:
  std::uint64_t state_;
};

/// Draws codes of one format.
template <class Words>
class CodeSource {
 public:
  CodeSource(const formats::FormatSpec& spec, Words& random) : spec_(spec), random_(random) {}

  std::uint32_t any() { return word() & mask(); }
  std::uint32_t finite() {
    for (;;) {
      const std::uint32_t code = any();
      if (is_finite(code)) return code;
    }
  }
  /// Exponent field clamped to what is finite; random sign and mantissa.
  std::uint32_t with_field(int field) {
    const int top = (1 << spec_.exponent_bits) - 1;
    const int last = spec_.specials == formats::Specials::ieee ? top - 1 : top;
    const auto f = static_cast<std::uint32_t>(std::clamp(field, 0, last));
    for (;;) {
      const std::uint32_t fields =
          any() & ~(static_cast<std::uint32_t>(top) << spec_.mantissa_bits);
      const std::uint32_t code = fields | f << spec_.mantissa_bits;
      if (is_finite(code)) return code;
    }
  }
  std::uint32_t near_exponent(int exponent, int spread) {
    const int d = static_cast<int>(word() % static_cast<unsigned>(2 * spread + 1)) - spread;
    return with_field(exponent + spec_.bias + d);
  }
  std::uint32_t negated(std::uint32_t code) const {
    return spec_.sign_bits == 0 ? code : code ^ 1U << (spec_.exponent_bits + spec_.mantissa_bits);
  }

 private:
  std::uint32_t word() { return static_cast<std::uint32_t>(random_() >> 32); }
  [[nodiscard]] std::uint32_t mask() const {
    return static_cast<std::uint32_t>(
        (std::uint64_t{1} << (spec_.sign_bits + spec_.exponent_bits + spec_.mantissa_bits)) - 1);
  }
  [[nodiscard]] bool is_finite(std::uint32_t code) const {
    const std::uint32_t magnitude =
        code & ((1U << (spec_.exponent_bits + spec_.mantissa_bits)) - 1);
    const std::uint32_t inf = ((1U << spec_.exponent_bits) - 1) << spec_.mantissa_bits;
    if (spec_.specials == formats::Specials::ieee) return magnitude < inf;
    if (spec_.specials == formats::Specials::nan_all_ones)
      return magnitude != (1U << (spec_.exponent_bits + spec_.mantissa_bits)) - 1;
    return true;
  }

  const formats::FormatSpec& spec_;
  Words& random_;
};

struct Operands {
  std::vector<std::uint32_t> a, b, scale_a, scale_b;
  std::uint32_t c = 0;
};

template <class Words>
Operands draw(const MmaModel& m, Family family, std::size_t k, Words& random) {
  CodeSource a(*m.a, random);
  CodeSource b(*m.b, random);
  CodeSource c(*m.d, random);
  Operands o;
  o.a.reserve(k);
  o.b.reserve(k);
  const int level = static_cast<int>(random() % 9) - 4;
  const int accumulator = level + static_cast<int>(random() % 7) - 3;
  o.c = c.near_exponent(accumulator, 2);
  for (std::size_t i = 0; i < k; ++i) {
    const bool large = random() % 8 == 0;
    switch (family) {
      case Family::raw:
        // Mostly finite: one NaN decides a whole sum.
        o.a.push_back(random() % 16 == 0 ? a.any() : a.finite());
        o.b.push_back(random() % 16 == 0 ? b.any() : b.finite());
        break;
      case Family::finite:
        o.a.push_back(a.finite());
        o.b.push_back(b.finite());
        break;
      case Family::narrow:
        o.a.push_back(a.near_exponent(level / 2, 1));
        o.b.push_back(b.near_exponent(level / 2, 1));
        break;
      case Family::wide:
        o.a.push_back(large ? a.near_exponent(level, 1) : a.near_exponent(level - 12, 12));
        o.b.push_back(large ? b.near_exponent(level, 1) : b.near_exponent(level - 12, 12));
        break;
      case Family::cancellation:
        if (i % 2 == 1 && random() % 4 != 0) {
          o.a.push_back(a.negated(o.a.back()));
          o.b.push_back(o.b.back());
        } else {
          o.a.push_back(a.near_exponent(large ? level - 8 : level, 1));
          o.b.push_back(b.near_exponent(level, 1));
        }
        break;
      case Family::boundary: {
        const int below = large ? 0 : (m.fraction_bits + static_cast<int>(random() % 5) - 2) / 2;
        o.a.push_back(a.near_exponent(level - below, 0));
        o.b.push_back(b.near_exponent(level - below - below % 2, 1));
        break;
      }
      case Family::subnormal:
        o.a.push_back(large ? a.near_exponent(level, 1) : a.with_field(0));
        o.b.push_back(random() % 2 == 0 ? b.with_field(0) : b.with_field(1));
        break;
    }
  }
  switch (family) {
    case Family::raw:
      o.c = c.any();
      break;
    case Family::finite:
      o.c = c.finite();
      break;
    case Family::subnormal:
      o.c = c.with_field(static_cast<int>(random() % 2));
      break;
    case Family::boundary:
      o.c = c.near_exponent(2 * level - m.fraction_bits, 3);
      break;
    default:
      break;
  }
  if (random() % 8 == 0) o.c = 0;
  // An array element may have bits below the code; units do not read them.
  const auto below = [&random](std::vector<std::uint32_t>& codes, int shift) {
    for (std::uint32_t& code : codes)
      code =
          code << shift | (shift == 0 ? 0 : static_cast<std::uint32_t>(random() >> (64 - shift)));
  };
  below(o.a, m.a->storage_shift);
  below(o.b, m.b->storage_shift);
  if (m.scale == nullptr) return o;
  CodeSource s(*m.scale, random);
  for (std::size_t i = 0; i < k / static_cast<std::size_t>(m.scale_block); ++i) {
    const auto code = [&] {
      if (family == Family::raw) return s.any();
      return family == Family::narrow ? s.near_exponent(0, 2) : s.near_exponent(0, 9);
    };
    o.scale_a.push_back(code());
    o.scale_b.push_back(code());
  }
  return o;
}

}  // namespace assay::simulator::tests
