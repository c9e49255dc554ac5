// SPDX-License-Identifier: Apache-2.0
#pragma once
// Products of planes of int8 digits by wgmma (compute capability 9.0), and their exact sums rounded
// in registers. Instruction, shared-memory matrices and fragments as PTX ISA 9.0 lays them out.

#include <cstdint>

#include "kernels/cuda/exact_gemm_number.h"

namespace assay::kernels::cuda::exact {

constexpr int tile_rows = 128;  ///< of A; two warpgroups have 64 each
constexpr int step_k = 64;
constexpr int product_threads = 256;

/// Columns of D that a block computes: 2 planes - 1 sums of 32 bits each must fit the registers.
template <int planes>
constexpr int tile_columns = planes <= 2   ? 128
                             : planes == 3 ? 64
                                           : 32;
template <int planes>
constexpr int step_bytes = planes* step_k*(tile_rows + tile_columns<planes>);
template <int planes>
constexpr int stages = planes <= 2 ? 4 : 3;
template <int planes>
constexpr int shared_bytes = stages<planes>* step_bytes<planes>;

#define ASSAY_8(c, i)                                                                           \
  "+r"((c)[i]), "+r"((c)[(i) + 1]), "+r"((c)[(i) + 2]), "+r"((c)[(i) + 3]), "+r"((c)[(i) + 4]), \
      "+r"((c)[(i) + 5]), "+r"((c)[(i) + 6]), "+r"((c)[(i) + 7])
#define ASSAY_16(c, i) ASSAY_8(c, i), ASSAY_8(c, (i) + 8)
#define ASSAY_32(c, i) ASSAY_16(c, i), ASSAY_16(c, (i) + 16)
#define ASSAY_64(c, i) ASSAY_32(c, i), ASSAY_32(c, (i) + 32)
#define ASSAY_D16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define ASSAY_D32 ASSAY_D16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define ASSAY_D64                                                                    \
  ASSAY_D32                                                                          \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51" \
  ",%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

/// c += 64 x 32 of A by 32 x columns of B, on its way until wait_for_products().
template <int columns>
__device__ void multiply(std::int32_t (&c)[columns / 2], std::uint64_t a, std::uint64_t b) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  if constexpr (columns == 128)
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" ASSAY_D64 "}, %64, %65, 1;"
                 : ASSAY_64(c, 0)
                 : "l"(a), "l"(b));
  else if constexpr (columns == 64)
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {" ASSAY_D32 "}, %32, %33, 1;"
                 : ASSAY_32(c, 0)
                 : "l"(a), "l"(b));
  else
    asm volatile("wgmma.mma_async.sync.aligned.m64n32k32.s32.s8.s8 {" ASSAY_D16 "}, %16, %17, 1;"
                 : ASSAY_16(c, 0)
                 : "l"(a), "l"(b));
#endif
}

#undef ASSAY_8
#undef ASSAY_16
#undef ASSAY_32
#undef ASSAY_64
#undef ASSAY_D16
#undef ASSAY_D32
#undef ASSAY_D64

/// All but the last `left` groups of products are done.
template <int left>
__device__ void wait_for_products() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
#endif
}

/// No swizzle: `leading` bytes between 16 k and the next, 128 between 8 rows and the next.
__device__ inline std::uint64_t matrix_of(std::uint32_t address, int leading) {
  const auto field = [](std::uint32_t bytes) {
    return static_cast<std::uint64_t>((bytes & 0x3FFFFU) >> 4);
  };
  return field(address) | field(static_cast<std::uint32_t>(leading)) << 16 | field(128) << 32;
}

/// Copies 16 bytes a thread, all of `bytes` by the block.
__device__ inline void start_copy(std::uint32_t to, const std::uint8_t* from, int bytes) {
  for (int at = static_cast<int>(threadIdx.x) * 16; at < bytes; at += product_threads * 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + static_cast<unsigned>(at)),
                 "l"(from + at)
                 : "memory");
}

