// SPDX-License-Identifier: Apache-2.0
// W4A8 on Hopper's FP8 matrix unit. A block stays on its multiprocessor and takes tile after tile:
// one warp lets the copy engine fill a ring of stages, 128 columns of k each, and two warpgroups
// multiply, each its own rows. The unit keeps 13 fraction bits, so its sums leave it every
// `promotion` columns and join FP32 registers, times the scale factors; while one warpgroup does
// that, the unit works for the other.
#include "kernels/cuda/check.h"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/gemm_w4a8.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kStep = 128;     // of k: a stage, 128 bytes a row, and a block of A's scale factors
constexpr int kUnitStep = 32;  // of k: one wgmma
constexpr int kColumns = 128;  // rows of B in a tile, columns of D
constexpr int kThreads = 384;  // a warpgroup that copies and two that multiply
constexpr int kConsumers = 2;  // warpgroups
[[maybe_unused]] constexpr unsigned kAcross = 8;  // only sm_90a has the kernel
constexpr int kMostShared = 227 * 1024;
static_assert(kStep % kUnitStep == 0);

/// `halves`: tiles of 64 rows of A that a multiplying warpgroup owns.
template <int halves_, int promotion_, W4a8Scales kind_>
struct Shape {
  static constexpr int halves = halves_, promotion = promotion_;
  static constexpr W4a8Scales kind = kind_;
  static constexpr int rows = 64 * halves * kConsumers;
  static constexpr int scale_rows = kind == W4a8Scales::fine ? kStep / 32 : 1;
  static constexpr int a_bytes = rows * kStep, b_bytes = kColumns * kStep;
  static constexpr int scale_bytes = scale_rows * kColumns * 4;
  static constexpr int stage_bytes = a_bytes + b_bytes + scale_bytes;
  // The swizzle repeats every 1024 bytes, so matrices lie at multiples of that; scale factors lie
  // behind all of them. 16 bytes a stage are its two barriers; the last
  // 16 are those of taking turns.
  static constexpr int stages = (kMostShared - 1024 - 16) / (stage_bytes + 16);
  static constexpr int shared = stages * (stage_bytes + 16) + 1024 + 16;
  static constexpr int chunk = promotion == 0 ? kStep : promotion;
  static_assert(a_bytes % 1024 == 0 && b_bytes % 1024 == 0 && stages >= 3);
  static_assert(kind != W4a8Scales::fine || promotion == 32, "a scale factor lasts 32 columns");
  static_assert(kStep % chunk == 0 && chunk % kUnitStep == 0);
};

struct Launch {
  GemmW4a8 p;
  const RowTile* tiles;  ///< null: one group, tiles in order
  unsigned row_tiles, col_tiles;
};

#if ASSAY_HAS_WGMMA

/// Bytes of one line, 16 and aligned to 16.
__device__ void copy_line(const void* from, std::uint64_t* barrier, void* to, unsigned bytes) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

/// The ring of stages in shared memory.
template <class S>
struct Ring {
  unsigned char* base;

  __device__ unsigned char* a(int stage) const { return base + stage * S::a_bytes; }
  __device__ unsigned char* b(int stage) const {
    return base + S::stages * S::a_bytes + stage * S::b_bytes;
  }
  __device__ float* scales(int stage) const {
    return reinterpret_cast<float*>(base + S::stages * (S::a_bytes + S::b_bytes) +
                                    stage * S::scale_bytes);
  }
  __device__ std::uint64_t* full(int stage) const {
    return reinterpret_cast<std::uint64_t*>(base + S::stages * S::stage_bytes) + stage;
  }
  __device__ std::uint64_t* empty(int stage) const { return full(S::stages) + stage; }
  __device__ std::uint64_t* turn(int warpgroup) const { return empty(S::stages) + warpgroup; }
};

/// Which stage is next, and in which round: both sides count alike.
template <class S>
struct Turn {
  int stage = 0;
  unsigned round = 0;
  __device__ void next() {
    if (++stage < S::stages) return;
    stage = 0;
    round ^= 1;
  }
};

