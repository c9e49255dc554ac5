// SPDX-License-Identifier: Apache-2.0
// Codes and scale factors that only move (formats/tensor.h, Layout and ScaleLayout).
#include "kernels/cuda/check.h"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 256;  // codes

constexpr int kGroup = 8;  // tiles of 128 x 4 scale factors, side by side: 32 bytes of a row

/// Four neighbouring bytes of a row; 0 past its end.
__device__ std::uint32_t load_word(const std::uint8_t* from, std::int64_t row, std::int64_t col,
                                   std::int64_t rows, std::int64_t cols) {
  if (row >= rows || col >= cols) return 0;
  const std::uint8_t* at = from + row * cols + col;
  if (cols % 4 == 0 && reinterpret_cast<std::uintptr_t>(from) % 4 == 0)
    return *reinterpret_cast<const std::uint32_t*>(at);
  std::uint32_t four = 0;
  for (int i = 0; i < 4; ++i)
    if (col + i < cols) four |= std::uint32_t{at[i]} << 8 * i;
  return four;
}
__device__ void store_word(std::uint32_t four, std::uint8_t* to, std::int64_t row, std::int64_t col,
                           std::int64_t rows, std::int64_t cols) {
  if (row >= rows || col >= cols) return;
  std::uint8_t* at = to + row * cols + col;
  if (cols % 4 == 0 && reinterpret_cast<std::uintptr_t>(to) % 4 == 0) {
    *reinterpret_cast<std::uint32_t*>(at) = four;
    return;
  }
  for (int i = 0; i < 4; ++i)
    if (col + i < cols) at[i] = static_cast<std::uint8_t>(four >> 8 * i);
}

// A group of tiles lies in one piece in the swizzled array, which is read and written by words: so
// is padding. Rows lie 32 bytes at a time in the other; shared memory is between them.
template <bool swizzle, Mutant mutant>
__global__ void __launch_bounds__(kThreads)
    move_scales_kernel(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                       std::uint8_t* to) {
  constexpr int pitch = 129;
  __shared__ std::uint32_t words[kGroup * pitch];
  const std::int64_t across = (cols + 3) / 4;
  const std::int64_t first = std::int64_t{blockIdx.y} * kGroup;
  const int tiles = static_cast<int>(min(std::int64_t{kGroup}, across - first));
  const std::int64_t row0 = std::int64_t{blockIdx.x} * 128;
  const std::int64_t base = (blockIdx.x * across + first) * 128;  // in words
  const int thread = static_cast<int>(threadIdx.x);
  const int tile = thread % kGroup;
  const auto each_row = [&](auto&& visit) {
    for (int row = thread / kGroup; row < 128; row += kThreads / kGroup)
      visit(row, words[tile * pitch + row % 32 * 4 + row / 32]);
  };
  const auto each_word = [&](auto&& visit) {
    for (int id = thread; id < tiles * 128; id += kThreads)
      visit(id, words[id / 128 * pitch + id % 128]);
  };
  if constexpr (swizzle) {
    each_row([&](int row, std::uint32_t& word) {
      const std::int64_t source = mutant == Mutant::wrapped_offset ? row : row0 + row;
      word = row0 + row < rows ? load_word(from, source, (first + tile) * 4, rows, cols) : 0;
    });
    __syncthreads();
    each_word([&](int id, std::uint32_t word) {
      reinterpret_cast<std::uint32_t*>(to)[base + id] = word;
    });
  } else {
    each_word([&](int id, std::uint32_t& word) {
      word = reinterpret_cast<const std::uint32_t*>(from)[base + id];
    });
    __syncthreads();
    each_row([&](int row, std::uint32_t word) {
      store_word(word, to, row0 + row, (first + tile) * 4, rows, cols);
    });
  }
}

