// SPDX-License-Identifier: Apache-2.0
// W4A16 for batches of at most 16, bound by the bytes of the weights and, once those flow, by the
// instructions that turn codes into bf16: hence weights rearranged ahead (w4a16_packed.h). A
// cluster of blocks owns a stripe of weight rows and cuts k among its blocks and their warps; a
// warp streams tiles of 16 rows x 128 k into registers, several ahead, and multiplies them as the A
// of mma.m16n8k16 with the activations, which lie in shared memory.
#include "kernels/cuda/batch_sums.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_w4a16_packed.cuh"
#include "kernels/cuda/w4a16_packed.h"

namespace assay::kernels::cuda {
namespace {

/// row_warps x k_warps warps make a block; `cluster` blocks share the rows and cut k.
template <int column_tiles_, int row_warps_, int k_warps_, int cluster_>
struct Shape {
  static constexpr int column_tiles = column_tiles_, row_warps = row_warps_, k_warps = k_warps_,
                       cluster = cluster_, row_tiles = 1;
  static constexpr int columns = 8 * column_tiles;
  static constexpr int rows = kPackedRows * row_warps;
  static constexpr int threads = 32 * row_warps * k_warps;
  static constexpr int ahead = 4;  // tiles in registers
  // Activations of a panel: at most 128 KiB, and the sums after it.
  static constexpr int tile_pieces = columns * kPackedK / 8;  // of 16 bytes
  static constexpr int panel_tiles = 128 * 1024 / (tile_pieces * 16);
  static constexpr int sum_pitch = rows + 4;
  static constexpr std::size_t sum_bytes = std::size_t{4} * k_warps * columns * sum_pitch;
  static constexpr std::size_t panel_bytes = std::size_t{16} * panel_tiles * tile_pieces;
  static constexpr std::size_t shared = sum_bytes > panel_bytes ? sum_bytes : panel_bytes;
  static_assert(panel_tiles % (k_warps * ahead) == 0 && rows % cluster == 0);
};

/// A lane's part of a tile.
template <Fp4Weights format>
struct Tile {
  static constexpr int scale_words = format == Fp4Weights::nvfp4 ? 4 : 2;
  uint4 codes[2];
  std::uint32_t scales[scale_words];
};

template <Fp4Weights format>
__device__ void load_tile(const GemmW4a16& p, std::int64_t tile, int lane, Tile<format>& to) {
  const auto* codes = reinterpret_cast<const uint4*>(p.packed_codes + tile * 256);
  to.codes[0] = __ldcs(codes + lane);
  to.codes[1] = __ldcs(codes + 32 + lane);
  // A row's groups, for rows lane / 4 and + 8.
  const std::uint8_t* scales =
      p.packed_scales + (tile * 8 + lane / 4) * (4 * Tile<format>::scale_words);
  if constexpr (format == Fp4Weights::nvfp4) {
    const uint4 words = __ldg(reinterpret_cast<const uint4*>(scales));
    to.scales[0] = words.x;
    to.scales[1] = words.y;
    to.scales[2] = words.z;
    to.scales[3] = words.w;
  } else {
    const uint2 words = __ldg(reinterpret_cast<const uint2*>(scales));
    to.scales[0] = words.x;
    to.scales[1] = words.y;
  }
}

/// Piece of 16 bytes that a lane reads for two steps: b0, b1 of the first and of the second. The
/// exclusive ors put what a warp writes at a time, 32 words of a column, into different banks, and
/// what it reads, a line of pieces, as well.
template <class S>
__device__ int piece_at(int line, int column, int quad) {
  return line * (S::columns * 4) + ((column * 4 + (quad ^ (column >> 1 & 3))) ^ (line & 7));
}

constexpr std::uint32_t kUp = 0x49004900U;  // 2^19 as bf16, twice
static_assert((0x4900 >> 7) - 127 == kPackedShift);

/// `count` tiles of activations times `factor`; the largest magnitudes among them, as bf16 pairs.
/// Columns beyond the batch stay as they are: what they hold reaches no output.
template <class S>
__device__ std::uint32_t fill_panel(const GemmW4a16& p, std::int64_t tile0, int count,
                                    std::uint32_t factor, std::uint32_t* words) {
  std::uint32_t largest = 0;
  for (int piece = threadIdx.x; piece < count * (kPackedK / 8); piece += S::threads) {
    const std::int64_t k = tile0 * kPackedK + std::int64_t{piece} * 8;
    const int line = piece / 4;
#pragma unroll 4
    for (int column = 0; column < static_cast<int>(p.m); ++column) {
      const uint4 v = k < p.k ? __ldg(reinterpret_cast<const uint4*>(p.a + column * p.k + k))
                              : uint4{0, 0, 0, 0};
      const std::uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int quad = 0; quad < 4; ++quad) {
        largest = __vmaxu2(largest, pairs[quad] & 0x7FFF7FFFU);
        words[piece_at<S>(line, column, quad) * 4 + piece % 4] =
            multiply_bf16x2(pairs[quad], factor);
      }
    }
  }
  return largest;
}

/// `count` tiles of activations times 2^19; true, to all threads, where one is too large for that:
/// then they are as they were.
template <class S>
__device__ bool load_panel(const GemmW4a16& p, std::int64_t tile0, int count, uint4* panel) {
  auto* words = reinterpret_cast<std::uint32_t*>(panel);
  const std::uint32_t largest = fill_panel<S>(p, tile0, count, kUp, words);
  // Above this, 2^19 overflows; infinities and NaN may take the long way too.
  constexpr std::uint32_t limit = (254U - kPackedShift) << 7 | 0x7FU;
  const bool large =
      __syncthreads_or((largest & 0xFFFFU) > limit || largest >> 16 > limit ? 1 : 0) != 0;
  if (large) {
    fill_panel<S>(p, tile0, count, 0x3F803F80U, words);
    __syncthreads();
  }
  return large;
}

__device__ void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                    std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ std::uint32_t word(const uint4 (&v)[2], int i) {
  const uint4& half = v[i / 4];
  return i % 4 == 0 ? half.x : i % 4 == 1 ? half.y : i % 4 == 2 ? half.z : half.w;
}

/// `large`: the activations are as they were, so the weights take the 2^19.
template <class S, Fp4Weights format, bool large>
__device__ void multiply_tile(const Tile<format>& w, const uint4* panel, int tile, int lane,
                              float (&sum)[1][S::column_tiles][4]) {
#pragma unroll
  for (int step_pair = 0; step_pair < kPackedSteps / 2; ++step_pair) {
    uint4 b[S::column_tiles];
#pragma unroll
    for (int c = 0; c < S::column_tiles; ++c)
      b[c] = panel[piece_at<S>(tile * (kPackedSteps / 2) + step_pair, 8 * c + lane / 4, lane % 4)];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int step = 2 * step_pair + e;
      const std::uint32_t both = format == Fp4Weights::nvfp4
                                     ? unpack_ue4m3(w.scales[step / 2], step % 2)
                                     : unpack_e8m0(w.scales[step / 4], step / 2 % 2);
      const std::uint32_t scale[2] = {__byte_perm(both, 0, 0x1010), __byte_perm(both, 0, 0x3232)};
      std::uint32_t a[4];
      unpack_pairs(word(w.codes, step), a);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a[i] = multiply_bf16x2(a[i], scale[i % 2]);
        if constexpr (large) a[i] = multiply_bf16x2(a[i], kUp);
      }
#pragma unroll
      for (int c = 0; c < S::column_tiles; ++c)
        mma(sum[0][c], a, e == 0 ? b[c].x : b[c].z, e == 0 ? b[c].y : b[c].w);
    }
  }
}

