// SPDX-License-Identifier: Apache-2.0
#pragma once
// The quantizer along rows, bound by memory: a thread has 32 bytes of a row, the threads of a block
// find its amax by shuffles, and the loads of the next pieces are under way before those at hand
// are used. Compiled with --fmad=false and IEEE division: every FP32 operation rounds once.

#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/quantize_orders.cuh"

namespace assay::kernels::cuda {

constexpr int kQuantizeThreads = 256;
constexpr int kAhead = 2;  // pieces of a row that a thread loads at once
constexpr unsigned kInfinityBits = 0x7F800000U;

/// Of each 16 bits the larger. One instruction since sm_90.
__device__ inline unsigned max_halves(unsigned a, unsigned b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm("max.u16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
  return a;
#else
  return __vmaxu2(a, b);
#endif
}

/// 32 bytes of a row.
template <class In>
struct Piece {
  static constexpr int count = 32 / sizeof(In);
  std::uint32_t words[8];

  __device__ float operator[](int i) const {
    if constexpr (sizeof(In) == 4) return __uint_as_float(words[i]);
    return __uint_as_float(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xFFFF0000U);
  }
  /// The bits of the largest magnitude as FP32; NaN above all.
  __device__ unsigned magnitude() const {
    unsigned largest = 0;
    if constexpr (sizeof(In) == 4) {
#pragma unroll
      for (const unsigned word : words) largest = max(largest, word & 0x7FFFFFFFU);
    } else {
#pragma unroll
      for (const unsigned word : words) largest = max_halves(largest, word & 0x7FFF7FFFU);
      largest = max(largest << 16, largest & 0xFFFF0000U);
    }
    return largest;
  }
};

/// The piece from element `first` on; what lies past the row is +0. `whole`: rows are multiples of
/// a piece, and of 16 bytes in memory.
template <class In, bool whole>
__device__ Piece<In> load_piece(const In* row, std::int64_t first, std::int64_t cols) {
  Piece<In> p{};
  if constexpr (whole) {
    const auto* from = reinterpret_cast<const uint4*>(row + first);
    const uint4 low = first < cols ? __ldg(from) : uint4{};
    const uint4 high = first < cols ? __ldg(from + 1) : uint4{};
    p = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
  } else {
#pragma unroll
    for (int i = 0; i < Piece<In>::count; ++i) {
      if (first + i >= cols) break;
      if constexpr (sizeof(In) == 4)
        p.words[i] = __float_as_uint(row[first + i]);
      else
        p.words[i / 2] |= std::uint32_t{row[first + i]} << 16 * (i % 2);
    }
  }
  return p;
}

/// How eight scaled elements become codes; `index` is the logical index of the first.
struct NearestCodes {
  template <class Order>
  __device__ std::uint32_t operator()(const float (&x)[8], const BlockFactors& factors,
                                      std::int64_t) const {
    return Order::encode8(x, factors);
  }
};

// blockDim.x threads work along a row, blockDim.y rows at a time; all lanes stay for the shuffles.
template <class In, class Order, class Codes, bool whole, Mutant mutant = Mutant::none>
__global__ void __launch_bounds__(kQuantizeThreads, 4)
    quantize_kernel(QuantizeTask task, Codes encode) {
  constexpr int width = Piece<In>::count;
  const std::int64_t step = std::int64_t{blockDim.x} * width;
  const std::int64_t first0 = blockIdx.x * step * kAhead + threadIdx.x * width;
  const std::int64_t stride = std::int64_t{gridDim.y} * blockDim.y;
  const std::int64_t row_bytes = (task.cols + 1) / 2;
  const auto load = [&](Piece<In>(&to)[kAhead], std::int64_t row) {
    const In* x = static_cast<const In*>(task.x) + row * task.cols;
    const std::int64_t cols = row < task.rows ? task.cols : 0;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) to[i] = load_piece<In, whole>(x, first0 + i * step, cols);
  };
  std::int64_t row = std::int64_t{blockIdx.y} * blockDim.y + threadIdx.y;
  Piece<In> next[kAhead];
  load(next, row);  // before the divisions of `order`, which would hold it up
  [[maybe_unused]] BlockFactors before[kAhead] = {};
  const Order order(task.amax_bits == nullptr ? 0.0F : __uint_as_float(*task.amax_bits));
  if (Order::block == 16 && (blockIdx.x | blockIdx.y | threadIdx.x | threadIdx.y) == 0)
    *task.tensor_scale = order.decode;
  for (; row - threadIdx.y < task.rows; row += stride) {
    const std::int64_t cols = row < task.rows ? task.cols : 0;
    Piece<In> pieces[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) pieces[i] = next[i];
    if (row - threadIdx.y + stride < task.rows) load(next, row + stride);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::int64_t first = first0 + i * step;
      unsigned amax = pieces[i].magnitude();
      if constexpr (mutant != Mutant::lonely_lane) {
#pragma unroll
        for (int lane = 1; lane < Order::block / width; lane *= 2)
          amax = max(amax, __shfl_xor_sync(0xFFFFFFFFU, amax, lane));
      }
      // A block with NaN or Inf stores the NaN scale and codes 0.
      const bool poisoned = amax >= kInfinityBits;
      BlockFactors factors = order.factors(__uint_as_float(poisoned ? 0U : amax));
      if constexpr (mutant == Mutant::stale_scale) {
        if (row != threadIdx.y) factors = before[i];
        before[i] = factors;
      }
      std::uint32_t codes[width / 8];
#pragma unroll
      for (int part = 0; part < width / 8; ++part) {
        float x[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) x[e] = pieces[i][8 * part + e];
        const std::int64_t index = row * task.cols + first + 8 * part;
        codes[part] = poisoned ? 0 : encode.template operator()<Order>(x, factors, index);
      }
      if (first >= cols) continue;
      if (mutant == Mutant::dropped_tail && first + width > cols) continue;
      std::uint8_t* out = task.codes + row * row_bytes + first / 2;
      if constexpr (!whole) {  // what is past the row is +0: so is the unused nibble of an odd row
#pragma unroll
        for (int byte = 0; byte < width / 2; ++byte) {
          if (first + 2 * byte >= cols) break;
          out[byte] = static_cast<std::uint8_t>(codes[byte / 4] >> 8 * (byte % 4));
        }
      } else if constexpr (width == 8) {
        *reinterpret_cast<std::uint32_t*>(out) = codes[0];
      } else {
        *reinterpret_cast<uint2*>(out) = make_uint2(codes[0], codes[1]);
      }
      if (first % Order::block == 0) {
        const std::int64_t stored = mutant == Mutant::wrapped_offset ? row % 128 : row;
        task.scales[task.index(stored, first / Order::block)] =
            poisoned ? Order::nan_scale : factors.code;
      }
    }
  }
}

