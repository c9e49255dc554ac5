// SPDX-License-Identifier: Apache-2.0
// Evaluates an OperationOrder on many blocks at a time: every register is an array of doubles
// (order.h proves that doubles suffice). Plain loops without branches, compiled and vectorised once
// per Highway target. Included by block_kernels.cpp only.

#if defined(ASSAY_FORMATS_BLOCK_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_FORMATS_BLOCK_LANES_INL_H_
#undef ASSAY_FORMATS_BLOCK_LANES_INL_H_
#else
#define ASSAY_FORMATS_BLOCK_LANES_INL_H_
#endif

#include <bit>
#include <cmath>
#include <cstdint>

#include "formats/block_kernels.h"
#include "formats/codec.h"
#include "formats/fields.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {

/// 2^e for a normal exponent.
HWY_INLINE double power(std::int64_t e) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
}

/// Codes of values >= 0 (or NaN), rounded as declared; the sign is always plus.
/// The quantum q = 2^(max(e, e_min) - m) is the spacing of the format around v. Adding T = 2^52 q,
/// whose ulp is q, rounds v to a multiple k q, and k is left in the low bits of the sum; the
/// comparison corrects k to floor(v / q). Then rest = v - k q is exact, and the mode decides on it.
template <RoundingMode mode>
HWY_INLINE void encode_lanes(const double* HWY_RESTRICT v, std::uint32_t* HWY_RESTRICT codes,
                             std::size_t n, const Fields& f, Overflow overflow) {
  const int m = f.mantissa_bits;
  const std::int64_t lowest = (f.subnormals ? 1 : 0) - f.bias;
  const auto highest = static_cast<std::int64_t>((f.max_finite() >> m) + 2) - f.bias;
  const double limit =
      power(highest);  // beyond every finite value and its rounding: finite stand-in
  const double smallest = f.subnormals ? 0.0 : power(lowest);
  const std::int64_t hidden = f.subnormals ? 0 : std::int64_t{1} << m;
  const auto max_code = static_cast<std::int64_t>(f.max_finite());
  const auto over = static_cast<std::int64_t>(overflow_magnitude(f, overflow));
  const std::int64_t finite_over = stays_finite(mode, false) ? max_code : over;
  const auto nan = static_cast<std::int64_t>(f.has_nan() ? f.canonical_nan() : f.max_finite());
  for (std::size_t i = 0; i < n; ++i) {
    const double a = v[i] < limit ? v[i] : limit;
    const auto bits = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(a));
    const std::int64_t own = (bits >> 52) - 1023;
    const std::int64_t e = own > lowest ? own : lowest;
    const double q = power(e - m);
    const double t = power(e - m + 52);
    const double sum = a + t;
    const double nearest = sum - t;
    const std::int64_t above = nearest > a ? 1 : 0;
    const double floored = nearest > a ? nearest - q : nearest;
    const double rest = a - floored;
    const std::int64_t k = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(sum)) -
                           static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(t)) - above;
    std::int64_t code = k - hidden + ((e - lowest) << m);
    const std::int64_t odd = code & 1;
    const std::int64_t inexact = rest > 0 ? 1 : 0;
    const std::int64_t tie = rest == q * 0.5 ? 1 : 0;
    const std::int64_t more = rest > q * 0.5 ? 1 : 0;
    if constexpr (mode == RoundingMode::nearest_even) code += more | (tie & odd);
    if constexpr (mode == RoundingMode::nearest_away) code += more | tie;
    if constexpr (mode == RoundingMode::toward_positive) code += inexact;
    if constexpr (mode == RoundingMode::to_odd) code += inexact & ~odd;
    code = a < smallest ? 0 : code;
    code = code > max_code ? finite_over : code;
    code = v[i] == HUGE_VAL ? over : code;
    code = v[i] == v[i] ? code : nan;
    codes[i] = static_cast<std::uint32_t>(code);
  }
}