template <class S, Fp4Weights format>
__global__ void __launch_bounds__(S::threads) packed_kernel(GemmW4a16 p) {
#if ASSAY_HAS_CLUSTERS
  extern __shared__ uint4 shared[];
  const int lane = threadIdx.x % 32;
  const int row_warp = threadIdx.x / 32 % S::row_warps;
  const int k_warp = threadIdx.x / 32 / S::row_warps;
  const int rank =
      S::cluster == 1 ? 0 : static_cast<int>(cooperative_groups::this_cluster().block_rank());
  const std::int64_t row0 = std::int64_t{blockIdx.x} / S::cluster * S::rows;
  const std::int64_t tiles = (p.k + kPackedK - 1) / kPackedK;
  const std::int64_t begin = tiles * rank / S::cluster;
  const std::int64_t end = tiles * (rank + 1) / S::cluster;
  // Rows that are not there repeat the last ones.
  const std::int64_t strips = (p.n + kPackedRows - 1) / kPackedRows;
  const std::int64_t strip = min(strips - 1, row0 / kPackedRows + row_warp);

  float sum[1][S::column_tiles][4] = {};
  Tile<format> ring[S::ahead];
  const auto load = [&](std::int64_t tile, Tile<format>& to) {
    if (tile < end) load_tile<format>(p, strip * tiles + tile, lane, to);
  };
#pragma unroll
  for (int i = 0; i < S::ahead; ++i) load(begin + k_warp + i * S::k_warps, ring[i]);
  for (std::int64_t panel = begin; panel < end; panel += S::panel_tiles) {
    const int count = static_cast<int>(min(std::int64_t{S::panel_tiles}, end - panel));
    if (panel != begin) __syncthreads();  // the last panel has been read
    const bool large = load_panel<S>(p, panel, count, shared);
    for (int first = k_warp; first < count; first += S::ahead * S::k_warps)
#pragma unroll
      for (int i = 0; i < S::ahead; ++i) {
        const int tile = first + i * S::k_warps;
        if (tile >= count) break;
        if (large)
          multiply_tile<S, format, true>(ring[i], shared, tile, lane, sum);
        else
          multiply_tile<S, format, false>(ring[i], shared, tile, lane, sum);
        load(panel + tile + S::ahead * S::k_warps, ring[i]);
      }
  }
  add_and_store<S>(p, reinterpret_cast<float*>(shared), row0, rank, row_warp, k_warp, sum);
#endif
}

template <class S, Fp4Weights format>
void launch(const GemmW4a16& p, cudaStream_t stream) {
  const auto kernel = packed_kernel<S, format>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::shared),
        "gemm_w4a16_packed");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>((p.n + S::rows - 1) / S::rows * S::cluster));
  config.blockDim = dim3(S::threads);
  config.dynamicSmemBytes = S::shared;
  config.stream = stream;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {S::cluster, 1, 1};
  config.attrs = &cluster;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, p), "gemm_w4a16_packed");
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
  return p.packed_codes != nullptr && w4a16_batch_takes(columns, p);
}

void launch_w4a16_packed(int columns, const GemmW4a16& p, cudaStream_t stream) {
  if (columns == 8)
    launch<Shape<1, 4, 4, 1>>(p, stream);
  else
    launch<Shape<2, 8, 2, 2>>(p, stream);
}

}  // namespace assay::kernels::cuda
