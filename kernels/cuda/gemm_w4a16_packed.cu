// SPDX-License-Identifier: Apache-2.0
// W4A16 for batches of at most 16, bound by the bytes of the weights and, once those flow, by the
// instructions that turn codes into bf16: hence weights rearranged ahead (w4a16_packed.h). A
// cluster of blocks owns a stripe of weight rows and cuts k among its blocks and their warps. A
// warp streams tiles of 16 rows x 128 k into registers, several ahead, and multiplies them as the A
// of mma.m16n8k16. The activations follow through shared memory in chunks of k, one being
// multiplied while the next is on its way. Partial sums go straight to the block that adds them, in
// one fixed order. The kernel begins while the one before it ends (programmatic dependent launch),
// so weights are on their way when the activations are there.
#include <cooperative_groups.h>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/batch_sums.cuh"
#include "kernels/cuda/cluster_launch.h"
#include "kernels/cuda/gemm_w4a16_packed.cuh"
#include "kernels/cuda/packed_activations.cuh"
#include "kernels/cuda/packed_tile.cuh"

namespace assay::kernels::cuda {
namespace {

namespace cg = cooperative_groups;

/// row_warps x k_warps warps make a block; `cluster` blocks share the rows and cut k. Of a chunk of
/// k each warp has `ahead` tiles, and as many in registers.
template <int column_tiles_, int row_warps_, int k_warps_, int cluster_, int ahead_, int blocks_>
struct Shape {
  static constexpr int column_tiles = column_tiles_, row_warps = row_warps_, k_warps = k_warps_,
                       cluster = cluster_, ahead = ahead_, blocks = blocks_;
  static constexpr int columns = 8 * column_tiles;
  static constexpr int rows = kPackedRows * row_warps;
  static constexpr int threads = 32 * row_warps * k_warps;
  static constexpr int chunk_tiles = ahead * k_warps;
  static constexpr int line_bytes = columns * 64;  // of 32 k of activations
  static constexpr int chunk_pieces = columns * chunk_tiles * kPackedK / 8;  // of 16 bytes
  static constexpr int own_pieces = chunk_pieces / threads;                  // a thread's
  // Sums that others send: `own` rows, from every block and every warp that cuts k.
  static constexpr int own = rows / cluster;
  static constexpr int sources = cluster * k_warps;
  static constexpr int sum_pitch = own + 4;
  static constexpr int sums_at = 2 * 16 * chunk_pieces;
  static constexpr int barrier_at = sums_at + 4 * sources * columns * sum_pitch;
  static constexpr int shared = barrier_at + 8;
  static_assert(rows % cluster == 0 && chunk_tiles % 2 == 0 && chunk_pieces % threads == 0);
};

#if ASSAY_HAS_CLUSTERS

__device__ void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                    std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// A tile times its activations, a lane's piece of the first line of which is at `panel`, and an
/// odd tile's pieces are swizzled otherwise. `large`: the activations are as they were, so the
/// weights take the 2^19.
template <class S, Fp4Weights format, bool large>
__device__ void multiply_tile(const PackedTile<format>& w, unsigned panel, int odd,
                              std::uint32_t high_bits, float (&sum)[S::column_tiles][4]) {
#pragma unroll
  for (int line = 0; line < kPackedSteps / 2; ++line) {
    uint4 b[S::column_tiles];
#pragma unroll
    for (int c = 0; c < S::column_tiles; ++c)
      b[c] = load_shared(((panel + c * 512) ^ ((4 * odd + line) * 16)) + line * S::line_bytes);
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      std::uint32_t a[4];
      fragment_of<format, large>(w, 2 * line + e, high_bits, a);
#pragma unroll
      for (int c = 0; c < S::column_tiles; ++c)
        mma(sum[c], a, e == 0 ? b[c].x : b[c].z, e == 0 ? b[c].y : b[c].w);
    }
  }
}

/// A warp's sums to the blocks that own their rows, [source][column][row]; each word counts at the
/// barrier of its block.
template <class S>
__device__ void send_sums(const GemmW4a16& p, unsigned base, int source, int row_warp, int lane,
                          const float (&sum)[S::column_tiles][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row_warp * kPackedRows + half * 8 + lane / 4;
    unsigned to = 0;  // the other block's shared memory
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(to) : "r"(base), "r"(row / S::own));
    const unsigned at = to + S::sums_at + 4 * (source * S::columns * S::sum_pitch + row % S::own);
#pragma unroll
    for (int c = 0; c < S::column_tiles; ++c)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int column = c * 8 + lane % 4 * 2 + i;
        if (column < p.m)
          asm volatile(
              "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(
                  at + 4 * column * S::sum_pitch),
              "r"(__float_as_uint(sum[c][2 * half + i])), "r"(to + S::barrier_at)
              : "memory");
      }
  }
}

#endif

