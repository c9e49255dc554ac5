// SPDX-License-Identifier: Apache-2.0
// Quantizes the transpose from the source: x is read once along its rows, through shared memory,
// and written along its columns.
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kCols = 32;   // of x in a tile: rows of the result
constexpr int kBlocks = 8;  // of each such row

/// Where element (row, col) of a tile lies. Threads read a column of `block` rows each, 4 columns
/// by 8 blocks a warp: turning each block's rows by 4 columns puts these into different banks.
__device__ int place(int row, int col, int block) {
  return row * kCols + (col + 4 * (row / block)) % kCols;
}

// A thread quantizes one block: 8 blocks of 32 columns a tile.
template <class In, class Order, Mutant mutant>
__global__ void __launch_bounds__(kCols* kBlocks) transposed_kernel(QuantizeTask task) {
  constexpr int rows = Order::block * kBlocks;
  __shared__ float tile[rows * kCols];
  const auto* x = static_cast<const In*>(task.x);
  const std::int64_t row0 = std::int64_t{blockIdx.y} * rows;
  const std::int64_t col0 = std::int64_t{blockIdx.x} * kCols;
  const Order order(task.amax_bits == nullptr ? 0.0F : __uint_as_float(*task.amax_bits));
  if (Order::block == 16 && (blockIdx.x | blockIdx.y | threadIdx.x) == 0)
    *task.tensor_scale = order.decode;
  const int lane = static_cast<int>(threadIdx.x) % kCols;
  if (mutant == Mutant::missing_barrier && threadIdx.x / 32 % 2 != 0) __nanosleep(2000);
#pragma unroll 8
  for (int r = static_cast<int>(threadIdx.x) / kCols; r < rows; r += kBlocks) {
    std::uint32_t bits = 0;  // what lies past x is +0
    if (row0 + r < task.rows && col0 + lane < task.cols) {
      const In value = x[(row0 + r) * task.cols + col0 + lane];
      if constexpr (sizeof(In) == 4)
        bits = __float_as_uint(value);
      else
        bits = std::uint32_t{value} << 16;
    }
    tile[place(r, lane, Order::block)] = __uint_as_float(bits);
  }
  if constexpr (mutant != Mutant::missing_barrier) __syncthreads();
  const int b = static_cast<int>(threadIdx.x) % kBlocks;
  const int c = static_cast<int>(threadIdx.x) / kBlocks;
  const std::int64_t first = row0 + b * Order::block;  // along a row of the result
  const std::int64_t out_row = col0 + c;
  if (out_row >= task.cols || first >= task.rows) return;
  const auto at = [&](int i) { return tile[place(b * Order::block + i, c, Order::block)]; };
  unsigned amax = 0;
#pragma unroll
  for (int i = 0; i < Order::block; ++i) amax = max(amax, __float_as_uint(at(i)) & 0x7FFFFFFFU);
  const bool poisoned = amax >= kInfinityBits;
  const BlockFactors factors = order.factors(__uint_as_float(poisoned ? 0U : amax));
  const std::int64_t row_bytes = (task.rows + 1) / 2;
  std::uint8_t* out = task.codes + out_row * row_bytes + first / 2;
#pragma unroll
  for (int part = 0; part < Order::block / 8; ++part) {
    float v[8];
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] = at(8 * part + e);
    const std::uint32_t codes = poisoned ? 0 : Order::encode8(v, factors);
    if (task.rows % 8 == 0 && first + 8 * part < task.rows) {
      *reinterpret_cast<std::uint32_t*>(out + 4 * part) = codes;
      continue;
    }
#pragma unroll
    for (int byte = 0; byte < 4; ++byte)
      if (first + 8 * part + 2 * byte < task.rows)
        out[4 * part + byte] = static_cast<std::uint8_t>(codes >> 8 * byte);
  }
  task.scales[task.index(out_row, first / Order::block)] =
      poisoned ? Order::nan_scale : factors.code;
}

template <class In, class Order, Mutant mutant = Mutant::none>
void start_transposed(const QuantizeTask& task, cudaStream_t stream) {
  if (task.rows == 0 || task.cols == 0) return;
  constexpr int rows = Order::block * kBlocks;
  const dim3 grid(static_cast<unsigned>((task.cols + kCols - 1) / kCols),
                  static_cast<unsigned>((task.rows + rows - 1) / rows));
  transposed_kernel<In, Order, mutant><<<grid, kCols * kBlocks, 0, stream>>>(task);
  check(cudaGetLastError(), "quantize_transposed");
}

}  // namespace

void launch_quantize_transposed(QuantizeOrder order, const QuantizeTask& task,
                                cudaStream_t stream) {
  for_order(order, [&]<class Order>() {
    if (task.bf16)
      start_transposed<std::uint16_t, Order>(task, stream);
    else
      start_transposed<float, Order>(task, stream);
  });
}

bool launch_quantize_transposed_mutant(Mutant mutant, const QuantizeTask& task,
                                       cudaStream_t stream) {
  if (mutant != Mutant::missing_barrier) return false;
  start_transposed<float, NvFp4Te, Mutant::missing_barrier>(task, stream);
  return true;
}

}  // namespace assay::kernels::cuda
