// SPDX-License-Identifier: Apache-2.0
// The fused sums of 16 columns of B at a time, a lane each: nothing is added across lanes, and the
// conversion at the end of a step is in vectors too.
#include <algorithm>
#include <vector>

#include "simulator/mma/fast_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/mma/fast_fused.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::CappedTag<std::int32_t, fast_lanes>;
using V32 = hn::Vec<D32>;
using M32 = hn::Mask<D32>;
#if HWY_TARGET == HWY_SCALAR
using H32 = D32;
#else
using H32 = hn::Half<D32>;
#endif
using D64 = hn::Rebind<std::int64_t, H32>;
using V64 = hn::Vec<D64>;
using D16 = hn::Rebind<std::int16_t, D32>;

/// `sum` * 2^unit in D's format, by the model's conversion. |sum| is what T's floating-point twin
/// holds exactly: below 2^24 or 2^53.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V converted(D d, const FastStep& s, V sum, V unit) {
  using T = hn::TFromD<D>;
  constexpr int bits = 8 * sizeof(T);
  constexpr int float_mantissa = bits == 32 ? 23 : 52;
  constexpr int float_bias = bits == 32 ? 127 : 1023;
  const hn::RebindToFloat<D> df;
  const hn::RebindToUnsigned<D> du;
  const auto set = [d](int x) { return hn::Set(d, static_cast<T>(x)); };
  const auto shifted_right = [&](V x, V by) {
    return hn::BitCast(d, hn::Shr(hn::BitCast(du, x), hn::BitCast(du, by)));
  };
  const V magnitude = hn::Abs(sum);
  // Exact, so the exponent is that of the top bit; far below everything for zero.
  const V top =
      hn::Sub(hn::ShiftRight<float_mantissa>(hn::BitCast(d, hn::ConvertTo(df, magnitude))),
              set(float_bias));
  V exponent = hn::Max(hn::Add(top, unit), set(1 - s.bias));
  // Of zeros any shift will do. Behind bits - 1 nothing is left, and half a unit is out of reach.
  const V shift = hn::Sub(hn::Sub(exponent, set(s.kept_bits)), unit);
  const V right = hn::Min(hn::Max(shift, set(0)), set(bits - 2));
  const V left = hn::Min(hn::Max(hn::Neg(shift), set(0)), set(bits - 2));
  V kept = hn::Shl(shifted_right(magnitude, right), left);
  if (s.nearest) {
    const V one = hn::Shl(set(1), right);
    const V half = hn::BitCast(d, hn::ShiftRight<1>(hn::BitCast(du, one)));
    const V rest = hn::And(magnitude, hn::Sub(one, set(1)));
    const V tie_up = hn::And(kept, set(1));
    // rest + (kept odd) > half: above the half, or at it and odd.
    const auto up = hn::And(hn::Gt(hn::Add(rest, tie_up), half), hn::Gt(half, set(0)));
    kept = hn::Sub(kept, hn::VecFromMask(d, up));
  }
  exponent = hn::Min(exponent, set(s.bias + 1));
  const V fields = hn::ShiftLeftSame(hn::Sub(exponent, set(1 - s.bias)), s.mantissa_bits);
  // A significand that rounding carried to two adds one to the exponent field: as it must be.
  V code = hn::Add(fields, hn::ShiftLeftSame(kept, s.mantissa_bits - s.kept_bits));
  code = hn::Min(code, set((2 * s.bias + 1) << s.mantissa_bits));
  const V sign = hn::And(hn::BroadcastSignBit(sum), hn::Set(d, static_cast<T>(s.sign_bit)));
  const auto nothing = s.signed_underflow ? hn::Eq(sum, set(0)) : hn::Eq(kept, set(0));
  return hn::IfThenZeroElse(nothing, hn::Or(code, sign));
}

