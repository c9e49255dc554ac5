// SPDX-License-Identifier: Apache-2.0
// The SIMD encoder for one vector of FP32 values, once per instruction set (Highway's scheme:
// include this after hwy/foreach_target.h; no #pragma once). Used by array.cpp and fused into block
// quantizers:
//
//   const EncodeParams p = encode_params(fields_of(e2m1), mode, policy);       outside the loop
//   const auto codes = EncodeVec<Shape::is_signed>(di, p, hn::BitCast(di, v));  one code per 32-bit
//   lane StorePacked4(di, codes, out);                                              Lanes(di) / 2
//   bytes
//
// The compiler hoists the broadcasts of p out of loops.

#if defined(ASSAY_FORMATS_ENCODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_FORMATS_ENCODE_INL_H_
#undef ASSAY_FORMATS_ENCODE_INL_H_
#else
#define ASSAY_FORMATS_ENCODE_INL_H_
#endif

#include <hwy/highway.h>

#include "formats/encode_params.h"

#ifndef ASSAY_FORMATS_SHAPE_
#define ASSAY_FORMATS_SHAPE_
namespace assay::formats {
/// Formats differ in code only here: with a sign bit; with negative codes in two's complement (of
/// at most 31 bits); without a sign; and without zero and subnormals (E8M0).
enum class Shape { is_signed, twos_complement, is_unsigned, zeroless };
}  // namespace assay::formats
#endif

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The magnitude in the format's own units. With subnormals: binade = max(field, lowest), and
// t = (binade - lowest) * 2^23 + significand >> (binade - field): the hidden bit, at 2^23, is worth
// one step of the exponent field, as in round_magnitude() of codec.h. FP32 subnormals have field 1
// and no hidden bit. `extra` are the bits by which a subnormal result loses precision; beyond 31
// all are lost.
template <class D, class V = hn::Vec<D>>
struct Aligned {
  V significand;
  V extra;
  V base;
};

template <class DI, class V>
HWY_INLINE Aligned<DI> Align(DI di, const EncodeParams& p, V magnitude) {
  const auto hidden = hn::Set(di, 0x00800000);
  const V lowest = hn::Set(di, p.lowest);
  const V field = hn::Max(hn::ShiftRight<23>(magnitude), hn::Set(di, 1));
  const V fraction_mask = hn::Set(di, 0x007FFFFF);
  const V fraction = hn::And(magnitude, fraction_mask);
  const V significand =
      hn::Or(fraction, hn::IfThenElseZero(hn::Gt(magnitude, fraction_mask), hidden));
  const V binade = hn::Max(field, lowest);
  return {significand, hn::Sub(binade, field), hn::ShiftLeft<23>(hn::Sub(binade, lowest))};
}

// Zeroless formats: field 0 is an ordinary binade. FP32's own field 0 holds the binade [2^-127,
// 2^-126) as subnormals: doubling them and taking the hidden bit off continues the scale one binade
// down, where whatever is smaller clamps to 0, the smallest value.
template <class DI, class V>
HWY_INLINE V AlignZeroless(DI di, const EncodeParams& p, V magnitude) {
  const auto hidden = hn::Set(di, 0x00800000);
  const V zero = hn::Zero(di);
  const V doubled = hn::Max(hn::Sub(hn::Add(magnitude, magnitude), hidden), zero);
  const V t = hn::IfThenElse(hn::Lt(magnitude, hidden), doubled, magnitude);
  return hn::Max(hn::Sub(t, hn::ShiftLeft<23>(hn::Set(di, p.lowest))), zero);
}

// The sign (-1 or 0 in the lane's top bit) put on a magnitude code.
template <Shape shape, class DI, class V>
HWY_INLINE V WithSign(DI di, const EncodeParams& p, V sign, V code) {
  const hn::RebindToUnsigned<DI> du;
  if constexpr (shape == Shape::twos_complement) {
    const V flip = hn::BroadcastSignBit(sign);  // -c = ~c + 1
    const V mask = hn::Set(di, (std::int32_t{2} << (31 - p.sign_shift)) - 1);
    return hn::And(hn::Sub(hn::Xor(code, flip), flip), mask);
  } else {
    return hn::Or(code, hn::BitCast(di, hn::ShiftRightSame(hn::BitCast(du, sign), p.sign_shift)));
  }
}

