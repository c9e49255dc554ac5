// SPDX-License-Identifier: Apache-2.0
// Quantizes the transpose from the source: x is read once along its rows, through shared memory,
// and written along its columns.
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kCols = 32;                                   // of x in a tile: rows of the result
constexpr int kBlocks = 8;                                  // of each such row
constexpr int kRowsAtOnce = kCols * kBlocks / (kCols / 4);  // that the threads load

/// Where element (row, col) of a tile lies. Threads read a column of `block` rows each, 4 columns
/// by 8 blocks a warp: turning each block's rows by 4 columns puts these into different banks.
__device__ int place(int row, int col, int block) {
  return row * kCols + (col + 4 * (row / block)) % kCols;
}

__device__ float load_bf16(std::uint16_t bits) {
  return __uint_as_float(std::uint32_t{bits} << 16);
}
__device__ float load_one(const float* from) { return __ldg(from); }
__device__ float load_one(const std::uint16_t* from) {
  return __uint_as_float(std::uint32_t{__ldg(from)} << 16);
}
__device__ float4 load_four(const float* from) {
  return __ldg(reinterpret_cast<const float4*>(from));
}
__device__ float4 load_four(const std::uint16_t* from) {
  const ushort4 v = __ldg(reinterpret_cast<const ushort4*>(from));
  return make_float4(load_bf16(v.x), load_bf16(v.y), load_bf16(v.z), load_bf16(v.w));
}

// A thread quantizes one block: 8 blocks of 32 columns a tile.
template <class In, class Order, Mutant mutant>
__global__ void __launch_bounds__(kCols* kBlocks)
    transposed_kernel(QuantizeTask task, bool vectors) {
  constexpr int rows = Order::block * kBlocks;
  __shared__ alignas(16) float tile[rows * kCols];
  const auto* x = static_cast<const In*>(task.x);
  const std::int64_t row0 = std::int64_t{blockIdx.y} * rows;
  const std::int64_t col0 = std::int64_t{blockIdx.x} * kCols;
  const Order order(task.amax_bits == nullptr ? 0.0F : __uint_as_float(*task.amax_bits));
  if (Order::block == 16 && (blockIdx.x | blockIdx.y | threadIdx.x) == 0)
    *task.tensor_scale = order.decode;
  const int col = static_cast<int>(threadIdx.x) % (kCols / 4) * 4;
  const bool four = vectors && col0 + col < task.cols;
  if (mutant == Mutant::missing_barrier && threadIdx.x / 32 % 2 != 0) __nanosleep(2000);
#pragma unroll
  for (int r = static_cast<int>(threadIdx.x) / (kCols / 4); r < rows; r += kRowsAtOnce) {
    float4 v{};  // what lies past x is +0
    if (row0 + r < task.rows) {
      const In* from = x + (row0 + r) * task.cols + col0 + col;
      if (four) {
        v = load_four(from);
      } else {
        if (col0 + col < task.cols) v.x = load_one(from);
        if (col0 + col + 1 < task.cols) v.y = load_one(from + 1);
        if (col0 + col + 2 < task.cols) v.z = load_one(from + 2);
        if (col0 + col + 3 < task.cols) v.w = load_one(from + 3);
      }
    }
    *reinterpret_cast<float4*>(&tile[place(r, col, Order::block)]) = v;
  }
  if constexpr (mutant != Mutant::missing_barrier) __syncthreads();
  const int b = static_cast<int>(threadIdx.x) % kBlocks;
  const int c = static_cast<int>(threadIdx.x) / kBlocks;
  const std::int64_t first = row0 + b * Order::block;  // along a row of the result
  const std::int64_t out_row = col0 + c;
  if (out_row >= task.cols || first >= task.rows) return;
  float v[Order::block];
  const float* const from = &tile[place(b * Order::block, c, Order::block)];
  unsigned amax = 0;
#pragma unroll
  for (int i = 0; i < Order::block; ++i) {
    v[i] = from[i * kCols];
    amax = max(amax, __float_as_uint(v[i]) & 0x7FFFFFFFU);
  }
  const bool poisoned = amax >= kInfinityBits;
  const BlockFactors factors = order.factors(__uint_as_float(poisoned ? 0U : amax));
  std::uint32_t codes[Order::block / 8];
#pragma unroll
  for (int part = 0; part < Order::block / 8; ++part) {
    float eight[8];
#pragma unroll
    for (int e = 0; e < 8; ++e) eight[e] = v[8 * part + e];
    codes[part] = poisoned ? 0 : Order::encode8(eight, factors);
  }
  const std::int64_t row_bytes = (task.rows + 1) / 2;
  std::uint8_t* out = task.codes + out_row * row_bytes + first / 2;
  if (task.rows % Order::block == 0) {
#pragma unroll
    for (int part = 0; part < Order::block / 8; part += 2)
      *reinterpret_cast<uint2*>(out + 4 * part) = make_uint2(codes[part], codes[part + 1]);
  } else {
#pragma unroll
    for (int byte = 0; byte < Order::block / 2; ++byte)
      if (first + 2 * byte < task.rows)
        out[byte] = static_cast<std::uint8_t>(codes[byte / 4] >> 8 * (byte % 4));
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
  const bool vectors = task.cols % 4 == 0 && reinterpret_cast<std::uintptr_t>(task.x) % 16 == 0;
  transposed_kernel<In, Order, mutant><<<grid, kCols * kBlocks, 0, stream>>>(task, vectors);
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
