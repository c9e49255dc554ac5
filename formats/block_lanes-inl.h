// SPDX-License-Identifier: Apache-2.0
// Evaluates an OperationOrder on many blocks at a time: every register is an array of doubles
// (order.h proves that doubles suffice), of which whole vectors are computed: lanes beyond n hold
// anything. Included by block_kernels.cpp only.

#if defined(ASSAY_FORMATS_BLOCK_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_FORMATS_BLOCK_LANES_INL_H_
#undef ASSAY_FORMATS_BLOCK_LANES_INL_H_
#else
#define ASSAY_FORMATS_BLOCK_LANES_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "formats/block_kernels.h"
#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F64 = hn::ScalableTag<double>;
using I64 = hn::ScalableTag<std::int64_t>;
using VD = hn::Vec<F64>;
using VL = hn::Vec<I64>;

/// 2^e for a normal exponent.
HWY_INLINE VD power(VL e) {
  const I64 d;
  return hn::BitCast(F64(), hn::ShiftLeft<52>(hn::Add(e, hn::Set(d, 1023))));
}
HWY_INLINE double power(std::int64_t e) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
}

/// One rounding of values >= 0 (or NaN), as constants.
struct LaneRounding {
  std::int64_t m, lowest, hidden, max_code, finite_over, infinite_over, nan;
  double limit, smallest;

  LaneRounding(const Fields& f, const Rounding& round)
      : m(f.mantissa_bits),
        lowest((f.subnormals ? 1 : 0) - f.bias),
        hidden(f.subnormals ? 0 : std::int64_t{1} << m),
        max_code(f.max_finite()),
        infinite_over(overflow_magnitude(f, round.overflow)),
        nan(f.has_nan() ? f.canonical_nan() : f.max_finite()),
        // Beyond every finite value and its rounding: a finite stand-in for all that overflows.
        limit(power((max_code >> m) + 2 - f.bias)),
        smallest(f.subnormals ? 0.0 : power(lowest)) {
    finite_over = stays_finite(round.mode, false) ? max_code : infinite_over;
  }
};

/// Codes of values >= 0 (or NaN), rounded as declared; the sign is always plus.
/// The quantum q = 2^(max(e, lowest) - m) is the spacing of the format around v. Adding T = 2^52 q,
/// whose ulp is q, rounds v to a multiple k q, and k is left in the low bits of the sum; the
/// comparison corrects k to floor(v / q). Then rest = v - k q is exact, and the mode decides on it.
template <RoundingMode mode>
HWY_INLINE VL encode_lane(VD v, const LaneRounding& c) {
  const F64 df;
  const I64 di;
  const VL one = hn::Set(di, 1);
  const auto select = [&](auto mask)
                          HWY_ATTR { return hn::IfThenElseZero(hn::RebindMask(di, mask), one); };
  const VD limit = hn::Set(df, c.limit);
  const VD a = hn::IfThenElse(hn::Lt(v, limit), v, limit);
  const VL own = hn::Sub(hn::ShiftRight<52>(hn::BitCast(di, a)), hn::Set(di, 1023));
  const VL lowest = hn::Set(di, c.lowest);
  const VL e = hn::IfThenElse(hn::Gt(own, lowest), own, lowest);
  const VL exponent = hn::Sub(e, hn::Set(di, c.m));
  const VD q = power(exponent);
  const VD t = power(hn::Add(exponent, hn::Set(di, 52)));
  const VD sum = hn::Add(a, t);
  const VD nearest = hn::Sub(sum, t);
  const auto above = hn::Gt(nearest, a);
  const VD rest = hn::Sub(a, hn::IfThenElse(above, hn::Sub(nearest, q), nearest));
  const VL k = hn::Sub(hn::Sub(hn::BitCast(di, sum), hn::BitCast(di, t)), select(above));
  const VL binade = hn::ShiftLeftSame(hn::Sub(e, lowest), static_cast<int>(c.m));
  VL code = hn::Add(hn::Sub(k, hn::Set(di, c.hidden)), binade);
  const VL odd = hn::And(code, one);
  const VD twice = hn::Add(rest, rest);
  if constexpr (mode == RoundingMode::nearest_even) {
    const VL tie = hn::And(select(hn::Eq(twice, q)), odd);
    code = hn::Add(code, hn::Or(select(hn::Gt(twice, q)), tie));
  } else if constexpr (mode == RoundingMode::nearest_away) {
    code = hn::Add(code, select(hn::Ge(twice, q)));
  } else if constexpr (mode == RoundingMode::toward_positive) {
    code = hn::Add(code, select(hn::Gt(rest, hn::Zero(df))));
  } else if constexpr (mode == RoundingMode::to_odd) {
    code = hn::Or(code, select(hn::Gt(rest, hn::Zero(df))));
  }
  const auto too_small = hn::RebindMask(di, hn::Lt(a, hn::Set(df, c.smallest)));
  code = hn::IfThenElse(too_small, hn::Zero(di), code);
  code = hn::IfThenElse(hn::Gt(code, hn::Set(di, c.max_code)), hn::Set(di, c.finite_over), code);
  const auto infinite = hn::RebindMask(di, hn::Eq(v, hn::Set(df, HUGE_VAL)));
  code = hn::IfThenElse(infinite, hn::Set(di, c.infinite_over), code);
  return hn::IfThenElse(hn::RebindMask(di, hn::Eq(v, v)), code, hn::Set(di, c.nan));
}