// Overflow, sign, and the inputs that rounding does not decide.
template <Shape shape, class DI, class V>
HWY_INLINE V Finish(DI di, const EncodeParams& p, V bits, V sign, V magnitude, V code) {
  const V infinity = hn::Set(di, 0x7F800000);
  const auto is_negative = hn::Lt(sign, hn::Zero(di));
  const V finite_overflow = hn::IfThenElse(is_negative, hn::Set(di, p.overflow_negative),
                                           hn::Set(di, p.overflow_positive));
  const V overflow = hn::IfThenElse(hn::Eq(magnitude, infinity), hn::Set(di, p.overflow_infinite),
                                    finite_overflow);
  code = hn::IfThenElse(hn::Gt(code, hn::Set(di, p.max_finite)), overflow, code);
  if constexpr (shape == Shape::is_signed || shape == Shape::twos_complement) {
    code = WithSign<shape>(di, p, sign, code);
  } else {
    const auto nonzero = hn::Gt(magnitude, hn::Zero(di));
    code = hn::IfThenElse(hn::And(is_negative, nonzero), hn::Set(di, p.negative), code);
    if constexpr (shape == Shape::zeroless) {
      code = hn::IfThenElse(nonzero, code, hn::Set(di, p.zero));
    }
  }
  const V nan = hn::IfThenElse(hn::Lt(bits, hn::Zero(di)), hn::Set(di, p.nan_negative),
                               hn::Set(di, p.nan_positive));
  return hn::IfThenElse(hn::Gt(magnitude, infinity), nan, code);
}

/// The codes of FP32 bit patterns, one per lane, in every deterministic mode.
template <Shape shape, class DI, class V = hn::Vec<DI>>
HWY_INLINE V EncodeVec(DI di, const EncodeParams& p, V bits) {
  const V sign = hn::And(bits, hn::Set(di, static_cast<std::int32_t>(p.sign_bits_read)));
  const V magnitude = hn::And(bits, hn::Set(di, 0x7FFFFFFF));
  V t;
  if constexpr (shape == Shape::zeroless) {
    t = AlignZeroless(di, p, magnitude);
  } else {
    const auto a = Align(di, p, magnitude);
    const V extra = hn::Min(a.extra, hn::Set(di, 31));
    const V kept = hn::Shr(a.significand, extra);
    // The sticky bit: at least one bit below the half (array_codec_handles), so it decides no tie.
    const auto lost = hn::Ne(hn::Shl(kept, extra), a.significand);
    t = hn::Add(a.base, hn::Or(kept, hn::IfThenElseZero(lost, hn::Set(di, 1))));
  }
  const V add = hn::IfThenElse(hn::Lt(sign, hn::Zero(di)), hn::Set(di, p.add_negative),
                               hn::Set(di, p.add_positive));
  const V odd = hn::And(hn::ShiftRightSame(t, p.shift), hn::Set(di, p.tie_to_even));
  const hn::RebindToUnsigned<DI> du;
  // Unsigned, for t + add can reach 2^31 (infinite and NaN inputs, which Finish replaces).
  V code =
      hn::BitCast(di, hn::ShiftRightSame(hn::BitCast(du, hn::Add(t, hn::Add(add, odd))), p.shift));
  const V inexact = hn::And(t, hn::Set(di, p.to_odd_mask));
  code = hn::Or(code, hn::IfThenElseZero(hn::Ne(inexact, hn::Zero(di)), hn::Set(di, 1)));
  return Finish<shape>(di, p, bits, sign, magnitude, code);
}