HWY_INLINE void encode_lanes(const double* v, std::uint32_t* codes, std::size_t n, const Fields& f,
                             const Rounding& round) {
  switch (round.mode) {
    case RoundingMode::nearest_even:
      return encode_lanes<RoundingMode::nearest_even>(v, codes, n, f, round.overflow);
    case RoundingMode::nearest_away:
      return encode_lanes<RoundingMode::nearest_away>(v, codes, n, f, round.overflow);
    case RoundingMode::toward_positive:
      return encode_lanes<RoundingMode::toward_positive>(v, codes, n, f, round.overflow);
    case RoundingMode::to_odd:
      return encode_lanes<RoundingMode::to_odd>(v, codes, n, f, round.overflow);
    default:  // values are not negative: toward_negative is toward_zero; stochastic is refused
      return encode_lanes<RoundingMode::toward_zero>(v, codes, n, f, round.overflow);
  }
}

/// The values of positive codes.
HWY_INLINE void decode_lanes(const std::uint32_t* HWY_RESTRICT codes, double* HWY_RESTRICT v,
                             std::size_t n, const Fields& f) {
  const int m = f.mantissa_bits;
  const std::int64_t lowest = (f.subnormals ? 1 : 0) - f.bias;
  const double quantum = power(lowest - m);
  const auto max_code = static_cast<std::int64_t>(f.max_finite());
  const std::int64_t infinity = f.has_infinity() ? static_cast<std::int64_t>(f.infinity()) : -1;
  for (std::size_t i = 0; i < n; ++i) {
    const auto c = static_cast<std::int64_t>(codes[i] & f.magnitude_mask());
    const std::int64_t field = c >> m;
    const std::int64_t fraction = c & ((std::int64_t{1} << m) - 1);
    const double small = static_cast<double>(static_cast<std::int32_t>(fraction)) * quantum;
    const double normal = std::bit_cast<double>(
        static_cast<std::uint64_t>(((field - f.bias + 1023) << 52) | (fraction << (52 - m))));
    double value = f.subnormals && field == 0 ? small : normal;
    value = c > max_code ? (c == infinity ? HUGE_VAL : std::nan("")) : value;
    v[i] = value;
  }
}

/// Rounds registers that hold values >= 0.
HWY_INLINE void round_lanes(double* v, std::size_t n, const Rounding& round) {
  const bool plain_f32 = round.format == &fp32 && round.mode == RoundingMode::nearest_even &&
                         round.overflow == Overflow::to_infinity;
  if (plain_f32) {
    for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<double>(static_cast<float>(v[i]));
    return;
  }
  HWY_ALIGN std::uint32_t codes[kLanes];
  const Fields f = fields_of(*round.format);
  encode_lanes(v, codes, n, f, round);
  decode_lanes(codes, v, n, f);
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
  for (std::size_t i = 0; i < n; ++i) dst[i] = op(dst[i], a[i], b[i]);
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
      for (std::size_t i = 0; i < n; ++i) constant[i] = c;
    }
    const double* a = o.a == Register::constant ? constant : r.of(o.a);
    const double* b = o.b == Register::constant ? constant : r.of(o.b);
    double* d = r.of(o.dst);
    switch (o.op) {
      case OpCode::copy:
        apply(d, a, b, n, [](double, double x, double) { return x; });
        break;
      case OpCode::multiply:
        apply(d, a, b, n, [](double, double x, double y) { return x * y; });
        break;
      case OpCode::divide:
        apply(d, a, b, n, [](double, double x, double y) { return x / y; });
        break;
      case OpCode::minimum:
        apply(d, a, b, n, [](double, double x, double y) { return y < x ? y : x; });
        break;
      case OpCode::maximum:
        apply(d, a, b, n, [](double, double x, double y) { return x < y ? y : x; });
        break;
      case OpCode::if_zero:
        apply(d, a, b, n, [](double z, double x, double y) { return x == 0 ? y : z; });
        break;
    }
    if (o.round.format != nullptr) round(d, n, o.round);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