/// An 8 x 8 block of codes, a word a row, becomes its transpose: single nibbles, pairs and halves
/// change places across the diagonal.
__device__ void transpose_block(std::uint32_t (&w)[8]) {
#pragma unroll
  for (int distance = 1; distance < 8; distance *= 2) {
    const std::uint32_t low = distance == 1   ? 0x0F0F0F0FU
                              : distance == 2 ? 0x00FF00FFU
                                              : 0x0000FFFFU;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if ((i & distance) != 0) continue;
      const std::uint32_t a = w[i];
      const std::uint32_t b = w[i + distance];
      w[i] = (a & low) | (b & low) << 4 * distance;
      w[i + distance] = (a >> 4 * distance & low) | (b & ~low);
    }
  }
}

// A tile of 256 x 256 codes, by 8 x 8 blocks: words of rows come in, words of columns go out
// through shared memory, where a turn by the block's column puts a warp's words into different
// banks.
template <Mutant mutant>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                     std::uint8_t* to) {
  constexpr int across = kTile / 8;               // words of a line
  __shared__ std::uint32_t tile[kTile * across];  // [column][word of rows]
  const auto place = [](int c, int block) { return c * across + (block + c / 8) % across; };
  const std::int64_t row0 = std::int64_t{blockIdx.y} * kTile;
  const std::int64_t col0 = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t in_bytes = (cols + 1) / 2;
  const std::int64_t out_bytes = (rows + 1) / 2;
  const int word = static_cast<int>(threadIdx.x) % across;
  const int line0 = static_cast<int>(threadIdx.x) / across;
  if (mutant == Mutant::missing_barrier && threadIdx.x / 32 % 2 != 0) __nanosleep(2000);
#pragma unroll 2
  for (int block = line0; block < across; block += kThreads / across) {
    std::uint32_t w[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
      w[i] = load_word(from, row0 + 8 * block + i, col0 / 2 + 4 * word, rows, in_bytes);
    transpose_block(w);
#pragma unroll
    for (int i = 0; i < 8; ++i) tile[place(8 * word + i, block)] = w[i];
  }
  if constexpr (mutant != Mutant::missing_barrier) __syncthreads();
#pragma unroll 4
  for (int c = line0; c < kTile; c += kThreads / across)
    store_word(tile[place(c, word)], to, col0 + c, row0 / 2 + 4 * word, cols, out_bytes);
}

dim3 grid_of(std::int64_t rows, std::int64_t cols) {
  return {static_cast<unsigned>((rows + 127) / 128),
          static_cast<unsigned>((cols + 4 * kGroup - 1) / (4 * kGroup))};
}

}  // namespace

void launch_swizzle_scales(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                           std::uint8_t* to, cudaStream_t stream, Mutant mutant) {
  if (rows * cols == 0) return;
  const auto kernel = mutant == Mutant::wrapped_offset
                          ? move_scales_kernel<true, Mutant::wrapped_offset>
                          : move_scales_kernel<true, Mutant::none>;
  kernel<<<grid_of(rows, cols), kThreads, 0, stream>>>(from, rows, cols, to);
  check(cudaGetLastError(), "swizzle_scales");
}

void launch_unswizzle_scales(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                             std::uint8_t* to, cudaStream_t stream) {
  if (rows * cols == 0) return;
  move_scales_kernel<false, Mutant::none>
      <<<grid_of(rows, cols), kThreads, 0, stream>>>(from, rows, cols, to);
  check(cudaGetLastError(), "unswizzle_scales");
}

void launch_transpose_codes(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                            std::uint8_t* to, cudaStream_t stream, Mutant mutant) {
  if (rows * cols == 0) return;
  const dim3 grid(static_cast<unsigned>((cols + kTile - 1) / kTile),
                  static_cast<unsigned>((rows + kTile - 1) / kTile));
  const auto kernel = mutant == Mutant::missing_barrier ? transpose_kernel<Mutant::missing_barrier>
                                                        : transpose_kernel<Mutant::none>;
  kernel<<<grid, kThreads, 0, stream>>>(from, rows, cols, to);
  check(cudaGetLastError(), "transpose_codes");
}

}  // namespace assay::kernels::cuda
