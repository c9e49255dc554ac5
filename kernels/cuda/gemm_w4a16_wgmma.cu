// SPDX-License-Identifier: Apache-2.0
// W4A16 for large m on Hopper. The product is computed transposed: the weights are the A operand of
// wgmma, which may come from registers, so FP4 becomes bf16 without a trip through shared memory;
// the activations are B and arrive by the tensor copy engine. Two warpgroups own the weight rows;
// one converts its fragments while the matrix unit works for the other. Where there are few tiles,
// a cluster of blocks cuts k and adds its sums in one fixed order.
#include <cooperative_groups.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/fp4_registers.cuh"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tile_order.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kStep = 64;      // of k: 128 bytes of bf16
constexpr int kThreads = 256;  // no warp of its own for the copies: that leaves 255 registers
[[maybe_unused]] constexpr unsigned kAcross = 8;  // only sm_90a has the kernel

/// A block's part of the product: `columns` rows of activations by 64 * row_tiles weight rows for
/// each of two warpgroups. Twice the weight rows halve the bytes of activations per product.
/// `ahead`: steps of weights on their way to registers, which few products must wait for.
template <int columns_, int row_tiles_, int ahead_>
struct Shape {
  static constexpr int columns = columns_, row_tiles = row_tiles_, ahead = ahead_;
  static constexpr int rows = 128 * row_tiles;
  static constexpr int stages = 8;
  static constexpr int stage_bytes = columns * kStep * 2;
  static constexpr int shared = stages * stage_bytes + 1024 + 16 * stages + 16;
  // A block's sums, where a cluster adds them, lie where the activations were.
  static constexpr int sum_pitch = rows + 4;
  static constexpr bool cuts_k = 4 * columns * sum_pitch <= stages * stage_bytes;
};

struct Launch {
  GemmW4a16 p;
  const RowTile* tiles;  ///< null: one group, tiles in order
  unsigned row_tiles, col_tiles;
  unsigned cluster;  ///< blocks that cut k
};

#if ASSAY_HAS_WGMMA

/// A step's weights of two rows, as they are in memory; the four lanes of a row hold the same.
struct Packed {
  std::uint32_t codes[2][8];
  std::uint32_t scales[2];
};

/// `rows`: where the two rows begin, in bytes of codes; their scale factors begin at the same place
/// divided by the bytes of codes that share one.
template <Fp4Weights format>
__device__ Packed load_packed(const std::uint8_t* codes, const std::uint8_t* scales,
                              const std::uint32_t (&rows)[2], std::uint32_t k) {
  Packed w;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::uint32_t at = rows[half] + k / 2;
    const auto* from = reinterpret_cast<const uint4*>(codes + at);
    const uint4 low = __ldg(from);
    const uint4 high = __ldg(from + 1);
    const std::uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) w.codes[half][i] = words[i];
    const std::uint8_t* scale = scales + at / (fp4_group<format> / 2);
    if constexpr (format == Fp4Weights::nvfp4)
      w.scales[half] = __ldg(reinterpret_cast<const std::uint32_t*>(scale));
    else
      w.scales[half] = __ldg(reinterpret_cast<const std::uint16_t*>(scale));
  }
  return w;
}

/// The fragments of the four wgmma of a step. A lane has codes 2t and 2t+1 of every eight: byte t
/// of every word. `pick` moves it from a word's shifted copy and the word itself to a pair.
template <Fp4Weights format>
__device__ void convert(const Packed& w, unsigned pick, std::uint32_t (&a)[4][4]) {
  constexpr int groups = kStep / fp4_group<format>;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::uint32_t scale[groups];
    scale_pairs<format>(w.scales[half], scale);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const std::uint32_t word = w.codes[half][i];
      a[i / 2][half + i % 2 * 2] =
          scale_fp4(spread_pair(__byte_perm(word << 4, word, pick)), scale[i * groups / 8]);
    }
  }
}

