// SPDX-License-Identifier: Apache-2.0
// W4A16 of rearranged weights (w4a16_packed.h) for more than 16 rows of activations, on Hopper. The
// product is computed transposed, as in gemm_w4a16_wgmma.cu: weights are the A operand of wgmma,
// from registers, activations are B and arrive by the tensor copy engine. A warpgroup makes the
// fragments of a step while the matrix unit works on the step before. Few tiles: a cluster of
// blocks cuts k, and each adds its share of the rows.
#include <cooperative_groups.h>

#include "kernels/cuda/cluster_launch.h"
#include "kernels/cuda/gemm_w4a16_packed.cuh"
#include "kernels/cuda/packed_tile.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tile_order.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kStep = 64;      // of k in a stage: 128 bytes of bf16
constexpr int kThreads = 384;  // a warpgroup for the copies, two for the products
[[maybe_unused]] constexpr unsigned kAcross = 8;  // only sm_90a has the kernel

/// A block's part of the product: `columns` rows of activations by 64 weight rows for each of two
/// warpgroups; `cluster` blocks cut k. `batch` steps of 16 k go to the matrix unit at a time.
template <int columns_, int cluster_, int stages_, int batch_>
struct Shape {
  static constexpr int columns = columns_, cluster = cluster_, stages = stages_;
  [[maybe_unused]] static constexpr int batch = batch_;  // only sm_90a has the kernel
  static constexpr int rows = 128;
  static constexpr int stage_bytes = columns * kStep * 2;
  static constexpr int shared = stages * stage_bytes + 1024 + 16 * stages;
  static constexpr int own = rows / cluster;  // the sums that a block adds, [source][column][row]
  static constexpr int pitch = own + 4;
  static_assert(4 * cluster * columns * pitch <= stages * stage_bytes);
};

struct Launch {
  GemmW4a16 p;
  unsigned row_tiles, col_tiles;
};

#if ASSAY_HAS_WGMMA

namespace cg = cooperative_groups;

/// A block's turn through its stages of activations.
template <class S>
struct Pipeline {
  unsigned char* buffers;
  std::uint64_t *full, *empty;
  int first, tiles;  ///< of k: from tile `first` on, two stages each
};

/// By one thread: activations to the stages and, where a block sees each weight once, weights to
/// the cache well before the registers ask for them.
template <class S, Fp4Weights format>
__device__ void produce(const GemmW4a16& p, const CUtensorMap* activations, std::int64_t row0,
                        std::int64_t strip0, const Pipeline<S>& pipeline) {
  constexpr int ahead = 8;
  const std::int64_t across = (p.k + kPackedK - 1) / kPackedK;
  const std::int64_t strips = (p.n + kPackedRows - 1) / kPackedRows;
  const auto prefetch = [&](int tile, int count) {
    if (tile >= pipeline.tiles) return;
    for (std::int64_t s = strip0; s < min(strips, strip0 + S::rows / kPackedRows); ++s)
      asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(
                       p.packed + (s * across + pipeline.first + tile) * packed_bytes<format>)),
                   "r"(min(count, pipeline.tiles - tile) * packed_bytes<format>)
                   : "memory");
  };
  if constexpr (S::cluster > 1) prefetch(0, ahead);
  asm volatile("griddepcontrol.wait;" ::: "memory");
  for (int step = 0; step < 2 * pipeline.tiles; ++step) {
    const int stage = step % S::stages;
    if constexpr (S::cluster > 1)
      if (step % 4 == 0) prefetch(step / 2 + ahead, 2);
    if (step >= S::stages) barrier_wait(pipeline.empty + stage, (step / S::stages - 1) & 1);
    barrier_expect(pipeline.full + stage, S::stage_bytes);
    // What lies beyond k is zero, here as in the tiles of weights.
    copy_box(activations, pipeline.full + stage, pipeline.buffers + stage * S::stage_bytes,
             (2 * pipeline.first + step) * kStep, static_cast<int>(row0));
  }
}