/// The values of positive codes.
HWY_INLINE VD decode_lane(VL code, const Fields& f, const LaneRounding& c) {
  const F64 df;
  const I64 di;
  const VL field = hn::ShiftRightSame(code, static_cast<int>(c.m));
  const VL fraction = hn::Sub(code, hn::ShiftLeftSame(field, static_cast<int>(c.m)));
  const VL top = hn::ShiftLeft<52>(hn::Add(field, hn::Set(di, 1023 - f.bias)));
  const VD normal =
      hn::BitCast(df, hn::Or(top, hn::ShiftLeftSame(fraction, static_cast<int>(52 - c.m))));
  // A subnormal is a multiple of the quantum: put the integer into the low bits of 2^52 quanta.
  const double base = power(c.lowest - c.m + 52);
  const VL base_bits = hn::BitCast(di, hn::Set(df, base));
  const VD small = hn::Sub(hn::BitCast(df, hn::Or(base_bits, fraction)), hn::Set(df, base));
  const auto subnormal = hn::Eq(field, hn::Set(di, f.subnormals ? 0 : -1));
  VD value = hn::IfThenElse(hn::RebindMask(df, subnormal), small, normal);
  const auto special = hn::RebindMask(df, hn::Gt(code, hn::Set(di, c.max_code)));
  const auto infinite =
      hn::Eq(code, hn::Set(di, f.has_infinity() ? std::int64_t{f.infinity()} : -1));
  value = hn::IfThenElse(special, hn::Set(df, std::nan("")), value);
  return hn::IfThenElse(hn::RebindMask(df, infinite), hn::Set(df, HUGE_VAL), value);
}

/// Calls body(integral_constant of the mode). Values are not negative: toward_negative is
/// toward_zero; stochastic is refused by plan_order.
template <class Body>
HWY_INLINE void with_mode(RoundingMode mode, Body body) {
  using enum RoundingMode;
  switch (mode) {
    case nearest_even:
      return body(std::integral_constant<RoundingMode, nearest_even>());
    case nearest_away:
      return body(std::integral_constant<RoundingMode, nearest_away>());
    case toward_positive:
      return body(std::integral_constant<RoundingMode, toward_positive>());
    case to_odd:
      return body(std::integral_constant<RoundingMode, to_odd>());
    default:
      return body(std::integral_constant<RoundingMode, toward_zero>());
  }
}