/// A block's turn through its stages of activations.
template <class S>
struct Pipeline {
  const CUtensorMap* activations;
  unsigned char* buffers;
  std::uint64_t *full, *empty, *turns;
  int row, begin, steps;  ///< `steps` from `begin` on are this block's; arguments count from there

  __device__ void fetch(int step) const {
    const int stage = step % S::stages;
    barrier_expect(full + stage, S::stage_bytes);
    copy_box(activations, full + stage, buffers + stage * S::stage_bytes, (begin + step) * kStep,
             row);
  }
  /// By one thread, once it is done with `step`: the stage of the step before, which the other
  /// warpgroup should have left too, gets the next step that is not on its way.
  __device__ void refill(int step) const {
    const int free = step - 1;
    if (free < 0 || free + S::stages >= steps) return;
    barrier_wait(empty + free % S::stages, free / S::stages & 1);
    fetch(free + S::stages);
  }
};

/// The sums of a cluster's blocks to shared memory, then each block's share of the outputs from all
/// of them, in the order of k.
template <class S>
__device__ void add_in_cluster(const Launch& launch, const RowTile& tile, std::int64_t col0,
                               float factor, const float (&sum)[S::row_tiles][S::columns / 2],
                               float* sums) {
  namespace cg = cooperative_groups;
  const GemmW4a16& p = launch.p;
  const cg::cluster_group cluster = cg::this_cluster();
  const int thread = static_cast<int>(threadIdx.x);
  const int own_row = thread / 128 * (64 * S::row_tiles) + thread % 128 / 32 * 16 + thread % 32 / 4;
  __syncthreads();  // the activations there have been multiplied
#pragma unroll
  for (int t = 0; t < S::row_tiles; ++t)
#pragma unroll
    for (int i = 0; i < S::columns / 2; ++i)
      sums[(i / 4 * 8 + thread % 4 * 2 + i % 2) * S::sum_pitch + own_row + 64 * t + i % 4 / 2 * 8] =
          sum[t][i];
  cluster.sync();
  const int share = S::rows / static_cast<int>(launch.cluster);
  const int first = share * static_cast<int>(cluster.block_rank());
  for (int i = thread; i < share * S::columns; i += kThreads) {
    const int row = first + i % share;
    const int column = i / share;
    if (tile.row0 + column >= tile.end || col0 + row >= p.n) continue;
    float total = 0.0F;
    for (unsigned block = 0; block < launch.cluster; ++block)
      total += cluster.map_shared_rank(sums, block)[column * S::sum_pitch + row];
    store_w4a16(p, factor, tile.row0 + column, col0 + row, total);
  }
  cluster.sync();  // others read these sums
}

/// Lets the warpgroup of this barrier give the matrix unit work; by all warps of the other.
__device__ void pass_turn(std::uint64_t* turn) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) barrier_arrive(turn);
}

template <class S, Fp4Weights format>
__device__ void consume(const Launch& launch, const RowTile& tile, std::int64_t col0,
                        const Pipeline<S>& pipeline) {
  constexpr int columns = S::columns;
  const GemmW4a16& p = launch.p;
  const int quad = threadIdx.x % 4;
  const unsigned pick = 0x4400U + 0x1111U * quad;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  // The weight row of the lane's first fragment row; a warpgroup's row tiles follow by 64.
  const std::int64_t row =
      col0 + warp / 4 * (64 * S::row_tiles) + warp % 4 * 16 + threadIdx.x % 32 / 4;
  // Of the group's matrix; 32 bits hold the places in it (w4a16_wgmma_takes).
  const std::uint8_t* codes = p.b_codes + tile.group * p.n * (p.k / 2);
  const std::uint8_t* scales = p.b_scales + tile.group * p.n * (p.k / fp4_group<format>);
  std::uint32_t rows[S::row_tiles][2];
  Packed packed[S::ahead][S::row_tiles];
  std::uint32_t a[S::row_tiles][4][4];
  float sum[S::row_tiles][columns / 2];
#pragma unroll
  for (int t = 0; t < S::row_tiles; ++t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      rows[t][half] = static_cast<std::uint32_t>(min(row + 64 * t + 8 * half, p.n - 1) * (p.k / 2));
    }
#pragma unroll
    for (float& s : sum[t]) s = 0.0F;
  }
  const auto load = [&](Packed(&to)[S::row_tiles], int step) {
    if (step >= pipeline.steps) return;
#pragma unroll
    for (int t = 0; t < S::row_tiles; ++t)
      to[t] = load_packed<format>(codes, scales, rows[t],
                                  static_cast<std::uint32_t>(pipeline.begin + step) * kStep);
  };
