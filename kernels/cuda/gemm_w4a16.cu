// SPDX-License-Identifier: Apache-2.0
// W4A16 on the bf16 tensor cores: FP4 weights become bf16 on their way into shared memory. That is
// exact: E2M1 has 2 significant bits, UE4M3 has 4, so the product has at most 6 of bf16's 8, and
// its exponent lies within [-10, 11]. The tensor scale is applied once, in the epilogue.
#include <cuda_bf16.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/fp4_registers.cuh"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/gemm_w4a16_mutants.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kTileM = 64, kTileN = 64, kTileK = 32;  // per thread block of 4 warps, each 32 x 32
constexpr int kThreads = 128;
// 8 bf16 of padding put the 8 rows that an mma fragment reads into different shared-memory banks.
constexpr int kPitch = kTileK + 8;

using Tile = __nv_bfloat16[kTileM][kPitch];
static_assert(kTileM == kTileN);

// Rows beyond the matrix and k beyond its width become zeros, which add exactly nothing: a zero
// product has a fixed, smallest exponent inside the tensor core and never moves the alignment.
__device__ void load_a(const GemmW4a16& p, std::int64_t row0, std::int64_t k0, Tile& tile) {
  for (int i = threadIdx.x; i < kTileM * kTileK; i += kThreads) {
    const std::int64_t row = row0 + i / kTileK;
    const std::int64_t k = k0 + i % kTileK;
    const std::uint16_t bits = row < p.m && k < p.k ? p.a[row * p.k + k] : 0;
    tile[i / kTileK][i % kTileK] = __ushort_as_bfloat16(bits);
  }
}

template <Mutant mutant>
__device__ void load_b(const GemmW4a16& p, std::int64_t row0, std::int64_t k0, Tile& tile) {
  for (int i = threadIdx.x; i < kTileN * kTileK / 2; i += kThreads) {
    const int local_row = i / (kTileK / 2);
    const int local_k = i % (kTileK / 2) * 2;
    const std::int64_t row = row0 + local_row;
    const std::int64_t k = k0 + local_k;
    float low = 0.0F;
    float high = 0.0F;
    if (row < p.n && k < p.k) {
      const int pair = p.b_codes[row * (p.k / 2) + k / 2];
      const std::int64_t scaled = mutant == Mutant::stale_scale ? k0 : k;
      const float scale = p.weights == Fp4Weights::nvfp4
                              ? decode_ue4m3(p.b_scales[row * (p.k / 16) + scaled / 16])
                              : decode_e8m0(p.b_scales[row * (p.k / 32) + scaled / 32]);
      low = decode_e2m1(pair & 15) * scale;
      high = decode_e2m1(pair >> 4) * scale;
    }
    tile[local_row][local_k] = __float2bfloat16_rn(low);
    tile[local_row][local_k + 1] = __float2bfloat16_rn(high);
  }
}

__device__ std::uint32_t pair_at(const Tile& tile, int row, int k) {
  return *reinterpret_cast<const std::uint32_t*>(&tile[row][k]);
}

// PTX ISA 9.0, mma.sync.m16n8k16 with .bf16: of the 32 lanes, lane/4 is the row of A (and the
// column of B), lane%4 the pair of k; registers 0..3 of A cover rows +0, +8, then k +8.
__device__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <Mutant mutant>
__global__ void __launch_bounds__(kThreads) gemm_kernel(GemmW4a16 p) {
  __shared__ alignas(16) Tile tile_a;
  __shared__ alignas(16) Tile tile_b;
  const std::int64_t row0 = std::int64_t{blockIdx.y} * kTileM;
  const std::int64_t col0 = std::int64_t{blockIdx.x} * kTileN;
  const int warp = threadIdx.x / 32;
  const int lane_row = threadIdx.x % 32 / 4;
  const int lane_k = threadIdx.x % 4 * 2;
  const int warp_row = warp / 2 * 32;
  const int warp_col = warp % 2 * 32;

  float sum[2][4][4] = {};
  const std::int64_t last = mutant == Mutant::dropped_k ? p.k / kTileK * kTileK : p.k;
  for (std::int64_t k0 = 0; k0 < last; k0 += kTileK) {
    load_a(p, row0, k0, tile_a);
    load_b<mutant>(p, col0, k0, tile_b);
    __syncthreads();
    if (mutant == Mutant::overtaken && warp % 2 != 0) __nanosleep(5000);
#pragma unroll
    for (int k = 0; k < kTileK; k += 16) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = warp_row + i * 16 + lane_row;
        const std::uint32_t a[4] = {
            pair_at(tile_a, row, k + lane_k), pair_at(tile_a, row + 8, k + lane_k),
            pair_at(tile_a, row, k + lane_k + 8), pair_at(tile_a, row + 8, k + lane_k + 8)};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int col = warp_col + j * 8 + lane_row;
          const std::uint32_t b[2] = {pair_at(tile_b, col, k + lane_k),
                                      pair_at(tile_b, col, k + lane_k + 8)};
          mma_m16n8k16(sum[i][j], a, b);
        }
      }
    }
    if constexpr (mutant == Mutant::narrow_sum)
      for (auto& rows : sum)
        for (auto& tile : rows)
          for (float& x : tile) x = __bfloat162float(__float2bfloat16_rn(x));
    if constexpr (mutant != Mutant::overtaken) __syncthreads();
  }
  const float factor = p.alpha * p.tensor_scale;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const std::int64_t row = row0 + warp_row + i * 16 + lane_row;
      const std::int64_t col = col0 + warp_col + j * 8 + lane_k;
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (row + e / 2 * 8 < p.m && col + e % 2 < p.n)
          store_w4a16(p, factor, row + e / 2 * 8, col + e % 2, sum[i][j][e]);
    }
  }
}

template <Mutant mutant>
void start(const GemmW4a16& problem, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((problem.n + kTileN - 1) / kTileN),
                  static_cast<unsigned>((problem.m + kTileM - 1) / kTileM));
  gemm_kernel<mutant><<<grid, kThreads, 0, stream>>>(problem);
  check(cudaGetLastError(), "gemm_w4a16");
}

}  // namespace

void launch_w4a16_tiled(const GemmW4a16& problem, cudaStream_t stream) {
  start<Mutant::none>(problem, stream);
}

bool launch_w4a16_mutant(Mutant mutant, const GemmW4a16& problem, cudaStream_t stream) {
  switch (mutant) {
    case Mutant::stale_scale:
      start<Mutant::stale_scale>(problem, stream);
      return true;
    case Mutant::dropped_k:
      start<Mutant::dropped_k>(problem, stream);
      return true;
    case Mutant::narrow_sum:
      start<Mutant::narrow_sum>(problem, stream);
      return true;
    case Mutant::overtaken:
      start<Mutant::overtaken>(problem, stream);
      return true;
    default:
      return false;
  }
}

}  // namespace assay::kernels::cuda
