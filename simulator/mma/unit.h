// SPDX-License-Identifier: Apache-2.0
#pragma once
// A matrix unit's step as code that a GPU runs too: `fused` and `lowered` models without block
// scales, F <= 40. A third statement of the arithmetic, held equal to dot() (simulator/mma/dot.h)
// by test, because the probe compares 10^8 results of real silicon in a second.

#include <cstdint>

#include "formats/host_device.h"
#include "simulator/mma/model.h"

namespace assay::simulator {

/// How codes of one format are read.
struct UnitFormat {
  int mantissa_bits, exponent_bits, bias, storage_shift;
  bool has_infinity;  ///< exponent all ones is Inf and NaN
  bool all_ones_nan;  ///< only all ones is NaN
};

struct MmaUnit {
  UnitFormat a, b, d;
  int step, fraction_bits, zero_exponent, kept_bits;
  bool zero_is_floor, nearest, lowered, signed_underflow;
};

/// Whether there is a unit for the model.
[[nodiscard]] bool has_unit(const MmaModel& model);
[[nodiscard]] MmaUnit unit_of(const MmaModel& model);

struct UnitTerm {
  std::int64_t significand;  ///< signed
  int fraction_bits, exponent;
  std::uint8_t kind;  ///< 0 finite, 1 Inf, 2 NaN
  bool negative;
};

ASSAY_HOST_DEVICE inline UnitTerm unit_read(const UnitFormat& f, std::uint32_t code) {
  code >>= f.storage_shift;
  const std::uint32_t mantissa = code & ((1U << f.mantissa_bits) - 1);
  const std::uint32_t top = (1U << f.exponent_bits) - 1;
  const std::uint32_t field = code >> f.mantissa_bits & top;
  UnitTerm t{};
  t.negative = (code >> (f.mantissa_bits + f.exponent_bits) & 1U) != 0;
  t.fraction_bits = f.mantissa_bits;
  if (field == top) {
    if (f.has_infinity) t.kind = mantissa == 0 ? 1 : 2;
    if (f.all_ones_nan && mantissa == (1U << f.mantissa_bits) - 1) t.kind = 2;
  }
  t.significand = mantissa | (field == 0 ? 0 : 1U << f.mantissa_bits);
  if (t.negative) t.significand = -t.significand;
  t.exponent = static_cast<int>(field == 0 ? 1 : field) - f.bias;
  return t;
}

/// FP8 as FP16 encodes it.
ASSAY_HOST_DEVICE inline UnitTerm unit_widened(const UnitFormat& f, std::uint32_t code) {
  UnitTerm t = unit_read(f, code);
  const std::int64_t one = std::int64_t{1} << t.fraction_bits;
  while (t.kind == 0 && t.significand != 0 && t.exponent > -14 && t.significand < one &&
         t.significand > -one) {
    t.significand *= 2;
    --t.exponent;
  }
  return t;
}

ASSAY_HOST_DEVICE inline UnitTerm unit_product(const UnitTerm& x, const UnitTerm& y) {
  UnitTerm p{};
  p.significand = x.significand * y.significand;
  p.fraction_bits = x.fraction_bits + y.fraction_bits;
  p.exponent = x.exponent + y.exponent;
  p.negative = x.negative != y.negative;
  p.kind = x.kind > y.kind ? x.kind : y.kind;
  const bool zero = (x.kind == 0 && x.significand == 0) || (y.kind == 0 && y.significand == 0);
  if (p.kind == 1 && zero) p.kind = 2;
  return p;
}

/// sum * 2^unit in D's format; `negative` is the sign of a zero.
ASSAY_HOST_DEVICE inline std::uint32_t unit_convert(const MmaUnit& u, std::int64_t sum, int unit,
                                                    int kept_bits, bool nearest) {
  const UnitFormat& d = u.d;
  if (sum == 0) return 0;
  const std::uint32_t sign = sum < 0 ? 1U << (d.mantissa_bits + d.exponent_bits) : 0;
  const auto magnitude = static_cast<std::uint64_t>(sum < 0 ? -sum : sum);
  int top = 63;
  while ((magnitude >> top) == 0) --top;
  const int smallest = 1 - d.bias;
  int exponent = top + unit > smallest ? top + unit : smallest;
  const int shift = exponent - kept_bits - unit;
  std::uint64_t kept = 0;
  if (shift <= 0) {
    kept = magnitude << -shift;
  } else if (shift < 64) {
    kept = magnitude >> shift;
    const std::uint64_t half = std::uint64_t{1} << (shift - 1);
    const std::uint64_t rest = magnitude & (half | (half - 1));
    if (nearest && (rest > half || (rest == half && (kept & 1) != 0))) ++kept;
  }
  if (kept == 0 && !u.signed_underflow) return 0;
  if (kept >> (kept_bits + 1) != 0) {
    kept >>= 1;
    ++exponent;
  }
  if (exponent > d.bias) return sign | ((1U << d.exponent_bits) - 1) << d.mantissa_bits;
  return sign | ((static_cast<std::uint32_t>(exponent - smallest) << d.mantissa_bits) +
                 static_cast<std::uint32_t>(kept << (d.mantissa_bits - kept_bits)));
}

/// The largest exponent and what kinds there are, term by term.
struct UnitScan {
  int e_max = -100000;
  bool any_zero = false, nan = false, plus = false, minus = false;

