// SPDX-License-Identifier: Apache-2.0
#pragma once
// Quantizers whose last rounding is a conversion instruction of Blackwell. Pointers are device
// memory.

#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {

/// Whether this build's code for the current GPU has cvt.rn.satfinite.e2m1x2, and
/// cvt.rs.satfinite.e2m1x4.
[[nodiscard]] bool has_e2m1_cvt();
[[nodiscard]] bool has_e2m1_cvt_rs();

/// One order of each format has a twin: they differ in what comes before the conversion.
[[nodiscard]] constexpr bool takes_cvt(QuantizeOrder order) {
  return order == QuantizeOrder::nvfp4_te || order == QuantizeOrder::mxfp4_rceil;
}

/// As launch_quantize(). Only where has_e2m1_cvt(): elsewhere every code would be 0.
void launch_quantize_cvt(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream);
/// Stochastic rounding with 8 bits of a generator of its own. Only where has_e2m1_cvt_rs(). Which
/// of a word's four bytes each element takes is not a promise: the text of PTX ISA gives a and b
/// the upper bytes of the word's halves and e and f the lower ones, and leaves the order in a pair
/// to a figure.
void launch_quantize_cvt_stochastic(QuantizeOrder order, const QuantizeTask& task,
                                    std::uint64_t seed, cudaStream_t stream);

}  // namespace assay::kernels::cuda
