// SPDX-License-Identifier: Apache-2.0
#include "simulator/mma/fast_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/mma/fast_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The products of one step, taken apart.
struct Products {
  const std::int8_t *sa, *ea, *sb, *eb;
};

/// Largest and smallest sum of exponents.
HWY_INLINE void exponent_range(const Products& p, std::size_t step, int& largest, int& smallest) {
  const hn::CappedTag<std::int16_t, 16> d;
  const hn::Rebind<std::int8_t, decltype(d)> d8;
  auto high = hn::Set(d, -128);
  auto low = hn::Set(d, 127);
  for (std::size_t i = 0; i < step; i += hn::Lanes(d)) {
    const auto e = hn::Add(hn::PromoteTo(d, hn::LoadU(d8, p.ea + i)),
                           hn::PromoteTo(d, hn::LoadU(d8, p.eb + i)));
    high = hn::Max(high, e);
    low = hn::Min(low, e);
  }
  largest = hn::GetLane(hn::MaxOfLanes(d, high));
  smallest = hn::GetLane(hn::MinOfLanes(d, low));
}

/// The sum of the products, each a multiple of 2^(e_max - F) after truncation. Every term is below
/// 2^(F + 2) <= 2^27; a lane adds at most 8 of them, below 2^30.
HWY_INLINE std::int64_t aligned_sum(const Products& p, std::size_t step, int left, int e_max) {
  const hn::CappedTag<std::int32_t, 16> d;
  const hn::Rebind<std::int8_t, decltype(d)> d8;
  const auto top = hn::Set(d, std::min(e_max, 1000));
  auto sum = hn::Zero(d);
  for (std::size_t i = 0; i < step; i += hn::Lanes(d)) {
    const auto product = hn::Mul(hn::PromoteTo(d, hn::LoadU(d8, p.sa + i)),
                                 hn::PromoteTo(d, hn::LoadU(d8, p.sb + i)));
    const auto e = hn::Add(hn::PromoteTo(d, hn::LoadU(d8, p.ea + i)),
                           hn::PromoteTo(d, hn::LoadU(d8, p.eb + i)));
    const auto right = hn::Min(hn::Sub(top, e), hn::Set(d, 31));
    const auto sign = hn::ShiftRight<31>(product);
    const auto magnitude =
        hn::Shr(hn::ShiftLeftSame(hn::Sub(hn::Xor(product, sign), sign), left), right);
    sum = hn::Add(sum, hn::Sub(hn::Xor(magnitude, sign), sign));
  }
  // In two parts: 32 terms of 2^27 do not fit 32 bits.
  const auto high = hn::ShiftRight<16>(sum);
  const auto low = hn::And(sum, hn::Set(d, 0xFFFF));
  return (std::int64_t{hn::GetLane(hn::SumOfLanes(d, high))} << 16) +
         hn::GetLane(hn::SumOfLanes(d, low));
}

void fused(const FastJob& job) {
  const FastStep& s = job.step;
  const auto step = static_cast<std::size_t>(s.step);
  const auto k = static_cast<std::size_t>(job.a.k);
  const auto blocks = static_cast<std::size_t>(job.a.blocks);
  const auto i = static_cast<std::size_t>(job.i);
  for (auto j = static_cast<std::size_t>(job.first); j < static_cast<std::size_t>(job.end); ++j) {
    std::uint32_t code = job.c == nullptr ? 0 : job.c[j];
    bool done = true;
    for (std::size_t at = 0; at < k; at += step) {
      const FastAccumulator c = fast_read(s, code);
      if (!c.finite) {
        done = false;
        break;
      }
      const Products p{job.a.significands.data() + i * k + at, job.a.exponents.data() + i * k + at,
                       job.b.significands.data() + j * k + at, job.b.exponents.data() + j * k + at};
      int largest = 0;
      int smallest = 0;
      exponent_range(p, step, largest, smallest);
      int scale = 0;
      if (s.scale_block != 0) {
        const std::size_t block = at / static_cast<std::size_t>(s.scale_block);
        scale =
            job.a.scale_exponents[i * blocks + block] + job.b.scale_exponents[j * blocks + block];
      }
      const bool no_product = largest < below_all_products;
      int e_max = no_product ? -100000 : largest + scale;
      if (c.significand != 0) e_max = std::max(e_max, c.exponent);
      const bool any_zero = smallest < below_all_products || c.significand == 0;
      if (any_zero || s.zero_is_floor) e_max = std::max(e_max, s.zero_exponent);
      const int unit = e_max - s.fraction_bits;
      std::int64_t sum = 0;
      if (!no_product) sum = aligned_sum(p, step, s.fraction_bits - s.product_bits, e_max - scale);
      if (c.significand != 0) {
        const int shift = c.exponent - s.mantissa_bits - unit;
        sum += shift >= 0 ? fast_truncated(c.significand << shift, c.negative, 0)
                          : fast_truncated(c.significand, c.negative, -shift);
      }
      code = fast_convert(s, sum, unit);
    }
    job.d[j] = code;
    job.done[j] = done;
  }
}