/// The tiles of this block in order; f(tile, first row of B).
template <class S, class F>
__device__ void for_tiles(const Launch& launch, F f) {
  for (unsigned i = blockIdx.x; i < launch.row_tiles * launch.col_tiles; i += gridDim.x) {
    const TilePlace place = tile_place(i, launch.row_tiles, launch.col_tiles, kAcross);
    const std::int64_t first = std::int64_t{place.row} * S::rows;
    const RowTile tile = launch.tiles != nullptr
                             ? launch.tiles[place.row]
                             : RowTile{first, min(launch.p.m, first + S::rows), 0};
    if (tile.row0 < tile.end) f(tile, std::int64_t{place.col} * kColumns);
  }
}

template <class S>
__device__ void produce(const Launch& launch, const CUtensorMap* a, const CUtensorMap* b,
                        const Ring<S>& ring) {
  const W4a8Weights& w = launch.p.b;
  Turn<S> turn;
  for_tiles<S>(launch, [&](const RowTile& tile, std::int64_t col0) {
    const float* scales = w.scales + tile.group * w.scale_rows() * w.padded_n() + col0;
    const int b_row = static_cast<int>(tile.group * w.n + col0);
    const int steps = static_cast<int>(w.padded_k() / kStep);
    for (int step = 0; step < steps; ++step) {
      barrier_wait(ring.empty(turn.stage), turn.round ^ 1);  // of a fresh ring: at once
      std::uint64_t* full = ring.full(turn.stage);
      barrier_expect(full, S::stage_bytes);
      copy_box(a, full, ring.a(turn.stage), step * kStep, static_cast<int>(tile.row0));
      copy_box(b, full, ring.b(turn.stage), step * kStep, b_row);
#pragma unroll
      for (int i = 0; i < S::scale_rows; ++i)
        copy_line(scales + (step * S::scale_rows + i) * w.padded_n(), full,
                  ring.scales(turn.stage) + i * kColumns, kColumns * 4);
      turn.next();
    }
  });
}

/// Two warpgroups that start together stay together: they would wait for the unit at the same time
/// and promote at the same time. So they take turns at giving it work, where a turn is a whole
/// stage; with two halves there are no registers left for it (the compiler would let a half's
/// promotion overtake the wait).
template <class S>
struct TakingTurns {
  static constexpr bool on = S::halves == 1 && S::chunk == kStep;
  const Ring<S>& ring;
  int own;  ///< warpgroup; 0 begins
  unsigned parity = 0;

  __device__ void wait() {
    if constexpr (on) {
      barrier_wait(ring.turn(own), parity);
      parity ^= 1;
    }
  }
  __device__ void pass() const {
    if constexpr (on) {
      __syncwarp();
      if (threadIdx.x % 32 == 0) barrier_arrive(ring.turn(1 - own));
    }
  }
};

/// One promotion: sum += part * the scale factors of its row and column.
template <class S>
__device__ void promote(float (&sum)[kColumns / 2], const float (&part)[kColumns / 2],
                        const float (&row_scale)[2], const float* column_scales) {
  if constexpr (S::kind == W4a8Scales::block) {
    const float scale[2] = {row_scale[0] * column_scales[0], row_scale[1] * column_scales[0]};
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sum[i] = __fmaf_rn(part[i], scale[i % 4 / 2], sum[i]);
  } else {
    const float2* pairs = reinterpret_cast<const float2*>(column_scales) + threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < kColumns / 2; i += 4) {
      const float2 column = pairs[i];  // columns 2 i + 2 (lane % 4) and the next
#pragma unroll
      for (int e = 0; e < 4; ++e)
        sum[i + e] = __fmaf_rn(part[i + e], row_scale[e / 2] * (e % 2 == 0 ? column.x : column.y),
                               sum[i + e]);
    }
  }
}

__device__ void store(const GemmW4a8& p, std::int64_t row, std::int64_t col, const float (&sum)[2],
                      bool both) {
  float result[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (i == 1 && !both) break;
    result[i] = p.alpha * sum[i];
    if (p.c != nullptr) result[i] += p.beta * p.c[row * p.b.n + col + i];
    if (p.bias != nullptr) result[i] += p.bias[col + i];
  }
  const std::int64_t at = row * p.b.n + col;
  const bool paired = both && at % 2 == 0;
  if (p.d_bf16 != nullptr) {
    const __nv_bfloat16 low = __float2bfloat16_rn(result[0]);
    const __nv_bfloat16 high = __float2bfloat16_rn(both ? result[1] : 0.0F);
    if (paired)
      *reinterpret_cast<std::uint32_t*>(p.d_bf16 + at) =
          __bfloat16_as_ushort(low) | std::uint32_t{__bfloat16_as_ushort(high)} << 16;
    else
      p.d_bf16[at] = __bfloat16_as_ushort(low);
    if (both && !paired) p.d_bf16[at + 1] = __bfloat16_as_ushort(high);
  } else if (paired) {
    *reinterpret_cast<float2*>(p.d + at) = {result[0], result[1]};
  } else {
    p.d[at] = result[0];
    if (both) p.d[at + 1] = result[1];
  }
}

