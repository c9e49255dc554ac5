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

template <ErrorMeasure measure>
HWY_INLINE void block_errors(const float* values, const std::uint8_t* codes, const Run& run,
                             const double* step, float* error) {
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
