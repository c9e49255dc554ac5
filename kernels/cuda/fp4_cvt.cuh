// SPDX-License-Identifier: Apache-2.0
#pragma once
// E2M1 by the conversion instructions of Blackwell (PTX ISA 9.0, section 9.7.9.21, cvt), and what
// they are published to give, as host code. Not run on such a GPU: fp4_encode.cuh is what
// everything else uses, and a twin of the quantizer (quantize_cvt.cu) what would show a difference.

#include <cstdint>

#include "kernels/cuda/gemm_fp4.cuh"

// Which targets have them was found by compiling each with CUDA 13.0: cvt.rn in 100a, 103a, 110a,
// 120a, 121a and their families, cvt.rs in 100a and 103a only.
#if ASSAY_HAS_FP4_MMA || ASSAY_HAS_TCGEN05
#define ASSAY_HAS_E2M1_CVT 1
#else
#define ASSAY_HAS_E2M1_CVT 0
#endif
#if defined(__CUDA_ARCH_FEAT_SM100_ALL) || defined(__CUDA_ARCH_FEAT_SM103_ALL)
#define ASSAY_HAS_E2M1_CVT_RS 1
#else
#define ASSAY_HAS_E2M1_CVT_RS 0
#endif

namespace assay::kernels::cuda {

#if ASSAY_HAS_E2M1_CVT

/// Eight codes, the first in the lowest nibble: nearest, ties to even, saturating. Of two operands
/// the first becomes the upper nibble.
__device__ inline std::uint32_t cvt_e2m1(const float (&x)[8]) {
  std::uint32_t codes = 0;
  asm("{\n.reg .b8 a, b, c, d;\n"
      "cvt.rn.satfinite.e2m1x2.f32 a, %2, %1;\ncvt.rn.satfinite.e2m1x2.f32 b, %4, %3;\n"
      "cvt.rn.satfinite.e2m1x2.f32 c, %6, %5;\ncvt.rn.satfinite.e2m1x2.f32 d, %8, %7;\n"
      "mov.b32 %0, {a, b, c, d};\n}"
      : "=r"(codes)
      : "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]), "f"(x[4]), "f"(x[5]), "f"(x[6]), "f"(x[7]));
  return codes;
}

#endif
#if ASSAY_HAS_E2M1_CVT_RS

/// Stochastic rounding with eight random bits an element: `random` has 32 for the first four
/// elements and 32 for the last. Of four operands a, b, e, f the first becomes the highest nibble.
__device__ inline std::uint32_t cvt_e2m1_stochastic(const float (&x)[8],
                                                    const std::uint32_t (&random)[2]) {
  std::uint32_t codes = 0;
  asm("{\n.reg .b16 a, b;\n"
      "cvt.rs.satfinite.e2m1x4.f32 a, {%4, %3, %2, %1}, %9;\n"
      "cvt.rs.satfinite.e2m1x4.f32 b, {%8, %7, %6, %5}, %10;\n"
      "mov.b32 %0, {a, b};\n}"
      : "=r"(codes)
      : "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]), "f"(x[4]), "f"(x[5]), "f"(x[6]), "f"(x[7]),
        "r"(random[0]), "r"(random[1]));
  return codes;
}

#endif

}  // namespace assay::kernels::cuda