/// A warpgroup's 64 rows of a tile that lies inside D, as bf16. Two lanes exchange pairs, so that
/// the four lanes of a row write 32 bytes at a time.
__device__ void store_inside_bf16(const GemmW4a8& p, std::int64_t row0, std::int64_t col0,
                                  const float (&sum)[kColumns / 2]) {
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const bool odd = thread % 2 != 0;
  const FragmentPlace first = wgmma_place(thread, 0);
  // Even lanes have columns 0 .. 3 or 4 .. 7 of a block of eight, odd lanes of the next.
  const std::int64_t col = col0 + (odd ? 8 : 0) + thread % 4 / 2 * 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::uint16_t* to = p.d_bf16 + (row0 + first.row + 8 * half) * p.b.n + col;
#pragma unroll
    for (int i = 2 * half; i < kColumns / 2; i += 8) {
      std::uint32_t pair[2];
#pragma unroll
      for (int block = 0; block < 2; ++block) {
        const int at = i + 4 * block;
        const __nv_bfloat162 x = __floats2bfloat162_rn(p.alpha * sum[at], p.alpha * sum[at + 1]);
        pair[block] = *reinterpret_cast<const std::uint32_t*>(&x);
      }
      const std::uint32_t other = __shfl_xor_sync(0xFFFFFFFFU, odd ? pair[0] : pair[1], 1);
      const uint2 out = odd ? uint2{other, pair[1]} : uint2{pair[0], other};
      *reinterpret_cast<uint2*>(to + i / 4 * 8) = out;
    }
  }
}

/// The scale factors of the lane's two rows in a half, one block of k ahead; rows that are not
/// there borrow the last one's.
struct RowScales {
  const std::uint8_t* at[2];
  std::uint8_t next[2];

  __device__ RowScales(const GemmW4a8& p, const RowTile& tile, std::int64_t row0, int thread,
                       int steps) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      at[i] = p.a_scales + min(row0 + wgmma_place(thread, 2 * i).row, tile.end - 1) * steps;
      next[i] = __ldg(at[i]);
    }
  }
  __device__ void take(int step, int steps, float (&scale)[2]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      scale[i] = decode_e8m0(next[i]);
      if (step + 1 < steps) next[i] = __ldg(at[i] + step + 1);
    }
  }
};

/// S::chunk columns of k from `k` on, of 64 rows from `row` on.
template <class S>
__device__ void start_chain(const Ring<S>& ring, int stage, int row, int k, bool go_on,
                            float (&part)[kColumns / 2]) {
  const std::uint64_t a = swizzled_descriptor(shared_address(ring.a(stage) + row * kStep));
  const std::uint64_t b = swizzled_descriptor(shared_address(ring.b(stage)));
  wgmma_fence();
#pragma unroll
  for (int u = 0; u < S::chunk; u += kUnitStep)
    wgmma_e4m3<kColumns>(part, a + (k + u) / 16, b + (k + u) / 16, u > 0 || go_on);
  wgmma_commit();
}
template <int pending>
__device__ void finish_chain(float (&part)[kColumns / 2]) {
  wgmma_wait<pending>();
#pragma unroll
  for (float& x : part) asm volatile("" : "+f"(x)::"memory");  // not read before the wait
}
template <class S>
__device__ const float* scales_of(const Ring<S>& ring, int stage, int k) {
  return ring.scales(stage) + (S::scale_rows == 1 ? 0 : k / 32 * kColumns);
}
template <class S>
__device__ void leave_stage(const Ring<S>& ring, Turn<S>& turn) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) barrier_arrive(ring.empty(turn.stage));
  turn.next();
}