/// EncodeVec for nearest_even where p.plain_nearest: formats with a sign whose binades are all
/// normal FP32 numbers, one code for every NaN, and overflow to the code after the largest finite
/// one or to that itself, so that a minimum does it. About twice as fast; tests hold it against
/// EncodeVec's callers.
///
/// Below the lowest normal binade the unit is q = 2^(1 - bias - m) throughout: FP32 addition of
/// C = 2^23 q rounds to a multiple of q, ties to even, and C + kq has the bits of C plus k. (The
/// sum stays below 2C, for |x| < 2^m q.) Assumes the default rounding mode of the processor, as the
/// divisions of block quantizers do.
template <Shape shape = Shape::is_signed, class DI, class V = hn::Vec<DI>>
HWY_INLINE V EncodeNearestVec(DI di, const EncodeParams& p, V bits) {
  const hn::RebindToFloat<DI> df;
  const V magnitude = hn::And(bits, hn::Set(di, 0x7FFFFFFF));
  const auto unit = hn::Set(df, p.subnormal_unit);
  const V small =
      hn::Sub(hn::BitCast(di, hn::Add(hn::BitCast(df, magnitude), unit)), hn::BitCast(di, unit));
  const V odd = hn::And(hn::ShiftRightSame(magnitude, p.shift), hn::Set(di, 1));
  const V add = hn::Set(di, p.add_positive - ((p.lowest - 1) << 23));
  const V normal = hn::ShiftRightSame(hn::Add(magnitude, hn::Add(add, odd)), p.shift);
  V code = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, p.lowest << 23)), small, normal);
  code = hn::Min(code, hn::Set(di, p.overflow_infinite));
  code = WithSign<shape>(di, p, hn::Xor(bits, magnitude), code);
  return hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7F800000)), hn::Set(di, p.nan_positive),
                        code);
}

/// EncodeVec for formats without a sign: two to three times as fast where all lanes are ordinary,
/// that is normal in the format and at most its largest value, so that rounding neither overflows
/// nor loses further bits. The others take the long way.
template <Shape shape, class DI, class V = hn::Vec<DI>>
HWY_INLINE V EncodeUnsignedVec(DI di, const EncodeParams& p, V bits) {
  const hn::RebindToUnsigned<DI> du;
  const auto key = hn::And(hn::BitCast(du, bits), hn::Set(du, p.ordinary_mask));
  const auto above = hn::Sub(key, hn::Set(du, p.ordinary_first));
  if (HWY_UNLIKELY(!hn::AllTrue(du, hn::Lt(above, hn::Set(du, p.ordinary_count))))) {
    return EncodeVec<shape>(di, p, bits);
  }
  // t as in EncodeVec; the code of 2^(field - 127) is (field - lowest + 1) << m, the hidden bit
  // included, or without subnormals (field - lowest) << m.
  const std::int32_t base = shape == Shape::zeroless ? p.lowest : p.lowest - 1;
  const V t = hn::Sub(hn::BitCast(di, key), hn::ShiftLeft<23>(hn::Set(di, base)));
  const V odd = hn::And(hn::ShiftRightSame(t, p.shift), hn::Set(di, p.tie_to_even));
  const V sum = hn::Add(t, hn::Add(hn::Set(di, p.add_positive), odd));
  // Toward odd: the sum with all ones carries into the code's last bit where anything is lost.
  const V mask = hn::Set(di, p.to_odd_mask);
  const V last = hn::Add(hn::And(t, mask), mask);
  return hn::BitCast(di, hn::ShiftRightSame(hn::BitCast(du, hn::Or(sum, last)), p.shift));
}