#pragma unroll
  for (int i = 0; i < S::ahead; ++i) load(packed[i], i);
  const int own = warp / 4;
  unsigned parity = 0;
  if (own == 1) pass_turn(pipeline.turns);
  for (int first = 0; first < pipeline.steps; first += S::ahead)
#pragma unroll
    for (int u = 0; u < S::ahead; ++u) {
      const int step = first + u;
      if (step >= pipeline.steps) break;
      const int stage = step % S::stages;
#pragma unroll
      for (int t = 0; t < S::row_tiles; ++t) convert<format>(packed[u][t], pick, a[t]);
      load(packed[u], step + S::ahead);
      barrier_wait(pipeline.full + stage, step / S::stages & 1);
      const std::uint64_t b =
          swizzled_descriptor(shared_address(pipeline.buffers + stage * S::stage_bytes));
      // A warp that multiplies fragments in its registers does nothing else: while one warpgroup's
      // are multiplied, the other one's are made.
      barrier_wait(pipeline.turns + own, parity);
      parity ^= 1;
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k)
#pragma unroll
        for (int t = 0; t < S::row_tiles; ++t)
          wgmma_bf16<columns>(sum[t], a[t][k], b + k * (32 >> 4));
      wgmma_commit();
      pass_turn(pipeline.turns + 1 - own);
      wgmma_wait<0>();
      if (threadIdx.x % 32 == 0) barrier_arrive(pipeline.empty + stage);
      if (threadIdx.x == 0) pipeline.refill(step);
    }

  const float tensor_scale =
      p.group_scales != nullptr ? p.group_scales[tile.group] : p.tensor_scale;
  const float factor = p.alpha * tensor_scale;
  if constexpr (S::cuts_k)
    if (launch.cluster > 1)
      return add_in_cluster<S>(launch, tile, col0, factor, sum,
                               reinterpret_cast<float*>(pipeline.buffers));
#pragma unroll
  for (int t = 0; t < S::row_tiles; ++t)
#pragma unroll
    for (int i = 0; i < columns / 2; ++i) {
      const std::int64_t m = tile.row0 + i / 4 * 8 + quad * 2 + i % 2;
      const std::int64_t n = row + 64 * t + i % 4 / 2 * 8;
      if (m < tile.end && n < p.n) store_w4a16(p, factor, m, n, sum[t][i]);
    }
}

#endif