template <class S, Fp4Weights format>
__global__ void __launch_bounds__(S::threads, S::blocks) packed_kernel(GemmW4a16 p) {
#if ASSAY_HAS_CLUSTERS
  extern __shared__ uint4 shared[];
  auto* const sums = reinterpret_cast<float*>(shared) + S::sums_at / 4;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int row_warp = warp % S::row_warps;
  const int k_warp = warp / S::row_warps;
  const int rank = S::cluster == 1 ? 0 : static_cast<int>(cg::this_cluster().block_rank());
  const std::int64_t row0 = std::int64_t{blockIdx.x} / S::cluster * S::rows;
  const std::int64_t tiles = (p.k + kPackedK - 1) / kPackedK;
  const std::int64_t begin = tiles * rank / S::cluster;
  const std::int64_t end = tiles * (rank + 1) / S::cluster;
  // Rows that are not there repeat the last ones.
  const std::int64_t strips = (p.n + kPackedRows - 1) / kPackedRows;
  const std::int64_t strip = min(strips - 1, row0 / kPackedRows + row_warp);

  // Of the warp's strip, its first tile.
  const std::uint8_t* const first =
      p.packed + (strip * tiles + begin + k_warp * S::ahead) * packed_bytes<format>;
  const std::uint8_t* from = kept(first + lane * 16);
  const std::uint8_t* groups =
      kept(first + 1024 + lane / 4 * (4 * PackedTile<format>::scale_words));
  const int share = static_cast<int>(end - begin);
  PackedTile<format> ring[S::ahead];
#pragma unroll
  for (int i = 0; i < S::ahead; ++i)
    if (k_warp * S::ahead + i < share)
      ring[i].load(from + i * packed_bytes<format>, groups + i * packed_bytes<format>);
  auto* const barrier = reinterpret_cast<std::uint64_t*>(sums) + (S::barrier_at - S::sums_at) / 8;
  if (threadIdx.x == 0) {
    barrier_init(barrier, 1);
    barriers_initialized();
  }
  // Sums may only be sent to a block that runs and has its barrier.
  asm volatile("barrier.cluster.arrive.relaxed.aligned;");
  // The next kernel may begin to fetch its weights. What this one reads from here on, and where it
  // writes, may be of the kernel before it.
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");

  const std::uint32_t high_bits = packed_high_bits();
  float sum[S::column_tiles][4] = {};
  const auto base = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const unsigned own_piece =
      kept(piece_at<S>(0, lane / 4, lane % 4) + k_warp * S::ahead * 4 * S::line_bytes);
  ActivationPieces<S> pieces(p, begin);
  pieces.load(p);
  bool large = publish<S>(pieces, static_cast<int>(p.m), base);
  if (threadIdx.x == 0) barrier_expect(barrier, 4 * S::sources * static_cast<int>(p.m) * S::own);
  unsigned buffer = base;
  for (int chunk = 0; chunk < share; chunk += S::chunk_tiles) {
    const bool more = chunk + S::chunk_tiles < share;
    if (more) pieces.load(p);
    from = kept(from + S::chunk_tiles * packed_bytes<format>);
    groups = kept(groups + S::chunk_tiles * packed_bytes<format>);
#pragma unroll
    for (int i = 0; i < S::ahead; ++i) {
      const int tile = chunk + k_warp * S::ahead + i;
      if (tile >= share) break;
      const unsigned panel = buffer + own_piece + i * (4 * S::line_bytes);
      if (large)
        multiply_tile<S, format, true>(ring[i], panel, i % 2, high_bits, sum);
      else
        multiply_tile<S, format, false>(ring[i], panel, i % 2, high_bits, sum);
      if (tile + S::chunk_tiles < share)
        ring[i].load(from + i * packed_bytes<format>, groups + i * packed_bytes<format>);
    }
    buffer ^= base ^ (base + 16 * S::chunk_pieces);
    if (more) large = publish<S>(pieces, static_cast<int>(p.m), buffer);
  }
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  send_sums<S>(p, base, rank * S::k_warps + k_warp, row_warp, lane, sum);
  barrier_wait(barrier, 0);

  const float factor = p.alpha * p.tensor_scale;
  for (int i = threadIdx.x; i < S::own * S::columns; i += S::threads) {
    const int column = i / S::own;
    const std::int64_t row = row0 + rank * S::own + i % S::own;
    if (column >= p.m || row >= p.n) continue;
    float total = 0.0F;
#pragma unroll
    for (int source = 0; source < S::sources; ++source)
      total += sums[(source * S::columns + column) * S::sum_pitch + i % S::own];
    store_w4a16(p, factor, column, row, total);
  }
#endif
}

template <class S, Fp4Weights format>
void launch(const GemmW4a16& p, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((p.n + S::rows - 1) / S::rows * S::cluster);
  launch_clusters({"gemm_w4a16_packed", blocks, S::threads, S::cluster, S::shared, true}, stream,
                  packed_kernel<S, format>, p);
}

template <class S>
void launch(const GemmW4a16& p, cudaStream_t stream) {
  if (p.weights == Fp4Weights::nvfp4)
    launch<S, Fp4Weights::nvfp4>(p, stream);
  else
    launch<S, Fp4Weights::mxfp4>(p, stream);
}

}  // namespace

bool w4a16_packed_takes(int columns, const GemmW4a16& p) {
  return p.packed != nullptr && w4a16_batch_takes(columns, p);
}

void launch_w4a16_packed(int columns, const GemmW4a16& p, cudaStream_t stream) {
  // Few rows: more blocks share them, as long as all clusters find a place at once, 60 on an H200.
  const bool few = p.n <= 56 * 64;
  if (columns == 8)
    few ? launch<Shape<1, 4, 2, 4, 4, 2>>(p, stream) : launch<Shape<1, 4, 2, 2, 4, 2>>(p, stream);
  else
    few ? launch<Shape<2, 4, 2, 4, 2, 2>>(p, stream) : launch<Shape<2, 8, 2, 2, 4, 1>>(p, stream);
}

}  // namespace assay::kernels::cuda
