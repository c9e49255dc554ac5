// SPDX-License-Identifier: Apache-2.0
#pragma once
// Barriers in shared memory and the copies that complete on them (PTX ISA 9.0: mbarrier,
// cp.async.bulk, cp.async.bulk.tensor): sm_90 and later. Empty before that.

#include <cuda.h>

#include <cstdint>

namespace assay::kernels::cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ inline std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
__device__ inline void barrier_init(std::uint64_t* barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals));
}
/// By the thread that initialized barriers, behind the last: other blocks of a cluster and the copy
/// engines see them from then on.
__device__ inline void barriers_initialized() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void barrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
__device__ inline void barrier_expect(std::uint64_t* barrier, unsigned bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
/// Waits for the phase with this parity to end. A wait that never ends would take the machine with
/// it: after some seconds it becomes an error of the launch.
__device__ inline void barrier_wait(std::uint64_t* barrier, unsigned parity) {
  for (unsigned tries = 0;; ++tries) {
    std::uint32_t done = 0;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
    if (done != 0) return;
    if (tries > 1U << 22) __trap();
  }
}
/// A box of a matrix, from (k, row) on, to shared memory; what lies outside the matrix is zero.
__device__ inline void copy_box(const CUtensorMap* map, std::uint64_t* barrier, void* to, int k,
                                int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4}], [%2];" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(k), "r"(row)
      : "memory");
}
/// `bytes` of global memory, a multiple of 16 as both addresses are, to shared memory.
__device__ inline void copy_bytes(const void* from, std::uint64_t* barrier, void* to,
                                  unsigned bytes) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

#endif

}  // namespace assay::kernels::cuda