/// A tile's sums, chain by chain.
template <class S>
__device__ void multiply(const Ring<S>& ring, Turn<S>& turn, TakingTurns<S>& turns, int own_row,
                         int steps, RowScales (&rows)[S::halves],
                         float (&sum)[S::halves][kColumns / 2]) {
  float part[kColumns / 2];
  for (int step = 0; step < steps; ++step) {
    float scale[S::halves][2];
#pragma unroll
    for (int h = 0; h < S::halves; ++h) rows[h].take(step, steps, scale[h]);
    barrier_wait(ring.full(turn.stage), turn.round);
#pragma unroll
    for (int h = 0; h < S::halves; ++h)
#pragma unroll
      for (int k = 0; k < kStep; k += S::chunk) {
        turns.wait();
        start_chain<S>(ring, turn.stage, own_row + 64 * h, k, S::promotion == 0 && step > 0, part);
        turns.pass();
        finish_chain<0>(part);
        if (S::promotion != 0 || step + 1 == steps)
          promote<S>(sum[h], part, scale[h], scales_of<S>(ring, turn.stage, k));
      }
    leave_stage<S>(ring, turn);
  }
}

template <class S>
__device__ void consume(const Launch& launch, const Ring<S>& ring) {
  const GemmW4a8& p = launch.p;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int own = static_cast<int>(threadIdx.x) / 128 - 1;  // warpgroup
  const int own_row = own * 64 * S::halves;                 // in the tile
  const int steps = static_cast<int>(p.b.padded_k() / kStep);
  const bool plain_bf16 = p.d_bf16 != nullptr && p.c == nullptr && p.bias == nullptr &&
                          p.b.n % 4 == 0 && reinterpret_cast<std::uintptr_t>(p.d_bf16) % 8 == 0;
  Turn<S> turn;
  TakingTurns<S> turns{ring, own};
  if (own == 1) turns.pass();
  for_tiles<S>(launch, [&](const RowTile& tile, std::int64_t col0) {
    const std::int64_t row0 = tile.row0 + own_row;
    if (row0 >= tile.end) {  // only keeps count
      for (int step = 0; step < steps; ++step) {
        barrier_wait(ring.full(turn.stage), turn.round);
        turns.wait();
        turns.pass();
        leave_stage<S>(ring, turn);
      }
      return;
    }
    float sum[S::halves][kColumns / 2] = {};
    if constexpr (S::halves == 1) {
      RowScales rows[1] = {{p, tile, row0, thread, steps}};
      multiply<S>(ring, turn, turns, own_row, steps, rows, sum);
    } else {
      RowScales rows[2] = {{p, tile, row0, thread, steps}, {p, tile, row0 + 64, thread, steps}};
      multiply<S>(ring, turn, turns, own_row, steps, rows, sum);
    }
#pragma unroll
    for (int h = 0; h < S::halves; ++h) {
      const std::int64_t first = row0 + 64 * h;
      if (plain_bf16 && first + 64 <= tile.end && col0 + kColumns <= p.b.n) {
        store_inside_bf16(p, first, col0, sum[h]);
        continue;
      }
#pragma unroll
      for (int i = 0; i < kColumns / 2; i += 2) {
        const FragmentPlace place = wgmma_place(thread, i);
        const std::int64_t row = first + place.row;
        const std::int64_t col = col0 + place.column;
        const float pair[2] = {sum[h][i], sum[h][i + 1]};
        if (row < tile.end && col < p.b.n) store(p, row, col, pair, col + 1 < p.b.n);
      }
    }
  });
}

#endif

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    w4a8_kernel(const __grid_constant__ Launch launch, const __grid_constant__ CUtensorMap a,
                const __grid_constant__ CUtensorMap b) {
#if ASSAY_HAS_WGMMA
  extern __shared__ unsigned char raw[];
  const Ring<S> ring{swizzled_stages(raw)};
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; ++i) {
      barrier_init(ring.full(i), 1);
      barrier_init(ring.empty(i), kConsumers * 4);  // each warp
    }
    for (int i = 0; i < kConsumers; ++i) barrier_init(ring.turn(i), 4);
    barriers_initialized();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<40>();
    if (threadIdx.x == 0) produce<S>(launch, &a, &b, ring);
  } else {
    take_registers<232>();
    consume<S>(launch, ring);
  }
#endif
}

int multiprocessors() {
  int device = 0;
  int count = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
  return count;
}