/// A sum of products and c: of 32 bits where `wide` is not.
template <bool wide>
struct Sum {
  V32 value;
  HWY_INLINE void start(V32 c) { value = c; }
  HWY_INLINE void add(V32 x) { value = hn::Add(value, x); }
  HWY_INLINE V32 convert(const FastStep& s, V32 unit) { return converted(D32(), s, value, unit); }
};
HWY_INLINE V64 widened(hn::Vec<H32> x) { return hn::PromoteTo(D64(), x); }
HWY_INLINE hn::Vec<H32> converted_half(const FastStep& s, V64 sum, hn::Vec<H32> unit) {
  const hn::RebindToUnsigned<D64> du64;
  const hn::RebindToUnsigned<H32> du32;
  const V64 code = converted(D64(), s, sum, widened(unit));
  return hn::BitCast(H32(), hn::TruncateTo(du32, hn::BitCast(du64, code)));
}
#if HWY_TARGET == HWY_SCALAR
template <>
struct Sum<true> {
  V64 value;
  HWY_INLINE void start(V32 c) { value = widened(c); }
  HWY_INLINE void add(V32 x) { value = hn::Add(value, widened(x)); }
  HWY_INLINE V32 convert(const FastStep& s, V32 unit) { return converted_half(s, value, unit); }
};
#else
template <>
struct Sum<true> {
  V64 low, high;
  HWY_INLINE void start(V32 c) {
    low = widened(hn::LowerHalf(H32(), c));
    high = widened(hn::UpperHalf(H32(), c));
  }
  HWY_INLINE void add(V32 x) {
    low = hn::Add(low, widened(hn::LowerHalf(H32(), x)));
    high = hn::Add(high, widened(hn::UpperHalf(H32(), x)));
  }
  HWY_INLINE V32 convert(const FastStep& s, V32 unit) {
    return hn::Combine(D32(), converted_half(s, high, hn::UpperHalf(H32(), unit)),
                       converted_half(s, low, hn::LowerHalf(H32(), unit)));
  }
};
#endif

/// The row of A, ready to be broadcast.
struct Row {
  std::vector<std::int32_t> significands, exponents;  ///< significands shifted to F bits
  std::vector<std::int16_t> short_exponents;
};

/// One step: `at` is its first k, `b` the tile's elements from lane `lane` on.
template <bool wide>
HWY_INLINE V32 step_of(const FastStep& s, const Row& row, std::size_t at, const std::int16_t* sb,
                       const std::int16_t* eb, V32 scale, V32 code, M32& finite) {
  const D32 d;
  const D16 d16;
  const auto set = [d](int x) { return hn::Set(d, x); };
  const auto step = static_cast<std::size_t>(s.step);

  // The accumulator.
  const int exponent_bits = s.mantissa_bits == 10 ? 5 : 8;
  const V32 field =
      hn::And(hn::ShiftRightSame(code, s.mantissa_bits), set((1 << exponent_bits) - 1));
  finite = hn::And(finite, hn::Ne(field, set((1 << exponent_bits) - 1)));
  const V32 leading = hn::IfThenElseZero(hn::Gt(field, set(0)), set(1 << s.mantissa_bits));
  const V32 significand = hn::Or(hn::And(code, set((1 << s.mantissa_bits) - 1)), leading);
  const V32 exponent = hn::Sub(hn::Max(field, set(1)), set(s.bias));
  const M32 c_zero = hn::Eq(significand, set(0));

  // The largest exponent.
  auto largest = hn::Set(d16, -30000);
  for (std::size_t i = 0; i < step; ++i)
    largest = hn::Max(largest, hn::Add(hn::Set(d16, row.short_exponents[at + i]),
                                       hn::LoadU(d16, eb + i * fast_lanes)));
  const V32 of_products = hn::PromoteTo(d, largest);
  V32 e_max = hn::IfThenElse(hn::Lt(of_products, set(below_all_products)), set(-100000),
                             hn::Add(of_products, scale));
  e_max = hn::IfThenElse(c_zero, e_max, hn::Max(e_max, exponent));
  const V32 floor = set(s.zero_exponent);
  if (s.zero_is_floor) {
    e_max = hn::Max(e_max, floor);
  } else if (!hn::AllFalse(d, hn::Lt(e_max, floor))) {
    auto smallest = hn::Set(d16, 30000);
    for (std::size_t i = 0; i < step; ++i)
      smallest = hn::Min(smallest, hn::Add(hn::Set(d16, row.short_exponents[at + i]),
                                           hn::LoadU(d16, eb + i * fast_lanes)));
    const M32 any_zero =
        hn::Or(c_zero, hn::Lt(hn::PromoteTo(d, smallest), set(below_all_products)));
    e_max = hn::IfThenElse(any_zero, hn::Max(e_max, floor), e_max);
  }

  // c, at most 2^(F + 1).
  const V32 below = hn::Min(hn::Max(hn::Sub(e_max, exponent), set(0)), set(31));
  const int left = s.fraction_bits - s.mantissa_bits;
  V32 c = hn::ShiftLeftSame(significand, std::max(left, 0));
  c = hn::Shr(c, hn::Min(hn::Add(below, set(std::max(-left, 0))), set(31)));
  Sum<wide> sum;
  sum.start(
      hn::IfThenElse(hn::Eq(hn::ShiftRightSame(code, s.mantissa_bits + exponent_bits), hn::Zero(d)),
                     c, hn::Neg(c)));

  // The products. Each is below 2^(F + 2) <= 2^27, so 8 of them stay below 2^30.
  const V32 top = hn::Sub(e_max, scale);
  for (std::size_t first = 0; first < step; first += 8) {
    V32 part = hn::Zero(d);
    for (std::size_t i = first; i < std::min(first + 8, step); ++i) {
      const V32 product = hn::Mul(hn::Set(d, row.significands[at + i]),
                                  hn::PromoteTo(d, hn::LoadU(d16, sb + i * fast_lanes)));
      const V32 e = hn::Add(hn::Set(d, row.exponents[at + i]),
                            hn::PromoteTo(d, hn::LoadU(d16, eb + i * fast_lanes)));
      const V32 magnitude = hn::Shr(hn::Abs(product), hn::Min(hn::Sub(top, e), set(31)));
      part = hn::Add(part,
                     hn::IfThenElse(hn::Lt(product, hn::Zero(d)), hn::Neg(magnitude), magnitude));
    }
    sum.add(part);
  }
  return sum.convert(s, hn::Sub(e_max, set(s.fraction_bits)));
}