template <class S, Fp4Weights format>
__global__ void __launch_bounds__(kThreads, 1)
    wgmma_kernel(Launch launch, const __grid_constant__ CUtensorMap activations) {
#if ASSAY_HAS_WGMMA
  extern __shared__ unsigned char raw[];
  auto* buffers = reinterpret_cast<unsigned char*>((reinterpret_cast<std::uintptr_t>(raw) + 1023) /
                                                   1024 * 1024);
  auto* full = reinterpret_cast<std::uint64_t*>(buffers + S::stages * S::stage_bytes);
  auto* empty = full + S::stages;
  auto* turns = empty + S::stages;  // of the two warpgroups

  const TilePlace place =
      tile_place(blockIdx.x / launch.cluster, launch.row_tiles, launch.col_tiles, kAcross);
  const std::int64_t first = std::int64_t{place.row} * S::columns;
  const RowTile tile = launch.tiles != nullptr
                           ? launch.tiles[place.row]
                           : RowTile{first, min(launch.p.m, first + S::columns), 0};
  if (tile.row0 >= tile.end) return;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, kThreads / 32);
    }
    for (int i = 0; i < 2; ++i) barrier_init(turns + i, 4);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const int steps = static_cast<int>(launch.p.k / kStep);
  const int parts = static_cast<int>(launch.cluster);
  const int part = static_cast<int>(blockIdx.x % launch.cluster);
  const int begin = steps * part / parts;
  const Pipeline<S> pipeline{&activations, buffers,
                             full,         empty,
                             turns,        static_cast<int>(tile.row0),
                             begin,        steps * (part + 1) / parts - begin};
  if (threadIdx.x == 0)
    for (int step = 0; step < min(S::stages, pipeline.steps); ++step) pipeline.fetch(step);
  consume<S, format>(launch, tile, std::int64_t{place.col} * S::rows, pipeline);
#endif
}

template <class S, Fp4Weights format>
void start(const Launch& launch, cudaStream_t stream) {
  const auto kernel = wgmma_kernel<S, format>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::shared),
        "gemm_w4a16_wgmma");
  const CUtensorMap map = tensor_map(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, launch.p.a, launch.p.m,
                                     launch.p.k, S::columns, kStep);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(launch.row_tiles * launch.col_tiles * launch.cluster);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = S::shared;
  config.stream = stream;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {launch.cluster, 1, 1};
  config.attrs = &cluster;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, launch, map), "gemm_w4a16_wgmma");
}

template <class S>
void start(const GemmW4a16& p, const RowTile* tiles, std::int64_t count, cudaStream_t stream) {
  Launch launch{
      p, tiles,
      static_cast<unsigned>(tiles != nullptr ? count : (p.m + S::columns - 1) / S::columns),
      static_cast<unsigned>((p.n + S::rows - 1) / S::rows), 1};
  // One wave of blocks, each with enough of k to be worth its start.
  constexpr unsigned wave = 132;
  constexpr std::int64_t fewest_steps = 16;
  if (S::cuts_k && tiles == nullptr)
    while (launch.cluster < 8 && launch.row_tiles * launch.col_tiles * launch.cluster * 2 <= wave &&
           p.k / kStep >= fewest_steps * launch.cluster * 2)
      launch.cluster *= 2;
  if (p.weights == Fp4Weights::nvfp4)
    start<S, Fp4Weights::nvfp4>(launch, stream);
  else
    start<S, Fp4Weights::mxfp4>(launch, stream);
}

}  // namespace

bool w4a16_wgmma_takes(const GemmW4a16& p) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  const auto aligned = [](const void* at, std::uintptr_t to) {
    return reinterpret_cast<std::uintptr_t>(at) % to == 0;
  };
  return major == 9 && p.m >= 1 && p.n >= 1 && p.k >= kStep && p.k % kStep == 0 &&
         p.m < 1LL << 31 && p.k < 1LL << 31 && p.n * (p.k / 2) < 1LL << 32 && aligned(p.a, 16) &&
         aligned(p.b_codes, 16) && aligned(p.b_scales, 4);
}

void launch_w4a16_wgmma(int columns, int rows, const GemmW4a16& p, cudaStream_t stream) {
  launch_w4a16_wgmma_grouped(columns, rows, p, nullptr, 0, stream);
}

void launch_w4a16_wgmma_grouped(int columns, int rows, const GemmW4a16& p, const RowTile* tiles,
                                std::int64_t count, cudaStream_t stream) {
  if (rows == 256)
    start<Shape<128, 2, 1>>(p, tiles, count, stream);
  else if (columns == 128)
    start<Shape<128, 1, 2>>(p, tiles, count, stream);
  else
    start<Shape<64, 1, 6>>(p, tiles, count, stream);
}

}  // namespace assay::kernels::cuda
