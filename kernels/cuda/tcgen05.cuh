// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tensor-memory instructions of sm_100 that the FP4 GEMM uses (PTX ISA 9.0, section 9.7.16),
// all of .cta_group::1. Empty for other targets.

#include <cstdint>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/gemm_fp4.cuh"

namespace assay::kernels::cuda {

#if ASSAY_HAS_TCGEN05

/// True in one lane of a warp whose lanes all call it.
__device__ inline bool elected() {
  std::uint32_t one = 0;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xFFFFFFFF;\nselp.u32 %0, 1, 0, p;\n}"
               : "=r"(one));
  return one != 0;
}

/// By all lanes of one warp: `columns` of tensor memory, their address to shared memory. The right
/// to allocate is given up: the next thread block may have what is left.
template <int columns>
__device__ inline void tensor_allocate(std::uint32_t* address) {
  asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(
                   shared_address(address)),
               "n"(columns)
               : "memory");
  asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;");
}
/// By all lanes of that warp.
template <int columns>
__device__ inline void tensor_free(std::uint32_t address) {
  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(address),
               "n"(columns));
}

/// Around a synchronization of threads, before and behind it.
__device__ inline void tensor_fence_before() {
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}
__device__ inline void tensor_fence_after() {
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
}

/// 32 rows of 16 bytes to four columns, in all four groups of 32 lanes.
__device__ inline void tensor_copy_scales(std::uint32_t to, std::uint64_t from) {
  asm volatile("tcgen05.cp.cta_group::1.32x128b.warpx4 [%0], %1;" ::"r"(to), "l"(from) : "memory");
}

/// D (+)= A B' over 64 of k. D is overwritten where `accumulate` is false.
template <Fp4Kind kind>
__device__ inline void tensor_multiply(std::uint32_t d, std::uint64_t a, std::uint64_t b,
                                       std::uint32_t instruction, std::uint32_t scale_a,
                                       std::uint32_t scale_b, bool accumulate) {
  if constexpr (kind == Fp4Kind::nvfp4)
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
        "tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16 [%0], %1, %2, %3, [%4], [%5], "
        "p;\n}" ::"r"(d),
        "l"(a), "l"(b), "r"(instruction), "r"(scale_a), "r"(scale_b), "r"(accumulate ? 1 : 0)
        : "memory");
  else
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
        "tcgen05.mma.cta_group::1.kind::mxf4.block_scale.block32 [%0], %1, %2, %3, [%4], [%5], "
        "p;\n}" ::"r"(d),
        "l"(a), "l"(b), "r"(instruction), "r"(scale_a), "r"(scale_b), "r"(accumulate ? 1 : 0)
        : "memory");
}

/// One arrival when everything that this thread has issued so far is done.
__device__ inline void tensor_commit(std::uint64_t* barrier) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(
                   shared_address(barrier))
               : "memory");
}

/// By all lanes of a warp: 32 columns of its lane of tensor memory, arrived.
__device__ inline void tensor_load(std::uint32_t from, float (&x)[32]) {
  asm volatile(
      "tcgen05.ld.sync.aligned.32x32b.x32.b32 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
      " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, [%32];\n"
      "tcgen05.wait::ld.sync.aligned;"
      : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3]), "=f"(x[4]), "=f"(x[5]), "=f"(x[6]),
        "=f"(x[7]), "=f"(x[8]), "=f"(x[9]), "=f"(x[10]), "=f"(x[11]), "=f"(x[12]), "=f"(x[13]),
        "=f"(x[14]), "=f"(x[15]), "=f"(x[16]), "=f"(x[17]), "=f"(x[18]), "=f"(x[19]), "=f"(x[20]),
        "=f"(x[21]), "=f"(x[22]), "=f"(x[23]), "=f"(x[24]), "=f"(x[25]), "=f"(x[26]), "=f"(x[27]),
        "=f"(x[28]), "=f"(x[29]), "=f"(x[30]), "=f"(x[31])
      : "r"(from)
      : "memory");
}

#endif

}  // namespace assay::kernels::cuda