/// An exact dot product of 16 small integers.
HWY_INLINE std::int64_t group_sum(const std::int8_t* a, const std::int8_t* b) {
  const hn::CappedTag<std::int16_t, 16> d16;
  const hn::Rebind<std::int8_t, decltype(d16)> d8;
  auto sum = hn::Zero(d16);
  // |a b| <= 144, 16 of them stay within 16 bits.
  for (std::size_t i = 0; i < 16; i += hn::Lanes(d16))
    sum = hn::Add(sum, hn::Mul(hn::PromoteTo(d16, hn::LoadU(d8, a + i)),
                               hn::PromoteTo(d16, hn::LoadU(d8, b + i))));
  return hn::GetLane(hn::SumOfLanes(d16, sum));
}

void grouped(const FastJob& job) {
  constexpr std::size_t group = 16;
  constexpr std::size_t most_groups = 64;
  const FastStep& s = job.step;
  const auto step = static_cast<std::size_t>(s.step);
  const auto k = static_cast<std::size_t>(job.a.k);
  const auto blocks = static_cast<std::size_t>(job.a.blocks);
  const std::size_t groups = k / group;
  const std::size_t per_block = static_cast<std::size_t>(s.scale_block) / group;
  const auto i = static_cast<std::size_t>(job.i);
  for (auto j = static_cast<std::size_t>(job.first); j < static_cast<std::size_t>(job.end); ++j) {
    std::uint32_t code = job.c == nullptr ? 0 : job.c[j];
    bool done = true;
    for (std::size_t at = 0; at < k; at += step) {
      const FastAccumulator c = fast_read(s, code);
      if (!c.finite) {
        done = false;
        break;
      }
      std::int64_t terms[most_groups];
      int exponents[most_groups];
      const std::size_t count = step / group;
      int e_max = c.significand != 0 ? c.exponent : s.zero_exponent;
      if (s.zero_is_floor) e_max = std::max(e_max, s.zero_exponent);
      for (std::size_t g = 0; g < count; ++g) {
        const std::size_t first = at / group + g;
        const std::size_t block = first / per_block;
        const int sa = job.a.scale_significands[i * blocks + block];
        const int sb = job.b.scale_significands[j * blocks + block];
        const bool zero =
            (job.a.nonzero[i * groups + first] & job.b.nonzero[j * groups + first]) == 0 ||
            sa * sb == 0;
        exponents[g] =
            job.a.scale_exponents[i * blocks + block] + job.b.scale_exponents[j * blocks + block];
        terms[g] = zero ? 0
                        : group_sum(job.a.significands.data() + i * k + at + g * group,
                                    job.b.significands.data() + j * k + at + g * group) *
                              sa * sb;
        if (!zero)
          e_max = std::max(e_max, exponents[g]);
        else if (!s.zero_is_floor)
          e_max = std::max(e_max, s.zero_exponent);
      }
      const int unit = e_max - s.fraction_bits;
      const int left = s.fraction_bits - s.product_bits;
      std::int64_t sum = 0;
      for (std::size_t g = 0; g < count; ++g) {
        const auto magnitude = static_cast<std::uint64_t>(std::abs(terms[g])) << left;
        if (magnitude != 0) sum += fast_truncated(magnitude, terms[g] < 0, e_max - exponents[g]);
      }
      if (c.significand != 0) {
        const int shift = c.exponent - s.mantissa_bits - unit;
        sum += shift >= 0 ? fast_truncated(c.significand << shift, c.negative, 0)
                          : fast_truncated(c.significand, c.negative, -shift);
      }
      code = fast_convert(s, sum, unit);
    }
    job.d[j] = code;
    job.done[j] = done;
  }
}

const FastKernels* kernels() {
  static constexpr FastKernels table{fused, grouped};
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {
HWY_EXPORT(kernels);
const FastKernels& fast_kernels() {
  static const FastKernels* const table = HWY_DYNAMIC_DISPATCH(kernels)();
  return *table;
}
}  // namespace assay::simulator
#endif