  ASSAY_HOST_DEVICE void see(const UnitTerm& t) {
    nan = nan || t.kind == 2;
    if (t.kind == 1) (t.negative ? minus : plus) = true;
    if (t.kind == 0 && t.significand == 0)
      any_zero = true;
    else if (t.exponent > e_max)
      e_max = t.exponent;
  }
};

ASSAY_HOST_DEVICE inline std::int64_t unit_aligned(const UnitTerm& t, int unit) {
  const int shift = t.exponent - t.fraction_bits - unit;
  const std::int64_t magnitude = t.significand < 0 ? -t.significand : t.significand;
  const std::int64_t kept = magnitude == 0 ? 0
                            : shift >= 0   ? magnitude << shift
                            : shift > -64  ? magnitude >> -shift
                                           : 0;
  return t.significand < 0 ? -kept : kept;
}

/// One fused sum over product(i), i in [0, count), and `c`.
template <class Product>
ASSAY_HOST_DEVICE inline std::uint32_t unit_sum(const MmaUnit& u, Product product, int count,
                                                std::uint32_t c) {
  const UnitTerm start = unit_read(u.d, c);
  UnitScan scan;
  scan.see(start);
  for (int i = 0; i < count; ++i) scan.see(product(i));
  const std::uint32_t inf = ((1U << u.d.exponent_bits) - 1) << u.d.mantissa_bits;
  if (scan.nan || (scan.plus && scan.minus)) return inf | ((1U << u.d.mantissa_bits) - 1);
  if (scan.plus) return inf;
  if (scan.minus) return inf | 1U << (u.d.mantissa_bits + u.d.exponent_bits);
  if ((scan.any_zero || u.zero_is_floor) && u.zero_exponent > scan.e_max)
    scan.e_max = u.zero_exponent;
  const int unit = scan.e_max - u.fraction_bits;
  std::int64_t sum = unit_aligned(start, unit);
  for (int i = 0; i < count; ++i) sum += unit_aligned(product(i), unit);
  return unit_convert(u, sum, unit, u.kept_bits, u.nearest);
}

/// c + t in D's format, to nearest even: exact alignment within 64 bits, sticky below.
ASSAY_HOST_DEVICE inline std::uint32_t unit_nearest_sum(const MmaUnit& u, std::uint32_t x,
                                                        std::uint32_t y) {
  UnitTerm p = unit_read(u.d, x);
  UnitTerm q = unit_read(u.d, y);
  const std::uint32_t inf = ((1U << u.d.exponent_bits) - 1) << u.d.mantissa_bits;
  if (p.kind == 2 || q.kind == 2 || (p.kind == 1 && q.kind == 1 && p.negative != q.negative))
    return inf | ((1U << u.d.mantissa_bits) - 1);
  if (p.kind == 1) return x;
  if (q.kind == 1) return y;
  if (p.exponent < q.exponent) {
    const UnitTerm swap = p;
    p = q;
    q = swap;
  }
  // 24 bits and 35 below them: a smaller term beyond that only says that the sum is not exact.
  const int below = p.exponent - q.exponent;
  constexpr int room = 35;
  std::int64_t sum = p.significand * (std::int64_t{1} << room);
  if (below <= room)
    sum += q.significand * (std::int64_t{1} << (room - below));
  else if (q.significand != 0)
    sum += q.negative ? -1 : 1;
  if (sum == 0) return p.negative && q.negative ? 1U << (u.d.mantissa_bits + u.d.exponent_bits) : 0;
  return unit_convert(u, sum, p.exponent - p.fraction_bits - room, u.d.mantissa_bits, true);
}

/// D of one output element: a(i) and b(i) are the codes of element i of k.
template <class A, class B>
ASSAY_HOST_DEVICE inline std::uint32_t unit_dot(const MmaUnit& u, A a, B b, int k,
                                                std::uint32_t c) {
  for (int at = 0; at < k; at += u.step) {
    const int count = k - at < u.step ? k - at : u.step;
    if (!u.lowered) {
      const auto product = [&](int i) {
        return unit_product(unit_read(u.a, a(at + i)), unit_read(u.b, b(at + i)));
      };
      c = unit_sum(u, product, count, c);
      continue;
    }
    std::uint32_t t = 0;
    for (int half = 0; half < 4; half += 2) {
      const auto product = [&](int i) {
        const int j = at + i / 2 * 4 + half + i % 2;
        return unit_product(unit_widened(u.a, a(j)), unit_widened(u.b, b(j)));
      };
      t = unit_sum(u, product, count / 2, t);
    }
    c = unit_nearest_sum(u, c, t);
  }
  return c;
}

}  // namespace assay::simulator
