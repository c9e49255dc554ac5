// SPDX-License-Identifier: Apache-2.0
// Codes and scale factors that only move (formats/tensor.h, Layout and ScaleLayout).
#include "kernels/cuda/check.h"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 64;  // codes

constexpr int kGroup = 8;  // tiles of 128 x 4 scale factors, side by side: 32 bytes of a row

/// Four neighbouring scale factors of a row; 0 past its end.
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

// A tile of 64 x 64 codes: its rows come in and its columns go out by bytes of two codes. The pitch
// of an odd number of words keeps a column's bytes in different banks.
template <Mutant mutant>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(const std::uint8_t* from, std::int64_t rows, std::int64_t cols,
                     std::uint8_t* to) {
  constexpr int pitch = kTile / 2 + 4;
  __shared__ std::uint8_t tile[kTile][pitch];
  const std::int64_t row0 = std::int64_t{blockIdx.y} * kTile;
  const std::int64_t col0 = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t in_bytes = (cols + 1) / 2;
  const std::int64_t out_bytes = (rows + 1) / 2;
  const int byte = static_cast<int>(threadIdx.x) % (kTile / 2);
  const int line0 = static_cast<int>(threadIdx.x) / (kTile / 2);
  if (mutant == Mutant::missing_barrier && threadIdx.x / 32 % 2 != 0) __nanosleep(2000);
  for (int r = line0; r < kTile; r += kThreads / (kTile / 2)) {
    const bool inside = row0 + r < rows && col0 / 2 + byte < in_bytes;
    tile[r][byte] = inside ? from[(row0 + r) * in_bytes + col0 / 2 + byte] : std::uint8_t{0};
  }
  if constexpr (mutant != Mutant::missing_barrier) __syncthreads();
  for (int c = line0; c < kTile; c += kThreads / (kTile / 2)) {
    if (col0 + c >= cols || row0 / 2 + byte >= out_bytes) continue;
    const int shift = c % 2 * 4;
    const unsigned low = tile[2 * byte][c / 2] >> shift & 15U;
    const unsigned high = tile[2 * byte + 1][c / 2] >> shift & 15U;
    to[(col0 + c) * out_bytes + row0 / 2 + byte] = static_cast<std::uint8_t>(low | high << 4);
  }
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
