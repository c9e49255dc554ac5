// SPDX-License-Identifier: Apache-2.0
#include "formats/block_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/block_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include "formats/block_elements-inl.h"
#include "formats/block_errors-inl.h"
#include "formats/block_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {

void evaluate_lanes(std::span<const Operation> operations, Registers& registers, std::size_t n,
                    bool any_sign) {
  if (any_sign) {
    evaluate(operations, registers, n, round_signed);
  } else {
    evaluate(operations, registers, n, round_lanes);
  }
}

void encode_all(const ElementJob& job, const Run& run, const float* factor,
                const std::uint32_t* random, std::uint8_t* codes) {
  using enum Encoder;
  switch (job.encoder) {
    case nearest:
      return encode_elements<nearest>(job, run, factor, random, codes);
    case stochastic:
      return encode_elements<stochastic>(job, run, factor, random, codes);
    case directed:
      return encode_elements<directed>(job, run, factor, random, codes);
    case any:
      return encode_elements<any>(job, run, factor, random, codes);
  }
}

/// The table of this target.
const BlockKernels* kernels() {
  static constexpr BlockKernels table{
      [](const Run& run, std::uint32_t* amax) { block_amax(run, amax); },
      [](const float* x, std::size_t n) { return finite_amax(x, n); },
      evaluate_lanes,
      [](const double* v, std::int64_t* codes, std::size_t n, const Rounding& round) {
        encode_lanes(v, codes, n, round);
      },
      encode_all,
      [](const ElementJob& job, ErrorMeasure measure, const Run& run, const float* factor,
         const float* scale, float g,
         float* error) { nearest_errors(job, measure, run, factor, scale, g, error); },
      pack_nibbles,
  };
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::formats {

HWY_EXPORT(kernels);

const BlockKernels& block_kernels() { return *HWY_DYNAMIC_DISPATCH(kernels)(); }

}  // namespace assay::formats
#endif
