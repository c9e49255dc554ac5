// SPDX-License-Identifier: Apache-2.0
// FP4 x FP4 by the warp instruction of sm_120: mma.sync.m16n8k64 with .block_scale. Operands and
// scale factors come through a ring of stages in shared memory; all indices are Fp4Warps'. Compiled
// for its target in every build, not run on such a GPU.
#include <utility>

#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_fp4.cuh"
#include "kernels/cuda/gemm_fp4_warps.h"
#include "kernels/cuda/tile_order.cuh"

namespace assay::kernels::cuda {
namespace {

[[maybe_unused]] constexpr unsigned kAcross = 8;  // tiles of rows that advance together

/// 1 in the machine code that has the instruction.
__constant__ int compiled = ASSAY_HAS_FP4_MMA;

#if ASSAY_HAS_FP4_MMA

template <int i>
using Constant = std::integral_constant<int, i>;
template <int... i, class Body>
__device__ void each(std::integer_sequence<int, i...>, Body body) {
  (body(Constant<i>{}), ...);
}
/// body(0), .. body(count - 1), with constants: selectors are part of the instruction.
template <int count, class Body>
__device__ void each(Body body) {
  each(std::make_integer_sequence<int, count>{}, body);
}

/// d += A B of one instruction, with the scale factors that the selectors name.
template <Fp4Kind kind, int byte_id, int thread_id_a, int thread_id_b>
__device__ void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                    std::uint32_t scale_a, std::uint32_t scale_b) {
  if constexpr (kind == Fp4Kind::nvfp4)
    asm volatile(
        "mma.sync.aligned.m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::4X.f32.e2m1.e2m1."
        "f32.ue4m3 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3}, {%10}, {%12,%13}, {%11}, "
        "{%12,%14};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(scale_a),
          "r"(scale_b), "n"(byte_id), "n"(thread_id_a), "n"(thread_id_b));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::2X.f32.e2m1.e2m1."
        "f32.ue8m0 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3}, {%10}, {%12,%13}, {%11}, "
        "{%12,%14};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(scale_a),
          "r"(scale_b), "n"(byte_id), "n"(thread_id_a), "n"(thread_id_b));
}

/// Starts this thread's part of a stage; outside of the matrices there are zeros.
template <class Plan>
__device__ void copy_stage(const GemmFp4& p, std::int64_t row0, std::int64_t col0, std::int64_t k0,
                           std::uint8_t* stage) {
  for (int i = threadIdx.x; i < Plan::chunks; i += Plan::threads) {
    const typename Plan::Copy copy = Plan::copy(p, row0, col0, k0, i);
    const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(stage + copy.to));
    const std::uint8_t* from = copy.from + (copy.inside ? copy.offset : 0);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(copy.inside ? 16 : 0)
                 : "memory");
  }
}

__device__ std::uint32_t word_at(const std::uint8_t* stage, int byte) {
  return *reinterpret_cast<const std::uint32_t*>(stage + byte);
}

#endif

template <Fp4Kind kind>
__global__ void __launch_bounds__(Fp4Warps<kind>::threads)
    gemm_kernel([[maybe_unused]] const GemmFp4 p, [[maybe_unused]] unsigned row_tiles,
                [[maybe_unused]] unsigned col_tiles) {
#if ASSAY_HAS_FP4_MMA
  using Plan = Fp4Warps<kind>;
  extern __shared__ __align__(128) std::uint8_t shared[];
  const TilePlace place = tile_place(blockIdx.x, row_tiles, col_tiles, kAcross);
  const std::int64_t row0 = std::int64_t{place.row} * Plan::tile;
  const std::int64_t col0 = std::int64_t{place.col} * Plan::tile;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int stages = static_cast<int>((p.k + Plan::stage_k - 1) / Plan::stage_k);
  // One group of copies per stage, also where there is nothing left to copy: the wait counts them.
  const auto copy = [&](int s) {
    if (s < stages)
      copy_stage<Plan>(p, row0, col0, std::int64_t{s} * Plan::stage_k,
                       shared + s % Plan::stages * Plan::stage_bytes);
    asm volatile("cp.async.commit_group;" ::: "memory");
  };

  float sum[Plan::m_count][Plan::n_count][4] = {};
#pragma unroll
  for (int s = 0; s < Plan::stages - 1; ++s) copy(s);
  for (int s = 0; s < stages; ++s) {
    asm volatile("cp.async.wait_group %0;" ::"n"(Plan::stages - 2) : "memory");
    __syncthreads();  // this stage is there for all, and the one before it has been read by all
    copy(s + Plan::stages - 1);
    const std::uint8_t* stage = shared + s % Plan::stages * Plan::stage_bytes;
    each<Plan::steps>([&]<int step>(Constant<step>) {
      std::uint32_t b[Plan::n_count][2];
#pragma unroll
      for (int j = 0; j < Plan::n_count; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) b[j][r] = word_at(stage, Plan::b_word(warp, lane, j, step, r));
      const std::uint32_t scale_b = word_at(stage, Plan::b_scale_word(warp, lane, step));
      each<Plan::m_count>([&]<int i>(Constant<i>) {
        std::uint32_t a[4];
#pragma unroll
        for (int r = 0; r < 4; ++r) a[r] = word_at(stage, Plan::a_word(warp, lane, i, step, r));
        const std::uint32_t scale_a = word_at(stage, Plan::a_scale_word(warp, lane, i & ~1, step));
        each<Plan::n_count>([&]<int j>(Constant<j>) {
          mma<kind, Plan::byte_id(step), Plan::thread_id_a(i), Plan::thread_id_b(j)>(
              sum[i][j], a, b[j], scale_a, scale_b);
        });
      });
    });
  }
#pragma unroll
  for (int i = 0; i < Plan::m_count; ++i)
#pragma unroll
    for (int j = 0; j < Plan::n_count; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const MmaPlace at = Plan::output(warp, lane, i, j, r);
        if (row0 + at.row < p.m && col0 + at.col < p.n)
          store_fp4(p, row0 + at.row, col0 + at.col, sum[i][j][r]);
      }
#endif
}

template <Fp4Kind kind>
void start(const GemmFp4& p, cudaStream_t stream) {
  using Plan = Fp4Warps<kind>;
  const auto tiles = [](std::int64_t extent) {
    return static_cast<unsigned>((extent + Plan::tile - 1) / Plan::tile);
  };
  constexpr int bytes = Plan::stages * Plan::stage_bytes;
  check(cudaFuncSetAttribute(gemm_kernel<kind>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "gemm_fp4_mma_sync: shared memory");
  gemm_kernel<kind>
      <<<tiles(p.m) * tiles(p.n), Plan::threads, bytes, stream>>>(p, tiles(p.m), tiles(p.n));
  check(cudaGetLastError(), "gemm_fp4_mma_sync");
}

}  // namespace

bool has_fp4_mma_sync() {
  int value = 0;
  check(cudaMemcpyFromSymbol(&value, compiled, sizeof value),
        "gemm_fp4_mma_sync: its machine code");
  return value != 0;
}

void launch_fp4_mma_sync(Fp4Kind kind, const GemmFp4& p, cudaStream_t stream) {
  if (p.m == 0 || p.n == 0) return;  // a grid without blocks is an error
  if (kind == Fp4Kind::nvfp4)
    start<Fp4Kind::nvfp4>(p, stream);
  else
    start<Fp4Kind::mxfp4>(p, stream);
}

}  // namespace assay::kernels::cuda
