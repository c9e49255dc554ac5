// SPDX-License-Identifier: Apache-2.0
// W4A16 for small batches: bound by the bytes of the weights. A cluster of thread blocks owns a
// stripe of weight rows and cuts k among its blocks and their warps. A warp streams codes and scale
// factors of its rows from global memory straight into registers, 16 bytes a load and one step
// ahead, turns them into bf16 there and multiplies them, as the A of mma.m16n8k16, with the
// activations, which lie in shared memory for the whole stretch of k. Partial sums meet in shared
// memory and are added in one fixed order, so the result does not depend on the launch.
#include "kernels/cuda/batch_sums.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/cluster_launch.h"
#include "kernels/cuda/fp4_registers.cuh"
#include "kernels/cuda/gemm_w4a16.cuh"

namespace assay::kernels::cuda {
namespace {

namespace cg = cooperative_groups;

constexpr int kUnit = 256;  // of k that a warp takes at a time: 64 for each of four lanes

/// Columns: of the batch, in tiles of 8. A warp has 16 * row_tiles weight rows; row_warps x k_warps
/// warps make a block; `cluster` blocks share the rows and cut k. `ahead`: units in registers.
template <int column_tiles_, int row_tiles_, int row_warps_, int k_warps_, int cluster_, int ahead_>
struct Shape {
  static constexpr int column_tiles = column_tiles_, row_tiles = row_tiles_, row_warps = row_warps_,
                       k_warps = k_warps_, cluster = cluster_, ahead = ahead_;
  static constexpr int columns = 8 * column_tiles;
  static constexpr int rows = 16 * row_tiles * row_warps;
  static constexpr int threads = 32 * row_warps * k_warps;
  // Activations of a panel: at most 128 KiB, and the sums after it.
  static constexpr int panel_units = 128 * 1024 / (columns * kUnit * 2);
  static constexpr int sum_pitch = rows + 4;
  static constexpr std::size_t sum_bytes = std::size_t{4} * k_warps * columns * sum_pitch;
  static constexpr std::size_t panel_bytes = std::size_t{2} * panel_units * columns * kUnit;
  static constexpr std::size_t shared = sum_bytes > panel_bytes ? sum_bytes : panel_bytes;
  static_assert(panel_units % (k_warps * ahead) == 0 && rows % cluster == 0);
};

/// Codes and scale factors of a lane's 64 k for one row.
struct Weights {
  uint4 codes[2];
  std::uint32_t scales;
};

template <Fp4Weights format>
__device__ Weights load_weights(const GemmW4a16& p, std::int64_t row, std::int64_t k) {
  Weights w{};
  if (k >= p.k) return w;
  const auto* codes = reinterpret_cast<const uint4*>(p.b_codes + (row * p.k + k) / 2);
  w.codes[0] = __ldcs(codes);
  w.codes[1] = __ldcs(codes + 1);
  const std::uint8_t* scales = p.b_scales + (row * p.k + k) / fp4_group<format>;
  if constexpr (format == Fp4Weights::nvfp4)
    w.scales = __ldg(reinterpret_cast<const std::uint32_t*>(scales));
  else
    w.scales = __ldg(reinterpret_cast<const std::uint16_t*>(scales));
  return w;
}

__device__ std::uint32_t word(const uint4 (&v)[2], int i) {
  const uint4& half = v[i / 4];
  return i % 4 == 0 ? half.x : i % 4 == 1 ? half.y : i % 4 == 2 ? half.z : half.w;
}

/// 16-byte piece `piece` (8 k) of column `column` of a unit: pieces of the four lanes and of
/// neighbouring columns that are read together lie in different banks.
__device__ int activation_at(int column, int piece) {
  return column * (kUnit / 8) + ((piece & 24) | ((piece & 7) ^ ((piece >> 3) + 4 * (column & 1))));
}

template <class S>
__device__ void load_panel(const GemmW4a16& p, std::int64_t unit0, int units, uint4* panel) {
  constexpr int pieces = kUnit / 8;
  for (int i = threadIdx.x; i < units * S::columns * pieces; i += S::threads) {
    const int unit = i / (S::columns * pieces);
    const int column = i / pieces % S::columns;
    const int piece = i % pieces;
    const std::int64_t k = (unit0 + unit) * kUnit + piece * 8;
    const bool inside = column < p.m && k < p.k;
    const auto* from = p.a + (inside ? column * p.k + k : 0);
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(
        panel + unit * S::columns * pieces + activation_at(column, piece)));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                 "r"(inside ? 16 : 0));
  }
  asm volatile("cp.async.commit_group;\ncp.async.wait_group 0;" ::: "memory");
}

__device__ void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                    std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// A warp's rows times one unit. The k of an mma's slots are this lane's own eight in ascending
/// order, on both sides alike: a sum does not ask which k is which.
template <class S, Fp4Weights format>
__device__ void multiply_unit(const Weights (&w)[S::row_tiles][2], const uint4* unit, int lane,
                              float (&sum)[S::row_tiles][S::column_tiles][4]) {
  const int group = lane / 4;
  const int quad = lane % 4;
  constexpr int groups = 64 / fp4_group<format>;
  std::uint32_t scales[S::row_tiles][2][groups];
#pragma unroll
  for (int r = 0; r < S::row_tiles; ++r)
#pragma unroll
    for (int half = 0; half < 2; ++half) scale_pairs<format>(w[r][half].scales, scales[r][half]);
#pragma unroll
  for (int piece = 0; piece < 8; ++piece) {  // 8 k of each lane, two mma
    std::uint32_t a[S::row_tiles][2][4];
#pragma unroll
    for (int r = 0; r < S::row_tiles; ++r) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // rows +0 and +8
        spread_fp4(word(w[r][half].codes, piece), pairs[half]);
#pragma unroll
        for (auto& pair : pairs[half]) pair = scale_fp4(pair, scales[r][half][piece * groups / 8]);
      }
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        a[r][step][0] = pairs[0][2 * step];
        a[r][step][1] = pairs[1][2 * step];
        a[r][step][2] = pairs[0][2 * step + 1];
        a[r][step][3] = pairs[1][2 * step + 1];
      }
    }
