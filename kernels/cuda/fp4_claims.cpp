// SPDX-License-Identifier: Apache-2.0
// Without CUDA as well: a test holds the published arithmetic against what is claimed of it.
#include "kernels/cuda/fp4_device.h"

namespace assay::kernels::cuda {

// The published arithmetic (simulator/mma/dot.h, grouped) aligns at the exponents of the scale
// factors, e(sa) + e(sb), and keeps 35 bits below the largest. The claim's bound aligns at the
// exponents of the dequantized operands, floor(log2 |a sa|) + floor(log2 |b sb|). A nonzero E2M1
// element is at least 1/2, and a UE4M3 scale factor at least 2^-3 of the power of two that its
// exponent (-6 for subnormal numbers) stands for: a bound's exponent may be lower by 4 for each
// operand. So 35 bits below the unit's alignment are at least 27 below the bound's.
std::vector<Claim> fp4_claims() {
  std::vector<Claim> all;
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil})
    all.push_back({.operation = "gemm",
                   .a = format,
                   .b = format,
                   .scale_layout = formats::ScaleLayout::swizzled_128x4,
                   .accumulator = Accumulator::truncating,
                   .fraction_bits = 27,
                   .k_multiple = 32});
  return all;
}

}  // namespace assay::kernels::cuda
