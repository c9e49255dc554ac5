// SPDX-License-Identifier: Apache-2.0
#pragma once
// A small batch's activations on their way through shared memory, for gemm_w4a16_packed.cu: chunks
// of k in the order in which mma.m16n8k16 wants them as its B.

#include "kernels/cuda/packed_tile.cuh"

namespace assay::kernels::cuda {

__device__ inline uint4 load_shared(unsigned at) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(at));
  return v;
}
/// A line is 32 k, two steps: for each column and quad a piece of 16 bytes, b0 and b1 of the first
/// and of the second. The exclusive ors put what a warp writes at a time, 32 words of a column,
/// into different banks, and what it reads, a line's pieces, as well.
template <class S>
__device__ inline unsigned piece_at(int line, int column, int quad) {
  return line * S::line_bytes + (((column * 4 + (quad ^ (column >> 1 & 3))) ^ (line & 7)) * 16);
}

/// A thread's part of a chunk of activations: eight k of every passes-th column.
template <class S>
struct ActivationPieces {
  static constexpr int in_column = S::chunk_tiles * kPackedK / 8;
  static constexpr int step = S::threads / in_column;  // of columns
  static_assert(S::threads % in_column == 0);
  uint4 v[S::own_pieces];
  const std::uint16_t* from;
  int column, left;  ///< k from here to the end

  __device__ ActivationPieces(const GemmW4a16& p, std::int64_t tile0) {
    column = static_cast<int>(threadIdx.x) / in_column;
    const std::int64_t k = tile0 * kPackedK + static_cast<int>(threadIdx.x) % in_column * 8;
    left = static_cast<int>(p.k - k);
    from = kept(p.a + column * p.k + k);
  }
  /// The next chunk. Columns beyond the batch stay undefined: what they hold reaches no output.
  __device__ void load(const GemmW4a16& p) {
#pragma unroll
    for (int j = 0; j < S::own_pieces; ++j) {
      v[j] = uint4{0, 0, 0, 0};
      if (column + j * step < static_cast<int>(p.m) && left > 0)
        v[j] = __ldg(reinterpret_cast<const uint4*>(from + j * step * p.k));
    }
    from = kept(from + S::chunk_tiles * kPackedK);
    left -= S::chunk_tiles * kPackedK;
  }
  /// The largest magnitudes among them, as a bf16 pair.
  __device__ std::uint32_t largest() const {
    std::uint32_t most = 0;
#pragma unroll
    for (const uint4& x : v)
      for (const std::uint32_t pair : {x.x, x.y, x.z, x.w})
        most = __vmaxu2(most, pair & 0x7FFF7FFFU);
    return most;
  }
  __device__ void store(int m, std::uint32_t factor, unsigned buffer) const {
    const int piece = static_cast<int>(threadIdx.x) % in_column;
#pragma unroll
    for (int j = 0; j < S::own_pieces; ++j) {
      if (column + j * step >= m) break;
      const std::uint32_t pairs[4] = {v[j].x, v[j].y, v[j].z, v[j].w};
#pragma unroll
      for (int quad = 0; quad < 4; ++quad)
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(
                         buffer + piece % 4 * 4 + piece_at<S>(piece / 4, column + j * step, quad)),
                     "r"(multiply_bf16x2(pairs[quad], factor))
                     : "memory");
    }
  }
};

/// The chunk times 2^19 into the buffer, for all threads; true where a value is too large for that:
/// then they are as they were.
template <class S>
__device__ inline bool publish(const ActivationPieces<S>& pieces, int m, unsigned buffer) {
  // Above this, 2^19 overflows; infinities and NaN may take the long way too.
  constexpr std::uint32_t limit = (254U - kPackedShift) << 7 | 0x7FU;
  const std::uint32_t most = pieces.largest();
  pieces.store(m, kUp, buffer);
  const bool large = __syncthreads_or((most & 0xFFFFU) > limit || most >> 16 > limit ? 1 : 0) != 0;
  if (large) {
    pieces.store(m, 0x3F803F80U, buffer);
    __syncthreads();
  }
  return large;
}

}  // namespace assay::kernels::cuda
