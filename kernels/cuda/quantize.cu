// SPDX-License-Identifier: Apache-2.0
// FP4 quantizers to the nearest code, and the pass for the tensor's maximum.
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

// Non-negative floats order like their bits, so the maximum is exact and order-independent.
template <class In, bool whole>
__global__ void __launch_bounds__(kQuantizeThreads) amax_kernel(QuantizeTask task) {
  const std::int64_t count = task.rows * task.cols;
  constexpr int width = Piece<In>::count;
  const std::int64_t stride = std::int64_t{gridDim.x} * kQuantizeThreads * width;
  const auto* x = static_cast<const In*>(task.x);
  unsigned largest = 0;
  for (std::int64_t first = (blockIdx.x * std::int64_t{kQuantizeThreads} + threadIdx.x) * width;
       first < count; first += stride * kAhead) {
    Piece<In> pieces[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      pieces[i] = load_piece<In, whole>(x, first + i * stride, count);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      unsigned bits = pieces[i].magnitude();
      if (bits >= kInfinityBits) {  // NaN and Inf do not count, their neighbours do
        bits = 0;
        for (int e = 0; e < width; ++e)
          if (isfinite(pieces[i][e])) bits = max(bits, __float_as_uint(fabsf(pieces[i][e])));
      }
      largest = max(largest, bits);
    }
  }
  largest = __reduce_max_sync(0xFFFFFFFFU, largest);
  if (threadIdx.x % 32 == 0) atomicMax(task.amax_bits, largest);
}

unsigned grid(std::int64_t threads) {
  return static_cast<unsigned>((threads + kQuantizeThreads - 1) / kQuantizeThreads);
}

}  // namespace

void launch_amax(const QuantizeTask& task, cudaStream_t stream) {
  check(cudaMemsetAsync(task.amax_bits, 0, sizeof(unsigned), stream), "cudaMemset");
  const std::int64_t count = task.rows * task.cols;
  if (count == 0) return;
  const unsigned blocks = std::min(grid(count / (8 * kAhead) + 1), 2112U);
  const bool whole = count % 16 == 0 && takes_vectors(task, 1);
  const auto kernel =
      task.bf16 ? (whole ? amax_kernel<std::uint16_t, true> : amax_kernel<std::uint16_t, false>)
                : (whole ? amax_kernel<float, true> : amax_kernel<float, false>);
  kernel<<<blocks, kQuantizeThreads, 0, stream>>>(task);
  check(cudaGetLastError(), "amax");
}

void launch_quantize(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream) {
  if (order == QuantizeOrder::nvfp4_2d) return launch_quantize_2d(task, stream);
  if (order >= QuantizeOrder::nvfp4_4over6 && order <= QuantizeOrder::nvfp4_4over6_max)
    return launch_quantize_4over6(order, task, stream);
  for_order(order, [&]<class Order>() { start_quantize_any<Order>(task, NearestCodes{}, stream); });
}

bool launch_quantize_mutant(Mutant mutant, const QuantizeTask& task, cudaStream_t stream) {
  switch (mutant) {
    case Mutant::stale_scale:
      start_quantize<float, NvFp4Te, Mutant::stale_scale>(task, NearestCodes{}, stream);
      return true;
    case Mutant::dropped_tail:
      start_quantize<float, NvFp4Te, Mutant::dropped_tail>(task, NearestCodes{}, stream);
      return true;
    case Mutant::lonely_lane:
      start_quantize<float, NvFp4Te, Mutant::lonely_lane>(task, NearestCodes{}, stream);
      return true;
    case Mutant::wrapped_offset:
      start_quantize<float, NvFp4Te, Mutant::wrapped_offset>(task, NearestCodes{}, stream);
      return true;
    default:
      return false;
  }
}

void quantize(QuantizeOrder order, const QuantizeTask& task) {
  quantize_with(order, task,
                [order](const QuantizeTask& t) { launch_quantize(order, t, nullptr); });
}

void quantize_with(QuantizeOrder order, QuantizeTask task,
                   const std::function<void(const QuantizeTask&)>& launch) {
  DeviceBuffer<unsigned> amax(1);
  if (has_tensor_scale(order)) {
    task.amax_bits = amax.data();
    launch_amax(task, nullptr);
    if (task.rows * task.cols == 0) {
      const float one = 1.0F;
      check(cudaMemcpy(task.tensor_scale, &one, sizeof one, cudaMemcpyHostToDevice), "cudaMemcpy");
    }
  }
  if (task.rows * task.cols != 0) launch(task);
  check_kernel("quantize");
}

}  // namespace assay::kernels::cuda