/// The same as EncodeVec for stochastic rounding; `words` holds 32 random bits per lane, of which
/// the top n count. Not for FP32 as destination, where nothing is rounded.
///
/// With F = f * 2^32 truncated (f the fraction between the neighbours) and R = the top n bits in
/// place, floor(f 2^n) + r >= 2^n iff F + R carries out of 32 bits, for the low 32 - n bits of R
/// are zero.
template <Shape shape, class DI, class V = hn::Vec<DI>>
HWY_INLINE V EncodeStochasticVec(DI di, const EncodeParams& p, V bits, V words) {
  const hn::RebindToUnsigned<DI> du;
  const V sign = hn::And(bits, hn::Set(di, static_cast<std::int32_t>(p.sign_bits_read)));
  const V magnitude = hn::And(bits, hn::Set(di, 0x7FFFFFFF));
  V truncated;
  V fraction;
  if constexpr (shape == Shape::zeroless) {
    const V t = AlignZeroless(di, p, magnitude);
    truncated = hn::ShiftRightSame(t, p.shift);
    fraction = hn::ShiftLeftSame(t, 32 - p.shift);
  } else {
    const auto a = Align(di, p, magnitude);
    // All `shift` discarded bits; from 56 on, F = 0 for a significand below 2^24.
    const V shift = hn::Min(hn::Add(a.extra, hn::Set(di, p.shift)), hn::Set(di, 56));
    const V limit = hn::Set(di, 32);
    const auto below = hn::Lt(shift, limit);
    const V left = hn::And(hn::Sub(limit, shift), hn::Set(di, 31));
    const V right = hn::And(hn::Sub(shift, limit), hn::Set(di, 31));
    const V kept =
        hn::IfThenElseZero(below, hn::Shr(a.significand, hn::And(shift, hn::Set(di, 31))));
    fraction = hn::IfThenElse(below, hn::Shl(a.significand, left), hn::Shr(a.significand, right));
    truncated = hn::Add(hn::ShiftRightSame(a.base, p.shift), kept);
  }
  const auto f = hn::BitCast(du, fraction);
  const auto r = hn::And(hn::BitCast(du, words), hn::Set(du, p.random_mask));
  const auto carries = hn::RebindMask(di, hn::Lt(hn::Add(f, r), f));
  const V code = hn::Add(truncated, hn::IfThenElseZero(carries, hn::Set(di, 1)));
  return Finish<shape>(di, p, bits, sign, magnitude, code);
}

/// Stores the codes of elements [index, index + Lanes(di)) of an array that begins at `out`, 4, 8,
/// 16 or 32 bits each, the even element in the low nibble. `index` is a multiple of Lanes(di);
/// elements are stored in ascending order (the one-lane target completes a byte that the even
/// element began).
template <int storage_bits, class DI, class V = hn::Vec<DI>>
HWY_INLINE void StoreCodes(DI di, V codes, std::uint8_t* HWY_RESTRICT out, std::size_t index) {
  (void)di;
#if HWY_TARGET == HWY_SCALAR
  const auto code = static_cast<std::uint32_t>(hn::GetLane(codes));
  if constexpr (storage_bits == 4) {
    const auto nibble = static_cast<std::uint8_t>(code << (4 * (index % 2)));
    out[index / 2] = index % 2 == 0 ? nibble : static_cast<std::uint8_t>(out[index / 2] | nibble);
  } else {
    for (int b = 0; b < storage_bits / 8; ++b) {
      out[index * (storage_bits / 8) + b] = static_cast<std::uint8_t>(code >> (8 * b));
    }
  }
#else
  std::uint8_t* const to = out + index * storage_bits / 8;
  const hn::RebindToUnsigned<DI> du;
  const hn::Repartition<std::uint8_t, DI> bytes;
  if constexpr (storage_bits == 4) {
    const hn::Repartition<std::uint64_t, DI> du64;
    const hn::Rebind<std::uint8_t, decltype(du64)> du8;
    const auto pairs = hn::BitCast(du64, codes);
    hn::StoreU(hn::TruncateTo(du8, hn::Or(pairs, hn::ShiftRight<28>(pairs))), du8, to);
  } else if constexpr (storage_bits == 8) {
    const hn::Rebind<std::uint8_t, DI> du8;
    hn::StoreU(hn::TruncateTo(du8, hn::BitCast(du, codes)), du8, to);
  } else if constexpr (storage_bits == 16) {
    const hn::Rebind<std::uint16_t, DI> du16;
    const hn::Repartition<std::uint8_t, decltype(du16)> du8;
    hn::StoreU(hn::BitCast(du8, hn::TruncateTo(du16, hn::BitCast(du, codes))), du8, to);
  } else {
    hn::StoreU(hn::BitCast(bytes, codes), bytes, to);
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#endif  // include guard of the target
