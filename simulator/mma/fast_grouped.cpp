// SPDX-License-Identifier: Apache-2.0
// The block-scaled FP4 sums: groups of 16 products are exact.
#include <algorithm>

#include "simulator/mma/fast_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/mma/fast_grouped.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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
  for (std::size_t j = 0; j < static_cast<std::size_t>(job.b.rows); ++j) {
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
                        : group_sum(job.a.integers.data() + i * k + at + g * group,
                                    job.b.integers.data() + j * k + at + g * group) *
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

FastKernel grouped_kernel() { return grouped; }

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {
HWY_EXPORT(grouped_kernel);
FastKernel fast_grouped() { return HWY_DYNAMIC_DISPATCH(grouped_kernel)(); }
}  // namespace assay::simulator
#endif
