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
#include <cmath>
#include <cstdint>

#include "formats/block_elements-inl.h"
#include "formats/block_kernels.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {

/// The errors e of up to kErrors elements, squared where asked, then their sum in order.
inline constexpr std::size_t kErrors = 64;

/// Whole blocks whose sums, each in its own order, advance together: an addition waits for the one
/// before it, but not for those of other blocks.
inline constexpr std::size_t kTogether = 8;

/// Does so for the first blocks of a run that begins with a block; returns how many.
template <ErrorMeasure measure>
HWY_INLINE std::size_t errors_together(const float* values, const std::uint8_t* codes,
                                       const Run& run, const double* step, float* error) {
  const std::size_t cols = run.block_cols;
  if (run.first != 0 || cols > kErrors) return 0;
  HWY_ALIGN float term[kTogether * kErrors];
  std::size_t done = 0;
  for (; (done + kTogether) * cols <= run.size; done += kTogether) {
    const float* x = run.x + done * cols;
    const std::uint8_t* code = codes + done * cols;
    for (std::size_t b = 0; b < kTogether; ++b) {
      const double factor = step[done + b];
      for (std::size_t i = b * cols; i < (b + 1) * cols; ++i) {
        const auto value = static_cast<float>(static_cast<double>(values[code[i]]) * factor);
        const float e = std::fabs(value - x[i]);
        term[i] = measure == ErrorMeasure::squared ? e * e : e;
      }
    }
    float sum[kTogether];
    for (std::size_t b = 0; b < kTogether; ++b) sum[b] = error[done + b];
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t b = 0; b < kTogether; ++b) {
        const float t = term[b * cols + i];
        sum[b] = measure == ErrorMeasure::largest ? std::max(sum[b], t) : sum[b] + t;
      }
    }
    for (std::size_t b = 0; b < kTogether; ++b) error[done + b] = sum[b];
  }
  return done;
}

template <ErrorMeasure measure>
HWY_INLINE void block_errors(const float* values, const std::uint8_t* codes, Run run,
                             const double* step, float* error) {
  const std::size_t whole = errors_together<measure>(values, codes, run, step, error);
  run.x += whole * run.block_cols;
  run.size -= whole * run.block_cols;
  run.readable -= whole * run.block_cols;
  codes += whole * run.block_cols;
  step += whole;
  error += whole;
  HWY_ALIGN float term[kErrors];
  for_each_block(run, [&](std::size_t b, const float* x, std::size_t count, std::size_t) HWY_ATTR {
    const std::uint8_t* code = codes + (x - run.x);
    const double factor = step[b];
    float sum = error[b];
    for (std::size_t done = 0; done < count; done += kErrors) {
      const std::size_t n = std::min(kErrors, count - done);
      for (std::size_t i = 0; i < n; ++i) {
        const auto value = static_cast<float>(static_cast<double>(values[code[done + i]]) * factor);
        const float e = std::fabs(value - x[done + i]);
        term[i] = measure == ErrorMeasure::squared ? e * e : e;
      }
      for (std::size_t i = 0; i < n; ++i) {
        sum = measure == ErrorMeasure::largest ? std::max(sum, term[i]) : sum + term[i];
      }
    }
    error[b] = sum;
  });
}

HWY_INLINE void block_errors(ErrorMeasure measure, const float* values, const std::uint8_t* codes,
                             const Run& run, const double* step, float* error) {
  switch (measure) {
    case ErrorMeasure::squared:
      return block_errors<ErrorMeasure::squared>(values, codes, run, step, error);
    case ErrorMeasure::absolute:
      return block_errors<ErrorMeasure::absolute>(values, codes, run, step, error);
    case ErrorMeasure::largest:
      return block_errors<ErrorMeasure::largest>(values, codes, run, step, error);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