/// All of K for the lanes from `lane` on of a tile.
template <bool wide>
HWY_INLINE V32 chain(const FastJob& job, const Row& row, std::size_t tile, std::size_t lane,
                     V32 code, M32& finite) {
  const D32 d;
  const FastStep& s = job.step;
  const auto k = static_cast<std::size_t>(job.a.k);
  const auto blocks = static_cast<std::size_t>(job.a.blocks);
  const std::int16_t* const sb = job.b.significands.data() + tile * k * fast_lanes + lane;
  const std::int16_t* const eb = job.b.exponents.data() + tile * k * fast_lanes + lane;
  for (std::size_t at = 0; at < k; at += static_cast<std::size_t>(s.step)) {
    V32 scale = hn::Zero(d);
    if (s.scale_block != 0) {
      const std::size_t block = at / static_cast<std::size_t>(s.scale_block);
      scale = hn::Add(
          hn::Set(d, job.a.scale_exponents[static_cast<std::size_t>(job.i) * blocks + block]),
          hn::PromoteTo(d, hn::LoadU(D16(), job.b.scale_exponents.data() +
                                                (tile * blocks + block) * fast_lanes + lane)));
    }
    code =
        step_of<wide>(s, row, at, sb + at * fast_lanes, eb + at * fast_lanes, scale, code, finite);
  }
  return code;
}

void fused(const FastJob& job) {
  const D32 d;
  const FastStep& s = job.step;
  const auto k = static_cast<std::size_t>(job.a.k);
  const auto first = static_cast<std::size_t>(job.i) * k;
  Row row;
  for (std::size_t i = first; i < first + k; ++i) {
    row.significands.push_back(job.a.significands[i] * (1 << (s.fraction_bits - s.product_bits)));
    row.exponents.push_back(job.a.exponents[i]);
    row.short_exponents.push_back(job.a.exponents[i]);
  }
  const auto columns = static_cast<std::size_t>(job.b.rows);
  // Of L products and c, in 32 bits and exact as FP32: (L + 1) 2^(F + 2) <= 2^24.
  const bool narrow = (std::int64_t{s.step} + 1) << (s.fraction_bits + 2) <= 1 << 24;
  for (std::size_t j = 0; j < columns; j += fast_lanes) {
    const std::size_t count = std::min(columns - j, fast_lanes);
    std::int32_t codes[fast_lanes] = {};
    std::int32_t is_finite[fast_lanes] = {};
    if (job.c != nullptr) std::copy_n(job.c + j, count, codes);
    for (std::size_t lane = 0; lane < fast_lanes; lane += hn::Lanes(d)) {
      M32 finite = hn::FirstN(d, hn::Lanes(d));
      const V32 c = hn::LoadU(d, codes + lane);
      const V32 code = narrow ? chain<false>(job, row, j / fast_lanes, lane, c, finite)
                              : chain<true>(job, row, j / fast_lanes, lane, c, finite);
      hn::StoreU(code, d, codes + lane);
      hn::StoreU(hn::VecFromMask(d, finite), d, is_finite + lane);
    }
    std::copy_n(codes, count, job.d + j);
    for (std::size_t n = 0; n < count; ++n) job.done[j + n] = is_finite[n] != 0;
  }
}

FastKernel fused_kernel() { return fused; }

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {
HWY_EXPORT(fused_kernel);
FastKernel fast_fused() { return HWY_DYNAMIC_DISPATCH(fused_kernel)(); }
}  // namespace assay::simulator
#endif
