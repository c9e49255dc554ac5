// SPDX-License-Identifier: Apache-2.0
#pragma once
// The operands that a probe draws: a function of seed, family, tile and place, the same on GPU and
// CPU, so that any output can be looked at again.

#include <cstdint>

#include "formats/host_device.h"
#include "formats/philox.h"
#include "simulator/mma/unit.h"

namespace assay::kernels::cuda {

enum class ProbeFamily : std::uint8_t {
  raw,           ///< any bits; mostly finite, since one NaN decides a whole sum
  finite,        ///< any finite bits
  normal,        ///< exponents around 1, as of activations
  wide,          ///< all exponents, the large ones rare
  cancellation,  ///< products in pairs of opposite sign, and small ones
  boundary,      ///< exponents F - 2 .. F + 2 below the largest product
  subnormal,     ///< the smallest exponents
};
inline constexpr int probe_families = 7;
inline constexpr const char* probe_family_names[] = {"raw",          "finite",   "normal",   "wide",
                                                     "cancellation", "boundary", "subnormal"};

inline constexpr int probe_rows = 64, probe_cols = 8;

enum class ProbeRole : std::uint8_t { a, b, c };

struct ProbePlace {
  std::uint64_t seed, tile;
  ProbeFamily family;
  ProbeRole role;
  int row;  ///< of A, of B's columns, of C
  int k;    ///< column for C
};

ASSAY_HOST_DEVICE inline formats::PhiloxWords probe_words(const ProbePlace& p, int k) {
  const auto place = static_cast<std::uint32_t>(p.row * 64 + k);
  const auto kind = static_cast<std::uint32_t>(p.family) << 8 | static_cast<std::uint32_t>(p.role);
  return formats::philox4x32_10(
      {{static_cast<std::uint32_t>(p.tile), static_cast<std::uint32_t>(p.tile >> 32), place, kind}},
      static_cast<std::uint32_t>(p.seed), static_cast<std::uint32_t>(p.seed >> 32));
}

ASSAY_HOST_DEVICE inline std::uint32_t with_exponent(const simulator::UnitFormat& f,
                                                     std::uint32_t bits, int exponent) {
  const int top = (1 << f.exponent_bits) - 1;
  int field = exponent + f.bias;
  if (field < 0) field = 0;
  // Below the field that may hold NaN and Inf.
  if (field > top - 1) field = top - 1;
  const std::uint32_t mask = static_cast<std::uint32_t>(top) << f.mantissa_bits;
  const int width = 1 + f.exponent_bits + f.mantissa_bits;
  const std::uint32_t all = width == 32 ? 0xFFFFFFFFU : (1U << width) - 1;
  return (bits & all & ~mask) | static_cast<std::uint32_t>(field) << f.mantissa_bits;
}

ASSAY_HOST_DEVICE inline std::uint32_t finite_code(const simulator::UnitFormat& f,
                                                   std::uint32_t bits) {
  const int width = 1 + f.exponent_bits + f.mantissa_bits;
  const std::uint32_t code = width == 32 ? bits : bits & ((1U << width) - 1);
  const std::uint32_t top = (1U << f.exponent_bits) - 1;
  const bool special =
      (code >> f.mantissa_bits & top) == top &&
      (f.has_infinity || (code & ((1U << f.mantissa_bits) - 1)) == (1U << f.mantissa_bits) - 1);
  return special ? code ^ 1U << f.mantissa_bits : code;
}

/// The code at one place, without the bits below it. `f` is its format, `fraction_bits` the F of
/// the model.
ASSAY_HOST_DEVICE inline std::uint32_t draw_shifted_code(const ProbePlace& p,
                                                         const simulator::UnitFormat& f,
                                                         int fraction_bits) {
  formats::PhiloxWords w = probe_words(p, p.k);
  // Most second elements of a pair repeat the first one, A's with the other sign.
  const bool repeats = p.family == ProbeFamily::cancellation && p.role != ProbeRole::c &&
                       p.k % 2 == 1 && w.w[1] % 4 != 0;
  if (repeats) w = probe_words(p, p.k - 1);
  const std::uint32_t bits = w.w[0];
  const int level = static_cast<int>(p.tile % 9) - 4;
  const int width = 1 + f.exponent_bits + f.mantissa_bits;
  const bool large = w.w[1] % 8 == 0;
  const auto spread = [&](int range) {
    return static_cast<int>(w.w[2] % static_cast<std::uint32_t>(2 * range + 1)) - range;
  };
  if (p.role == ProbeRole::c && w.w[3] % 8 == 0) return w.w[3] % 16 == 0 ? 0 : 1U << (width - 1);
  switch (p.family) {
    case ProbeFamily::raw:
      return w.w[1] % 32 == 0 ? (width == 32 ? bits : bits & ((1U << width) - 1))
                              : finite_code(f, bits);
    case ProbeFamily::finite:
      return finite_code(f, bits);
    case ProbeFamily::normal:
      return with_exponent(f, bits, spread(2));
    case ProbeFamily::wide:
      return large ? with_exponent(f, bits, level + spread(1)) : finite_code(f, bits);
    case ProbeFamily::cancellation: {
      if (p.role == ProbeRole::c) return with_exponent(f, bits, 2 * level + spread(8));
      const std::uint32_t code = with_exponent(f, bits, large ? level - 8 : level);
      return repeats && p.role == ProbeRole::a ? code ^ 1U << (width - 1) : code;
    }
    case ProbeFamily::boundary: {
      if (p.role == ProbeRole::c)
        return with_exponent(f, bits, 2 * level - fraction_bits + spread(3));
      const int below =
          large ? 0 : (fraction_bits + spread(2) + (p.role == ProbeRole::a ? 1 : 0)) / 2;
      return with_exponent(f, bits, level - below);
    }
    default:
      if (p.role == ProbeRole::c) return with_exponent(f, bits, -f.bias + (large ? 1 : 0));
      return with_exponent(f, bits, large ? level : -f.bias + static_cast<int>(w.w[2] % 3));
  }
}

/// The array element at one place: the code, and noise in the bits that are not read.
ASSAY_HOST_DEVICE inline std::uint32_t draw_probe_code(const ProbePlace& p,
                                                       const simulator::UnitFormat& f,
                                                       int fraction_bits) {
  const std::uint32_t code = draw_shifted_code(p, f, fraction_bits);
  if (f.storage_shift == 0) return code;
  return code << f.storage_shift | probe_words(p, p.k).w[3] >> (32 - f.storage_shift);
}

}  // namespace assay::kernels::cuda
