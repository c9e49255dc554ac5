// SPDX-License-Identifier: Apache-2.0
// Quantizers that need a whole block of 16 in one thread: Four Over Six, whose errors are summed in
// the order of the elements, and the one behind a Hadamard transform.
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

struct AsItIs {
  __device__ void operator()(float (&)[16]) const {}
};
struct Hadamard {
  unsigned negative;
  __device__ void operator()(float (&x)[16]) const { hadamard16(x, negative); }
};

/// The 16 elements of a row from `first` on; what lies past it is +0.
template <class In, bool whole>
struct WideBlock {
  static constexpr int parts = 16 / Piece<In>::count;
  Piece<In> pieces[parts];

  __device__ void load(const In* row, std::int64_t first, std::int64_t cols) {
#pragma unroll
    for (int i = 0; i < parts; ++i)
      pieces[i] = load_piece<In, whole>(row, first + i * Piece<In>::count, cols);
  }
  __device__ void copy_to(float (&x)[16]) const {
#pragma unroll
    for (int i = 0; i < 16; ++i) x[i] = pieces[i / Piece<In>::count][i % Piece<In>::count];
  }
};

__device__ unsigned magnitude_of(const float (&x)[16]) {
  unsigned largest = 0;
#pragma unroll
  for (const float v : x) largest = max(largest, __float_as_uint(v) & 0x7FFFFFFFU);
  return largest;
}

template <class In, class Front, class Order, bool whole>
__global__ void __launch_bounds__(kQuantizeThreads, 4) wide_kernel(QuantizeTask task, Front front) {
  const std::int64_t block = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  const std::int64_t first = block * 16;
  const std::int64_t row_bytes = (task.cols + 1) / 2;
  std::int64_t row = std::int64_t{blockIdx.y} * blockDim.y + threadIdx.y;
  const std::int64_t stride = std::int64_t{gridDim.y} * blockDim.y;
  const auto row_of = [&](std::int64_t r) {
    return static_cast<const In*>(task.x) + r * task.cols;
  };
  WideBlock<In, whole> next{};
  if (row < task.rows) next.load(row_of(row), first, task.cols);
  const Order order(__uint_as_float(*task.amax_bits));
  if ((blockIdx.x | blockIdx.y | threadIdx.x | threadIdx.y) == 0) *task.tensor_scale = order.decode;
  if (first >= task.cols) return;
  for (; row < task.rows; row += stride) {
    float x[16];
    next.copy_to(x);
    if (row + stride < task.rows) next.load(row_of(row + stride), first, task.cols);
    front(x);
    const unsigned amax = magnitude_of(x);
    const bool poisoned = amax >= kInfinityBits;
    const BlockFactors factors = order.chosen(x, __uint_as_float(poisoned ? 0U : amax));
    std::uint32_t codes[2];
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      float v[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) v[e] = x[8 * part + e];
      codes[part] = poisoned ? 0 : Order::encode8(v, factors);
    }
    std::uint8_t* out = task.codes + row * row_bytes + first / 2;
    if constexpr (whole) {
      *reinterpret_cast<uint2*>(out) = make_uint2(codes[0], codes[1]);
    } else {
#pragma unroll
      for (int byte = 0; byte < 8; ++byte)
        if (first + 2 * byte < task.cols)
          out[byte] = static_cast<std::uint8_t>(codes[byte / 4] >> 8 * (byte % 4));
    }
    task.scales[task.index(row, block)] = poisoned ? Order::nan_scale : factors.code;
  }
}

// Rows are whole blocks, so blocks follow each other throughout.
template <class In>
__global__ void __launch_bounds__(kQuantizeThreads)
    hadamard_amax_kernel(QuantizeTask task, Hadamard front) {
  const std::int64_t count = task.rows * task.cols;
  const std::int64_t stride = std::int64_t{gridDim.x} * kQuantizeThreads * 16;
  unsigned largest = 0;
#pragma unroll 2
  for (std::int64_t first = (blockIdx.x * std::int64_t{kQuantizeThreads} + threadIdx.x) * 16;
       first < count; first += stride) {
    WideBlock<In, true> block{};
    block.load(static_cast<const In*>(task.x), first, count);
    float x[16];
    block.copy_to(x);
    front(x);
#pragma unroll
    for (const float v : x)
      if (isfinite(v)) largest = max(largest, __float_as_uint(fabsf(v)));
  }
  largest = __reduce_max_sync(0xFFFFFFFFU, largest);
  if (threadIdx.x % 32 == 0) atomicMax(task.amax_bits, largest);
}

template <class In, class Front, class Order>
void start_wide(const QuantizeTask& task, const Front& front, cudaStream_t stream) {
  const std::int64_t blocks = (task.cols + 15) / 16;
  unsigned across = 1;
  while (across < kQuantizeThreads && across < blocks) across *= 2;
  const unsigned down = kQuantizeThreads / across;
  const std::int64_t steps = (task.rows + down - 1) / down;
  const std::int64_t passes = std::clamp<std::int64_t>(steps / 2048, 1, 4);
  const dim3 grid(
      static_cast<unsigned>((blocks + across - 1) / across),
      static_cast<unsigned>(std::min<std::int64_t>((steps + passes - 1) / passes, 32768)));
  const auto kernel = takes_vectors(task, 16) ? wide_kernel<In, Front, Order, true>
                                              : wide_kernel<In, Front, Order, false>;
  kernel<<<grid, dim3(across, down), 0, stream>>>(task, front);
  check(cudaGetLastError(), "quantize_wide");
}
template <class Front, class Order>
void start_wide_any(const QuantizeTask& task, const Front& front, cudaStream_t stream) {
  if (task.rows == 0 || task.cols == 0) return;
  if (task.bf16)
    start_wide<std::uint16_t, Front, Order>(task, front, stream);
  else
    start_wide<float, Front, Order>(task, front, stream);
}

void require_whole(const QuantizeTask& task) {
  if (!takes_vectors(task, 16))
    throw std::invalid_argument(
        "a Hadamard transform of 16 needs rows of whole blocks, aligned to 16 bytes");
}

}  // namespace

void launch_quantize_4over6(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream) {
  switch (order) {
    case QuantizeOrder::nvfp4_4over6:
      return start_wide_any<AsItIs, NvFp4FourOverSix<Missed::squared>>(task, {}, stream);
    case QuantizeOrder::nvfp4_4over6_mae:
      return start_wide_any<AsItIs, NvFp4FourOverSix<Missed::absolute>>(task, {}, stream);
    case QuantizeOrder::nvfp4_4over6_max:
      return start_wide_any<AsItIs, NvFp4FourOverSix<Missed::largest>>(task, {}, stream);
    default:
      throw std::invalid_argument("this operation order is not one of Four Over Six");
  }
}

void launch_amax_hadamard(const QuantizeTask& task, unsigned negative, cudaStream_t stream) {
  require_whole(task);
  check(cudaMemsetAsync(task.amax_bits, 0, sizeof(unsigned), stream), "cudaMemset");
  if (task.rows * task.cols == 0) return;
  const auto kernel = task.bf16 ? hadamard_amax_kernel<std::uint16_t> : hadamard_amax_kernel<float>;
  kernel<<<2112, kQuantizeThreads, 0, stream>>>(task, Hadamard{negative});
  check(cudaGetLastError(), "hadamard_amax");
}

void launch_quantize_hadamard(const QuantizeTask& task, unsigned negative, cudaStream_t stream) {
  require_whole(task);
  start_wide_any<Hadamard, NvFp4TeWide>(task, Hadamard{negative}, stream);
}

}  // namespace assay::kernels::cuda
