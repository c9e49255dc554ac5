// SPDX-License-Identifier: Apache-2.0
// The errors that candidate orders are chosen by, in Highway vectors. Included by block_kernels.cpp
// only, after block_elements-inl.h.

#if defined(ASSAY_FORMATS_BLOCK_ERRORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_FORMATS_BLOCK_ERRORS_INL_H_
#undef ASSAY_FORMATS_BLOCK_ERRORS_INL_H_
#else
#define ASSAY_FORMATS_BLOCK_ERRORS_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "formats/block_elements-inl.h"
#include "formats/block_kernels.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {

template <ErrorMeasure measure, class D>
HWY_INLINE hn::Vec<D> add_error(D /*d*/, hn::Vec<D> sum, hn::Vec<D> term) {
  if constexpr (measure == ErrorMeasure::largest) {
    return hn::IfThenElse(hn::Lt(sum, term), term, sum);  // a NaN term is not counted
  } else {
    return hn::Add(sum, term);
  }
}

/// What the rounded elements of one vector miss. Both products are exact or rounded once
/// (block_kernels.h), and |value| - |x| is value - x up to its sign.
template <ErrorMeasure measure, ElementPath path>
HWY_INLINE VF error_terms(const EncodeParams& p, VF x, float factor, float scale, float g) {
  const F32 df;
  const VF f = hn::Set(df, path == ElementPath::power_of_two ? 1.0F / factor : factor);
  const VF scaled = path == ElementPath::divide ? hn::Div(x, f) : hn::Mul(x, f);
  const Nearest r = round_nearest(p, hn::BitCast(I32(), scaled));
  const VF rounded = hn::Sub(r.sum, hn::BitCast(df, r.t));
  const VF value = hn::Mul(hn::Mul(rounded, hn::Set(df, scale)), hn::Set(df, g));
  const VF e = hn::Abs(hn::Sub(value, hn::Abs(x)));
  return measure == ErrorMeasure::squared ? hn::Mul(e, e) : e;
}

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
/// Blocks whose sums, each in its own order, advance together, four to a vector: an addition waits
/// for the one before it, but not for those of other blocks.
inline constexpr std::size_t kTogether = 16;

/// Does so for the first blocks of a run that begins with a block; returns how many.
template <ErrorMeasure measure, ElementPath path>
HWY_INLINE std::size_t errors_together(const EncodeParams& p, const Run& run, const float* factor,
                                       const float* scale, float g, float* error) {
  const F32 df;
  const hn::Simd<float, 4, 0> d4;
  const std::size_t lanes = hn::Lanes(df);
  const std::size_t cols = run.block_cols;
  if (run.first != 0 || cols % lanes != 0) return 0;
  // Of four blocks: element j, j + 4, j + 8 ... of each at 4 j floats, j + 1 ... behind them.
  HWY_ALIGN float terms[kTogether / 4][4 * hn::MaxLanes(F32())];
  std::size_t done = 0;
  for (; (done + kTogether) * cols <= run.size; done += kTogether) {
    hn::Vec<decltype(d4)> sum[kTogether / 4];
    for (std::size_t q = 0; q < kTogether / 4; ++q) sum[q] = hn::LoadU(d4, error + done + 4 * q);
    for (std::size_t i = 0; i < cols; i += lanes) {
      for (std::size_t q = 0; q < kTogether / 4; ++q) {
        const auto term = [&](std::size_t b) HWY_ATTR {
          b += done + 4 * q;
          return error_terms<measure, path>(p, hn::LoadU(df, run.x + b * cols + i), factor[b],
                                            scale[b], g);
        };
        const VF a = term(0), b = term(1), c = term(2), d = term(3);
        const VF ac = hn::InterleaveLower(df, a, c), bd = hn::InterleaveLower(df, b, d);
        const VF AC = hn::InterleaveUpper(df, a, c), BD = hn::InterleaveUpper(df, b, d);
        hn::Store(hn::InterleaveLower(df, ac, bd), df, terms[q]);
        hn::Store(hn::InterleaveUpper(df, ac, bd), df, terms[q] + lanes);
        hn::Store(hn::InterleaveLower(df, AC, BD), df, terms[q] + 2 * lanes);
        hn::Store(hn::InterleaveUpper(df, AC, BD), df, terms[q] + 3 * lanes);
      }
      for (std::size_t j = 0; j < lanes; ++j) {
        for (std::size_t q = 0; q < kTogether / 4; ++q) {
          const float* at = terms[q] + j % 4 * lanes + j / 4 * 4;
          sum[q] = add_error<measure>(d4, sum[q], hn::Load(d4, at));
        }
      }
    }
    for (std::size_t q = 0; q < kTogether / 4; ++q) hn::StoreU(sum[q], d4, error + done + 4 * q);
  }
  return done;
}
#endif

template <ErrorMeasure measure, ElementPath path>
HWY_INLINE void nearest_errors(const EncodeParams& p, Run run, const float* factor,
                               const float* scale, float g, float* error) {
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
  const std::size_t whole = errors_together<measure, path>(p, run, factor, scale, g, error);
  run.x += whole * run.block_cols;
  run.size -= whole * run.block_cols;
  factor += whole;
  scale += whole;
  error += whole;
#endif
  const hn::CappedTag<float, 1> one;
  const std::size_t lanes = hn::Lanes(F32());
  HWY_ALIGN float terms[hn::MaxLanes(F32())];
  for_each_block(run, [&](std::size_t b, const float* x, std::size_t count, std::size_t) HWY_ATTR {
    auto sum = hn::Set(one, error[b]);
    for (std::size_t i = 0; i < count; i += lanes) {
      const std::size_t n = std::min(lanes, count - i);
      const VF v = load_part(x + i, n);
      hn::Store(error_terms<measure, path>(p, v, factor[b], scale[b], g), F32(), terms);
      for (std::size_t j = 0; j < n; ++j)
        sum = add_error<measure>(one, sum, hn::Set(one, terms[j]));
    }
    error[b] = hn::GetLane(sum);
  });
}

template <ErrorMeasure measure>
HWY_INLINE void nearest_errors(const ElementJob& job, const Run& run, const float* factor,
                               const float* scale, float g, float* error) {
  using enum ElementPath;
  const EncodeParams p = job.params;
  switch (job.path) {
    case multiply:
      return nearest_errors<measure, multiply>(p, run, factor, scale, g, error);
    case divide:
      return nearest_errors<measure, divide>(p, run, factor, scale, g, error);
    default:
      return nearest_errors<measure, power_of_two>(p, run, factor, scale, g, error);
  }
}

HWY_INLINE void nearest_errors(const ElementJob& job, ErrorMeasure measure, const Run& run,
                               const float* factor, const float* scale, float g, float* error) {
  using enum ErrorMeasure;
  switch (measure) {
    case squared:
      return nearest_errors<squared>(job, run, factor, scale, g, error);
    case absolute:
      return nearest_errors<absolute>(job, run, factor, scale, g, error);
    case largest:
      return nearest_errors<largest>(job, run, factor, scale, g, error);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