#pragma unroll
    for (int c = 0; c < S::column_tiles; ++c) {
      const uint4 x = unit[activation_at(8 * c + group, 8 * quad + piece)];
#pragma unroll
      for (int r = 0; r < S::row_tiles; ++r) {
        mma(sum[r][c], a[r][0], x.x, x.y);
        mma(sum[r][c], a[r][1], x.z, x.w);
      }
    }
  }
}

template <class S, Fp4Weights format>
__global__ void __launch_bounds__(S::threads) batch_kernel(GemmW4a16 p) {
#if ASSAY_HAS_CLUSTERS
  extern __shared__ uint4 shared[];
  const int lane = threadIdx.x % 32;
  const int row_warp = threadIdx.x / 32 % S::row_warps;
  const int k_warp = threadIdx.x / 32 / S::row_warps;
  const int rank = S::cluster == 1 ? 0 : static_cast<int>(cg::this_cluster().block_rank());
  const std::int64_t row0 = std::int64_t{blockIdx.x} / S::cluster * S::rows;
  const std::int64_t units = (p.k + kUnit - 1) / kUnit;
  const std::int64_t begin = units * rank / S::cluster;
  const std::int64_t end = units * (rank + 1) / S::cluster;

  std::int64_t rows[S::row_tiles][2];
#pragma unroll
  for (int r = 0; r < S::row_tiles; ++r)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      rows[r][half] = min(p.n - 1, row0 + (row_warp * S::row_tiles + r) * 16 + half * 8 + lane / 4);
  const auto load = [&](std::int64_t unit, Weights(&w)[S::row_tiles][2]) {
#pragma unroll
    for (int r = 0; r < S::row_tiles; ++r)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        w[r][half] = load_weights<format>(p, rows[r][half], unit * kUnit + lane % 4 * 64);
  };

  float sum[S::row_tiles][S::column_tiles][4] = {};
  Weights weights[S::ahead][S::row_tiles][2];
#pragma unroll
  for (int i = 0; i < S::ahead; ++i)
    if (begin + k_warp + i * S::k_warps < end) load(begin + k_warp + i * S::k_warps, weights[i]);
  for (std::int64_t panel = begin; panel < end; panel += S::panel_units) {
    const int count = static_cast<int>(min(std::int64_t{S::panel_units}, end - panel));
    if (panel != begin) __syncthreads();  // the last panel has been read
    load_panel<S>(p, panel, count, shared);
    __syncthreads();
    for (int first = k_warp; first < count; first += S::ahead * S::k_warps)
#pragma unroll
      for (int i = 0; i < S::ahead; ++i) {
        const int unit = first + i * S::k_warps;
        if (unit >= count) break;
        multiply_unit<S, format>(weights[i], shared + unit * S::columns * (kUnit / 8), lane, sum);
        if (panel + unit + S::ahead * S::k_warps < end)
          load(panel + unit + S::ahead * S::k_warps, weights[i]);
      }
  }

  add_and_store<S>(p, reinterpret_cast<float*>(shared), row0, rank, row_warp, k_warp, sum);
#endif
}

template <class S, Fp4Weights format>
void launch(const GemmW4a16& p, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((p.n + S::rows - 1) / S::rows * S::cluster);
  launch_clusters({"gemm_w4a16_batch", blocks, S::threads, S::cluster, S::shared}, stream,
                  batch_kernel<S, format>, p);
}

template <class S>
void launch(const GemmW4a16& p, cudaStream_t stream) {
  if (p.weights == Fp4Weights::nvfp4)
    launch<S, Fp4Weights::nvfp4>(p, stream);
  else
    launch<S, Fp4Weights::mxfp4>(p, stream);
}

}  // namespace

bool w4a16_batch_takes(int columns, const GemmW4a16& p) {
  int device = 0;
  int shared = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  const auto aligned = [](const void* at, std::uintptr_t to) {
    return reinterpret_cast<std::uintptr_t>(at) % to == 0;
  };
  return major >= 9 && shared >= 160 * 1024 && p.m >= 1 && p.m <= columns && p.n >= 1 &&
         p.k >= 64 && p.k % 64 == 0 && aligned(p.a, 16) && aligned(p.b_codes, 16) &&
         aligned(p.b_scales, 4);
}

void launch_w4a16_batch(int columns, const GemmW4a16& p, cudaStream_t stream) {
  switch (columns) {
    case 8:
      return launch<Shape<1, 1, 4, 4, 1, 2>>(p, stream);
    case 16:
      return launch<Shape<2, 1, 8, 2, 2, 2>>(p, stream);
    case 32:
      return launch<Shape<4, 1, 8, 2, 2, 2>>(p, stream);
    default:
      return launch<Shape<8, 1, 8, 2, 2, 2>>(p, stream);
  }
}

}  // namespace assay::kernels::cuda