template <class S>
void start(const GemmW4a8& p, const RowTile* tiles, std::int64_t count, cudaStream_t stream) {
  const auto kernel = w4a8_kernel<S>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::shared),
        "gemm_w4a8");
  const CUtensorMap a = tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, p.a, p.m, p.b.k, S::rows, kStep);
  const CUtensorMap b = tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, p.b.codes, p.b.groups * p.b.n,
                                   p.b.padded_k(), kColumns, kStep);
  const Launch launch{
      p, tiles, static_cast<unsigned>(tiles != nullptr ? count : (p.m + S::rows - 1) / S::rows),
      static_cast<unsigned>(p.b.padded_n() / kColumns)};
  const unsigned blocks =
      std::min(launch.row_tiles * launch.col_tiles, static_cast<unsigned>(multiprocessors()));
  kernel<<<blocks, kThreads, S::shared, stream>>>(launch, a, b);
  check(cudaGetLastError(), "gemm_w4a8");
}

template <W4a8Scales kind>
void start_promoting(const GemmW4a8& p, const RowTile* tiles, std::int64_t count,
                     cudaStream_t stream) {
  switch (p.promotion) {
    case 0:
      return start<Shape<1, 0, kind>>(p, tiles, count, stream);
    case 32:
      return start<Shape<1, 32, kind>>(p, tiles, count, stream);
    case 64:
      return start<Shape<1, 64, kind>>(p, tiles, count, stream);
    default:
      return start<Shape<1, 128, kind>>(p, tiles, count, stream);
  }
}

}  // namespace

const char* name_of(W4a8Tactic tactic) {
  return tactic == W4a8Tactic::tile128x128 ? "tile128x128" : "tile256x128";
}
int rows_of(W4a8Tactic tactic) { return tactic == W4a8Tactic::tile128x128 ? 128 : 256; }

const char* declines(W4a8Tactic tactic, const GemmW4a8& p) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  const auto aligned = [](const void* at) {
    return reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
  };
  if (major != 9) return "W4A8 multiplies by Hopper's wgmma (compute capability 9.0)";
  if (p.m < 1 || p.b.n < 1 || p.b.k < 1) return "an empty product";
  if (p.b.k % 32 != 0) return "k is no multiple of 32";
  if (p.m >= 1LL << 31 || p.b.groups * p.b.n >= 1LL << 31 || p.b.k >= 1LL << 31)
    return "a side of 2^31 or more";
  if (!aligned(p.a) || !aligned(p.b.codes) || !aligned(p.b.scales))
    return "an operand that is not aligned to 16 bytes";
  if (p.promotion != 0 && p.promotion != 32 && p.promotion != 64 && p.promotion != 128)
    return "promotion every 32, 64 or 128 columns or (0) never";
  if (p.b.kind == W4a8Scales::fine && p.promotion != 32)
    return "weights whose scale factors lie too far apart for one per 128: promotion must be 32";
  if (p.promotion == 0 && !p.constant_scales)
    return "without promotion, rows must have one scale factor along all of k";
  if (tactic == W4a8Tactic::tile256x128 && (p.promotion != 128 || p.b.kind != W4a8Scales::block))
    return "tiles of 256 rows are for promotion every 128 and a scale factor per 128 x 128";
  return nullptr;
}

// Measured on an H200 from m = 1 to 8192: tiles of 128 rows, whose warpgroups take turns, win by
// 6 % at k = n = 8192 and are 1 % behind at most (m = 4096, n = 7168, k = 2048).
W4a8Tactic choose_w4a8(const GemmW4a8&) { return W4a8Tactic::tile128x128; }

void launch_w4a8(W4a8Tactic tactic, const GemmW4a8& p, cudaStream_t stream, const RowTile* tiles,
                 std::int64_t count) {
  if (const char* reason = declines(tactic, p); reason != nullptr)
    throw std::invalid_argument(std::string("gemm_w4a8: ") + reason);
  if (tiles != nullptr && count == 0) return;
  if (tactic == W4a8Tactic::tile256x128)
    start<Shape<2, 128, W4a8Scales::block>>(p, tiles, count, stream);
  else if (p.b.kind == W4a8Scales::block)
    start_promoting<W4a8Scales::block>(p, tiles, count, stream);
  else if (p.b.kind == W4a8Scales::row)
    start_promoting<W4a8Scales::row>(p, tiles, count, stream);
  else
    start<Shape<1, 32, W4a8Scales::fine>>(p, tiles, count, stream);
}

}  // namespace assay::kernels::cuda
