// SPDX-License-Identifier: Apache-2.0
// W4A16 for large m on Hopper. The product is computed transposed: the weights are the A operand of
// wgmma, which may come from registers, so FP4 becomes bf16 without a trip through shared memory;
// the activations are B and arrive by the tensor copy engine. Two warpgroups own the weight rows;
// one converts its fragments while the matrix unit works for the other.
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
template <int columns_, int row_tiles_>
struct Shape {
  static constexpr int columns = columns_, row_tiles = row_tiles_;
  static constexpr int rows = 128 * row_tiles;
  static constexpr int stages = 8;
  static constexpr int stage_bytes = columns * kStep * 2;
  static constexpr int shared = stages * stage_bytes + 1024 + 16 * stages;
};

struct Launch {
  GemmW4a16 p;
  const RowTile* tiles;  ///< null: one group, tiles in order
  unsigned row_tiles, col_tiles;
};

#if ASSAY_HAS_WGMMA

/// A step's weights of two rows, as they are in memory; the four lanes of a row hold the same.
struct Packed {
  std::uint32_t codes[2][8];
  std::uint32_t scales[2];
};

template <Fp4Weights format>
__device__ Packed load_packed(const std::uint8_t* const (&codes)[2],
                              const std::uint8_t* const (&scales)[2], std::int64_t k) {
  Packed w;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto* from = reinterpret_cast<const uint4*>(codes[half] + k / 2);
    const uint4 low = __ldg(from);
    const uint4 high = __ldg(from + 1);
    const std::uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) w.codes[half][i] = words[i];
    const std::uint8_t* scale = scales[half] + k / fp4_group<format>;
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
  std::uint64_t *full, *empty;
  int row, steps;

  __device__ void fetch(int step) const {
    const int stage = step % S::stages;
    barrier_expect(full + stage, S::stage_bytes);
    copy_box(activations, full + stage, buffers + stage * S::stage_bytes, step * kStep, row);
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
  const std::uint8_t* codes[S::row_tiles][2];
  const std::uint8_t* scales[S::row_tiles][2];
  Packed packed[S::row_tiles];
  std::uint32_t a[S::row_tiles][4][4];
  float sum[S::row_tiles][columns / 2];
#pragma unroll
  for (int t = 0; t < S::row_tiles; ++t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t inside = tile.group * p.n + min(row + 64 * t + 8 * half, p.n - 1);
      codes[t][half] = p.b_codes + inside * (p.k / 2);
      scales[t][half] = p.b_scales + inside * (p.k / fp4_group<format>);
    }
    packed[t] = load_packed<format>(codes[t], scales[t], 0);
#pragma unroll
    for (float& s : sum[t]) s = 0.0F;
  }
  for (int step = 0; step < pipeline.steps; ++step) {
    const int stage = step % S::stages;
#pragma unroll
    for (int t = 0; t < S::row_tiles; ++t) {
      convert<format>(packed[t], pick, a[t]);
      if (step + 1 < pipeline.steps)
        packed[t] = load_packed<format>(codes[t], scales[t], std::int64_t{step + 1} * kStep);
    }
    barrier_wait(pipeline.full + stage, step / S::stages & 1);
    const std::uint64_t b =
        swizzled_descriptor(shared_address(pipeline.buffers + stage * S::stage_bytes));
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int t = 0; t < S::row_tiles; ++t)
        wgmma_bf16<columns>(sum[t], a[t][k], b + k * (32 >> 4));
    wgmma_commit();
    wgmma_wait<0>();
    if (threadIdx.x % 128 == 0) barrier_arrive(pipeline.empty + stage);
    if (threadIdx.x == 0) pipeline.refill(step);
  }

  const float factor =
      p.alpha * (p.group_scales != nullptr ? p.group_scales[tile.group] : p.tensor_scale);
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
  unsigned char* const buffers = swizzled_stages(raw);
  auto* full = reinterpret_cast<std::uint64_t*>(buffers + S::stages * S::stage_bytes);
  auto* empty = full + S::stages;

  const TilePlace place = tile_place(blockIdx.x, launch.row_tiles, launch.col_tiles, kAcross);
  const std::int64_t first = std::int64_t{place.row} * S::columns;
  const RowTile tile = launch.tiles != nullptr
                           ? launch.tiles[place.row]
                           : RowTile{first, min(launch.p.m, first + S::columns), 0};
  if (tile.row0 >= tile.end) return;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, 2);
    }
    barriers_initialized();
  }
  __syncthreads();
  const Pipeline<S> pipeline{&activations,
                             buffers,
                             full,
                             empty,
                             static_cast<int>(tile.row0),
                             static_cast<int>(launch.p.k / kStep)};
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
  kernel<<<launch.row_tiles * launch.col_tiles, kThreads, S::shared, stream>>>(launch, map);
  check(cudaGetLastError(), "gemm_w4a16_wgmma");
}

template <class S>
void start(const GemmW4a16& p, const RowTile* tiles, std::int64_t count, cudaStream_t stream) {
  const Launch launch{
      p, tiles,
      static_cast<unsigned>(tiles != nullptr ? count : (p.m + S::columns - 1) / S::columns),
      static_cast<unsigned>((p.n + S::rows - 1) / S::rows)};
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
         p.m < 1LL << 31 && p.k < 1LL << 31 && aligned(p.a, 16) && aligned(p.b_codes, 16) &&
         aligned(p.b_scales, 4);
}

void launch_w4a16_wgmma(int columns, int rows, const GemmW4a16& p, cudaStream_t stream) {
  launch_w4a16_wgmma_grouped(columns, rows, p, nullptr, 0, stream);
}

void launch_w4a16_wgmma_grouped(int columns, int rows, const GemmW4a16& p, const RowTile* tiles,
                                std::int64_t count, cudaStream_t stream) {
  if (rows == 256)
    start<Shape<128, 2>>(p, tiles, count, stream);
  else if (columns == 128)
    start<Shape<128, 1>>(p, tiles, count, stream);
  else
    start<Shape<64, 1>>(p, tiles, count, stream);
}

}  // namespace assay::kernels::cuda