/// A warp's strip of weight rows times the block's activations.
template <class S, Fp4Weights format>
__device__ void multiply(const GemmW4a16& p, std::int64_t strip, const Pipeline<S>& pipeline,
                         float (&sum)[S::columns / 2]) {
  const int lane = threadIdx.x % 32;
  const std::int64_t across = (p.k + kPackedK - 1) / kPackedK;
  const std::uint8_t* const first =
      p.packed + (strip * across + pipeline.first) * packed_bytes<format>;
  const std::uint8_t* codes = kept(first + lane * 16);
  const std::uint8_t* groups =
      kept(first + 1024 + lane / 4 * (4 * PackedTile<format>::scale_words));
#pragma unroll
  for (float& s : sum) s = 0.0F;
  if (pipeline.tiles == 0) return;
  PackedTile<format> w;
  w.load(codes, groups);
  const std::uint32_t high_bits = packed_high_bits();
  const unsigned buffers = shared_address(pipeline.buffers);
  int stage = 0;
  unsigned parity = 0;
  for (int tile = 0; tile < pipeline.tiles; ++tile) {
    // Of the next tile; the last one is loaded once more.
    const int on = tile + 1 < pipeline.tiles ? packed_bytes<format> : 0;
    codes += on;
    groups += on;
    PackedTile<format> next;  // its scale factors alone
    next.load_scales(groups);
    // The matrix unit reads one half while the other is made.
    std::uint32_t a[2][S::batch][4];
#pragma unroll
    for (int s = 0; s < kPackedSteps; s += S::batch) {
      auto& fragments = a[s / S::batch % 2];
#pragma unroll
      for (int i = 0; i < S::batch; ++i) {
        fragment_of<format, true>(w, s + i, high_bits, fragments[i]);
#pragma unroll
        for (std::uint32_t& r : fragments[i]) r = kept(r);  // before the fence
      }
      if ((s + S::batch) % 4 == 0) w.load_codes(codes, s / 4);
      if (s % 4 == 0) barrier_wait(pipeline.full + stage, parity);
      const std::uint64_t b = swizzled_descriptor(buffers + stage * S::stage_bytes);
      wgmma_fence();
#pragma unroll
      for (int i = 0; i < S::batch; ++i)
        wgmma_bf16<S::columns>(sum, fragments[i], b + (s + i) % 4 * (32 >> 4));
      wgmma_commit();
      wgmma_wait<1>();
      if (s % 4 == 0 && (s > 0 || tile > 0) && threadIdx.x % 128 == 0)  // the stage before is read
        barrier_arrive(pipeline.empty + (stage == 0 ? S::stages : stage) - 1);
      if ((s + S::batch) % 4 == 0 && ++stage == S::stages) {
        stage = 0;
        parity ^= 1;
      }
    }
#pragma unroll
    for (int i = 0; i < PackedTile<format>::scale_words; ++i) w.scales[i] = next.scales[i];
  }
  wgmma_wait<0>();
}

template <class S, Fp4Weights format>
__device__ void consume(const GemmW4a16& p, std::int64_t row0, std::int64_t col0, int rank,
                        const Pipeline<S>& pipeline) {
  const int thread = static_cast<int>(threadIdx.x) - 128;
  // Of the lane's first fragment row within the block.
  const int row = thread / 32 * kPackedRows + thread % 32 / 4;
  // Rows that are not there repeat the last ones.
  const std::int64_t strips = (p.n + kPackedRows - 1) / kPackedRows;
  float sum[S::columns / 2];
  multiply<S, format>(p, min(strips - 1, col0 / kPackedRows + row / kPackedRows), pipeline, sum);
  const float factor = p.alpha * p.tensor_scale;
  if constexpr (S::cluster == 1) {
#pragma unroll
    for (int i = 0; i < S::columns / 2; ++i) {
      const std::int64_t m = row0 + i / 4 * 8 + thread % 4 * 2 + i % 2;
      const std::int64_t n = col0 + row + i % 4 / 2 * 8;
      if (m < p.m && n < p.n) store_w4a16(p, factor, m, n, sum[i]);
    }
  } else {
    auto* const sums = reinterpret_cast<float*>(pipeline.buffers);
    cg::this_cluster().sync();  // all are done with their stages
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 8 * half;
      float* const to = cg::this_cluster().map_shared_rank(sums, r / S::own) +
                        rank * S::columns * S::pitch + r % S::own;
#pragma unroll
      for (int i = 0; i < S::columns / 4; ++i)
        to[(i / 2 * 8 + thread % 4 * 2 + i % 2) * S::pitch] = sum[i / 2 * 4 + half * 2 + i % 2];
    }
    cg::this_cluster().sync();
    for (int i = thread; i < S::own * S::columns; i += 256) {
      const std::int64_t m = row0 + i / S::own;
      const std::int64_t n = col0 + rank * S::own + i % S::own;
      if (m >= p.m || n >= p.n) continue;
      float total = 0.0F;
#pragma unroll
      for (int source = 0; source < S::cluster; ++source)
        total += sums[(source * S::columns + i / S::own) * S::pitch + i % S::own];
      store_w4a16(p, factor, m, n, total);
    }
  }
}