inline bool takes_vectors(const QuantizeTask& task, int block) {
  const auto aligned = [](const void* at, std::uintptr_t to) {
    return reinterpret_cast<std::uintptr_t>(at) % to == 0;
  };
  return task.cols % block == 0 && aligned(task.x, 16) && aligned(task.codes, 8);
}

template <class In, class Order, Mutant mutant = Mutant::none, class Codes>
void start_quantize(const QuantizeTask& task, const Codes& codes, cudaStream_t stream) {
  if (task.rows == 0 || task.cols == 0) return;  // a grid without blocks is an error
  constexpr int width = Piece<In>::count;
  const std::int64_t pieces = (task.cols + width - 1) / width;
  constexpr bool one_row = mutant == Mutant::stale_scale;  // at a time, and one block of threads
  unsigned across = one_row ? 32 : 4;                      // at least the threads of a block of 32
  while (across < kQuantizeThreads && across < pieces) across *= 2;
  const unsigned down = one_row ? 1 : kQuantizeThreads / across;
  const auto blocks_x = static_cast<unsigned>((pieces + across * kAhead - 1) / (across * kAhead));
  // Each block of threads goes over some rows, so that its loads overlap its work, while there are
  // enough blocks for a few waves.
  const std::int64_t steps = (task.rows + down - 1) / down;
  const std::int64_t most = task.passes > 0 ? task.passes : 4;
  const std::int64_t passes =
      one_row ? steps : std::clamp<std::int64_t>(steps * blocks_x / 2048, 1, most);
  const auto blocks_y =
      static_cast<unsigned>(std::min<std::int64_t>((steps + passes - 1) / passes, 32768));
  const auto kernel = takes_vectors(task, Order::block)
                          ? quantize_kernel<In, Order, Codes, true, mutant>
                          : quantize_kernel<In, Order, Codes, false, mutant>;
  kernel<<<dim3(blocks_x, blocks_y), dim3(across, down), 0, stream>>>(task, codes);
  check(cudaGetLastError(), "quantize");
}

template <class Order, class Codes>
void start_quantize_any(const QuantizeTask& task, const Codes& codes, cudaStream_t stream) {
  if (task.bf16)
    start_quantize<std::uint16_t, Order>(task, codes, stream);
  else
    start_quantize<float, Order>(task, codes, stream);
}

/// start(the order's type).
template <class Start>
void for_order(QuantizeOrder order, const Start& start) {
  switch (order) {
    case QuantizeOrder::nvfp4_te:
      return start.template operator()<NvFp4Te>();
    case QuantizeOrder::nvfp4_divide:
      return start.template operator()<NvFp4Divide>();
    case QuantizeOrder::mxfp4_floor:
      return start.template operator()<MxFp4Floor>();
    case QuantizeOrder::mxfp4_rceil:
      return start.template operator()<MxFp4Rceil>();
    case QuantizeOrder::deepseek_v4:
      return start.template operator()<DeepSeekV4>();
    default:
      throw std::invalid_argument("this quantizer does not have that operation order");
  }
}

}  // namespace assay::kernels::cuda