/// The order of tiles: 12 tiles of rows, then the next column, so that the blocks that run at one
/// time share what they read.
__device__ inline void tile_of(std::int64_t block, std::int64_t down, std::int64_t across,
                               std::int64_t& row, std::int64_t& column) {
  constexpr std::int64_t band = 12;
  const std::int64_t first = block / (band * across) * band;
  const std::int64_t height = down - first < band ? down - first : band;
  const std::int64_t within = block % (band * across);
  row = first + within % height;
  column = within / height;
}

template <int planes>
__global__ void __launch_bounds__(product_threads, 1)
    product_kernel(const std::uint8_t* a, const std::uint8_t* b, const RowRange* left,
                   const RowRange* right, std::uint32_t* d, std::int64_t m, std::int64_t n,
                   std::int64_t steps) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int columns = tile_columns<planes>;
  constexpr int a_bytes = planes * step_k * tile_rows;
  constexpr int b_bytes = planes * step_k * columns;
  constexpr int depth = stages<planes>;
  extern __shared__ __align__(128) unsigned char shared[];
  const auto base = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  std::int64_t tile_row = 0;
  std::int64_t tile_column = 0;
  tile_of(blockIdx.x, (m + tile_rows - 1) / tile_rows, (n + columns - 1) / columns, tile_row,
          tile_column);
  const std::uint8_t* a_tile = a + tile_row * steps * a_bytes;
  const std::uint8_t* b_tile = b + tile_column * steps * b_bytes;
  const auto copy_step = [&](std::int64_t step) {
    if (step < steps) {
      const std::uint32_t to = base + static_cast<std::uint32_t>(step % depth) * step_bytes<planes>;
      start_copy(to, a_tile + step * a_bytes, a_bytes);
      start_copy(to + a_bytes, b_tile + step * b_bytes, b_bytes);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");  // empty past the end: counts stay equal
  };
  std::int32_t sums[2 * planes - 1][columns / 2];
#pragma unroll
  for (auto& sum : sums)
#pragma unroll
    for (std::int32_t& x : sum) x = 0;
  for (int step = 0; step < depth - 2; ++step) copy_step(step);
  const int half = static_cast<int>(threadIdx.x) / 128;
  for (std::int64_t step = 0; step < steps; ++step) {
    asm volatile("cp.async.wait_group %0;" ::"n"(depth - 3) : "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    wait_for_products<1>();  // those of step - 2 are done: its bytes are free after the barrier
    __syncthreads();
    copy_step(step + depth - 2);
    const std::uint32_t at = base + static_cast<std::uint32_t>(step % depth) * step_bytes<planes>;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int part = 0; part < step_k / 32; ++part)
#pragma unroll
      for (int p = 0; p < planes; ++p)
#pragma unroll
        for (int q = 0; q < planes; ++q)
          multiply<columns>(
              sums[p + q],
              matrix_of(at + (p * step_k + part * 32) * tile_rows + half * 64 * 16, 16 * tile_rows),
              matrix_of(at + a_bytes + (q * step_k + part * 32) * columns, 16 * columns));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  }
  wait_for_products<0>();
#pragma unroll
  for (auto& sum : sums)
#pragma unroll
    for (std::int32_t& x : sum) asm volatile("" : "+r"(x)::"memory");  // not read before the wait
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int r = 0; r < columns / 2; ++r) {
    const std::int64_t row = tile_row * tile_rows + warp * 16 + lane / 4 + r % 4 / 2 * 8;
    const std::int64_t column = tile_column * columns + r / 4 * 8 + lane % 4 * 2 + r % 2;
    Int128 sum = 0;
#pragma unroll
    for (int x = 0; x < 2 * planes - 1; ++x)
      sum += static_cast<Int128>(static_cast<Uint128>(static_cast<Int128>(sums[x][r])) << (8 * x));
    if (row < m && column < n) d[row * n + column] = round_sum(sum, left[row], right[column]);
  }
#endif
}

}  // namespace assay::kernels::cuda::exact