#endif

template <class S, Fp4Weights format>
__global__ void __launch_bounds__(kThreads, 1)
    packed_wgmma_kernel(Launch launch, const __grid_constant__ CUtensorMap activations) {
#if ASSAY_HAS_WGMMA
  extern __shared__ unsigned char raw[];
  unsigned char* const buffers = swizzled_stages(raw);
  auto* full = reinterpret_cast<std::uint64_t*>(buffers + S::stages * S::stage_bytes);
  auto* empty = full + S::stages;
  const GemmW4a16& p = launch.p;

  const TilePlace place =
      tile_place(blockIdx.x / S::cluster, launch.row_tiles, launch.col_tiles, kAcross);
  const int rank = static_cast<int>(blockIdx.x % S::cluster);
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, 2);
    }
    barriers_initialized();
  }
  __syncthreads();
  const int tiles = static_cast<int>((p.k + kPackedK - 1) / kPackedK);
  const int first = tiles * rank / S::cluster;
  const Pipeline<S> pipeline{buffers, full, empty, first, tiles * (rank + 1) / S::cluster - first};
  const std::int64_t row0 = std::int64_t{place.row} * S::columns;
  const std::int64_t col0 = std::int64_t{place.col} * S::rows;
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  if (threadIdx.x < 128) {
    give_registers<40>();
    if (threadIdx.x == 0) produce<S, format>(p, &activations, row0, col0 / kPackedRows, pipeline);
    __syncwarp();
    if constexpr (S::cluster > 1) {  // the two meetings of consume
      cg::this_cluster().sync();
      cg::this_cluster().sync();
    }
  } else {
    take_registers<232>();
    consume<S, format>(p, row0, col0, rank, pipeline);
  }
#endif
}

template <class S, Fp4Weights format>
void start(const Launch& launch, cudaStream_t stream) {
  const CUtensorMap map = tensor_map(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, launch.p.a, launch.p.m,
                                     launch.p.k, S::columns, kStep);
  const unsigned blocks = launch.row_tiles * launch.col_tiles * S::cluster;
  launch_clusters({"gemm_w4a16_packed_wgmma", blocks, kThreads, S::cluster, S::shared, true},
                  stream, packed_wgmma_kernel<S, format>, launch, map);
}

template <class S>
void start(const GemmW4a16& p, cudaStream_t stream) {
  const Launch launch{p, static_cast<unsigned>((p.m + S::columns - 1) / S::columns),
                      static_cast<unsigned>((p.n + S::rows - 1) / S::rows)};
  if (p.weights == Fp4Weights::nvfp4)
    start<S, Fp4Weights::nvfp4>(launch, stream);
  else
    start<S, Fp4Weights::mxfp4>(launch, stream);
}

}  // namespace

bool w4a16_packed_wgmma_takes(const GemmW4a16& p) {
  return p.packed != nullptr && w4a16_wgmma_takes(p);
}

void launch_w4a16_packed_wgmma(int columns, const GemmW4a16& p, cudaStream_t stream) {
  const std::int64_t tiles = (p.m + columns - 1) / columns * ((p.n + 127) / 128);
  if (columns == 256)
    start<Shape<256, 1, 6, 1>>(p, stream);
  else if (columns == 128)
    tiles <= 66 ? start<Shape<128, 2, 12, 2>>(p, stream) : start<Shape<128, 1, 12, 2>>(p, stream);
  else
    tiles <= 33 ? start<Shape<64, 4, 16, 4>>(p, stream) : start<Shape<64, 2, 16, 4>>(p, stream);
}

}  // namespace assay::kernels::cuda