HWY_INLINE void encode_lanes(const double* v, std::int64_t* codes, std::size_t n,
                             const Rounding& round) {
  const LaneRounding constants(fields_of(*round.format), round);
  with_mode(round.mode, [&](auto mode) HWY_ATTR {
    for (std::size_t i = 0; i < n; i += hn::Lanes(F64())) {
      hn::Store(encode_lane<decltype(mode)::value>(hn::Load(F64(), v + i), constants), I64(),
                codes + i);
    }
  });
}

/// Rounds registers that hold values >= 0.
HWY_INLINE void round_lanes(double* v, std::size_t n, const Rounding& round) {
  if (round.format == &fp32 && round.mode == RoundingMode::nearest_even &&
      round.overflow == Overflow::to_infinity) {
    // Not hn::DemoteTo, which saturates on the scalar target.
    for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<double>(static_cast<float>(v[i]));
    return;
  }
  const Fields fields = fields_of(*round.format);
  const LaneRounding constants(fields, round);
  with_mode(round.mode, [&](auto mode) HWY_ATTR {
    for (std::size_t i = 0; i < n; i += hn::Lanes(F64())) {
      const VL code = encode_lane<decltype(mode)::value>(hn::Load(F64(), v + i), constants);
      hn::Store(decode_lane(code, fields, constants), F64(), v + i);
    }
  });
}

/// Rounds registers of any sign, one by one.
HWY_INLINE void round_signed(double* v, std::size_t n, const Rounding& round) {
  const NanRule nan =
      round.format->specials == Specials::none ? NanRule::max_finite : NanRule::canonical;
  const Policy policy{round.overflow, nan, UnsignedRule::clamp};
  for (std::size_t i = 0; i < n; ++i) {
    v[i] =
        static_cast<double>(decode(*round.format, encode(*round.format, v[i], round.mode, policy)));
  }
}

template <class Op>
HWY_INLINE void apply(double* dst, const double* a, const double* b, std::size_t n, Op op) {
  const F64 d;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    hn::Store(op(hn::Load(d, dst + i), hn::Load(d, a + i), hn::Load(d, b + i)), d, dst + i);
  }
}

/// Runs the operations on the first n lanes. `round` is round_lanes or its equal for signed values.
template <class Round>
HWY_INLINE void evaluate(std::span<const Operation> operations, Registers& r, std::size_t n,
                         Round round) {
  HWY_ALIGN double constant[kLanes];
  for (const Operation& o : operations) {
    if (o.a == Register::constant || o.b == Register::constant) {
      const double c =
          std::ldexp(static_cast<double>(o.constant.num) / static_cast<double>(o.constant.den),
                     o.constant.exponent);
      std::fill_n(constant, round_up(static_cast<std::int64_t>(n), 8), c);  // whole vectors
    }
    const double* a = o.a == Register::constant ? constant : r.of(o.a);
    const double* b = o.b == Register::constant ? constant : r.of(o.b);
    double* d = r.of(o.dst);
    switch (o.op) {
      case OpCode::copy:
        apply(d, a, b, n, [](VD, VD x, VD) HWY_ATTR { return x; });
        break;
      case OpCode::multiply:
        apply(d, a, b, n, [](VD, VD x, VD y) HWY_ATTR { return hn::Mul(x, y); });
        break;
      case OpCode::divide:
        apply(d, a, b, n, [](VD, VD x, VD y) HWY_ATTR { return hn::Div(x, y); });
        break;
      case OpCode::minimum:
        apply(d, a, b, n,
              [](VD, VD x, VD y) HWY_ATTR { return hn::IfThenElse(hn::Lt(y, x), y, x); });
        break;
      case OpCode::maximum:
        apply(d, a, b, n,
              [](VD, VD x, VD y) HWY_ATTR { return hn::IfThenElse(hn::Lt(x, y), y, x); });
        break;
      case OpCode::if_zero:
        apply(d, a, b, n, [](VD z, VD x, VD y) HWY_ATTR {
          return hn::IfThenElse(hn::Eq(x, hn::Zero(F64())), y, z);
        });
        break;
    }
    if (o.round.format != nullptr) round(d, n, o.round);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
