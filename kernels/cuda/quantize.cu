// SPDX-License-Identifier: Apache-2.0
// FP4 quantizers, bound by memory: a thread has 32 bytes of a row, the threads of a block find its
// amax by shuffles, and several loads are under way before the first is used. Compiled
// with --fmad=false and IEEE division: every FP32 operation rounds once, as the order says.
#include <cuda_fp8.h>

#include <algorithm>
#include <cfloat>

#include "kernels/cuda/check.h"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAhead = 2;  // pieces that a thread loads before it uses the first
constexpr unsigned kInfinity = 0x7F800000U;

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
      for (const unsigned word : words)
        asm("max.u16x2 %0, %0, %1;" : "+r"(largest) : "r"(word & 0x7FFF7FFFU));
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

// Non-negative floats order like their bits, so the maximum is exact and order-independent.
template <class In, bool whole>
__global__ void __launch_bounds__(kThreads) amax_kernel(QuantizeTask task) {
  const std::int64_t count = task.rows * task.cols;
  constexpr int width = Piece<In>::count;
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads * width;
  const auto* x = static_cast<const In*>(task.x);
  unsigned largest = 0;
  for (std::int64_t first = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * width;
       first < count; first += stride * kAhead) {
    Piece<In> pieces[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      pieces[i] = load_piece<In, whole>(x, first + i * stride, count);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      unsigned bits = pieces[i].magnitude();
      if (bits >= kInfinity) {  // NaN and Inf do not count, their neighbours do
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

/// One block's stored scale code and the factor that its elements meet.
struct BlockFactors {
  std::uint8_t code;
  float factor;
};
__device__ BlockFactors power_of_two(int exponent) {
  const int code = max(exponent, 0);
  // 2^(127 - code), normal since code <= 253; the product is exact unless it is subnormal, and
  // then it rounds to the same code, a zero, either way.
  return {static_cast<std::uint8_t>(code),
          __uint_as_float(static_cast<unsigned>(254 - code) << 23)};
}

struct NvFp4Te {
  static constexpr int block = 16;
  float encode_sixth, decode;  // S_enc * (1/6) and 1 / S_enc
  __device__ explicit NvFp4Te(unsigned amax_bits) {
    const float amax = __uint_as_float(amax_bits);
    float encode = fminf(2688.0F / amax, FLT_MAX);
    if (amax == 0.0F || encode == 0.0F) encode = 1.0F;
    encode_sixth = encode * (1.0F / 6.0F);
    decode = 1.0F / encode;
  }
  __device__ BlockFactors factors(float amax) const {
    const float target = fminf(amax * encode_sixth, FLT_MAX);
    const std::uint8_t code = __nv_cvt_float_to_fp8(target, __NV_SATFINITE, __NV_E4M3);
    return {code, fminf(1.0F / (decode_ue4m3(code) * decode), FLT_MAX)};
  }
  static __device__ float element(float x, float factor) { return x * factor; }
};
struct NvFp4Divide {
  static constexpr int block = 16;
  float decode;
  __device__ explicit NvFp4Divide(unsigned amax_bits) {
    decode = __uint_as_float(amax_bits) / 2688.0F;
    if (decode == 0.0F) decode = 1.0F;
  }
  __device__ BlockFactors factors(float amax) const {
    const std::uint8_t code =
        __nv_cvt_float_to_fp8(amax / 6.0F / decode, __NV_SATFINITE, __NV_E4M3);
    return {code, decode_ue4m3(code) * decode};
  }
  static __device__ float element(float x, float factor) {
    return factor == 0.0F ? 0.0F : x / factor;
  }
};
struct PowerOfTwo {
  static constexpr int block = 32;
  static constexpr float decode = 1.0F;
  __device__ explicit PowerOfTwo(unsigned) {}
  static __device__ float element(float x, float factor) { return x * factor; }
};
/// amax = 2^k m, 1 <= m < 2: 2^(k - 2).
struct MxFp4Floor : PowerOfTwo {
  using PowerOfTwo::PowerOfTwo;
  static __device__ BlockFactors factors(float amax) {
    return power_of_two(static_cast<int>(__float_as_uint(amax) >> 23) - 2);
  }
};
/// 2^ceil(log2(amax / 6)): 2^(k - 2) up to m = 1.5, 2^(k - 1) above.
struct MxFp4Rceil : PowerOfTwo {
  using PowerOfTwo::PowerOfTwo;
  static __device__ BlockFactors factors(float amax) {
    const unsigned bits = __float_as_uint(amax);
    return power_of_two(static_cast<int>(bits >> 23) - 2 +
                        static_cast<int>((bits & 0x7FFFFFU) > 0x400000U));
  }
};
/// The FP32 product with FP32(1/6), its exponent rounded up.
struct DeepSeekV4 : PowerOfTwo {
  using PowerOfTwo::PowerOfTwo;
  static __device__ BlockFactors factors(float amax) {
    const float sixth = fmaxf(amax, 0x1.8p-124F) * (1.0F / 6.0F);
    return power_of_two(static_cast<int>((__float_as_uint(sixth) + 0x7FFFFFU) >> 23));
  }
};

// blockDim.x threads work along a row, blockDim.y rows at a time; all lanes stay for the shuffles.
template <class In, class Order, bool whole>
__global__ void __launch_bounds__(kThreads) quantize_kernel(QuantizeTask task) {
  constexpr int width = Piece<In>::count;
  const Order order(task.amax_bits == nullptr ? 0 : *task.amax_bits);
  if (Order::block == 16 && (blockIdx.x | blockIdx.y | threadIdx.x | threadIdx.y) == 0)
    *task.tensor_scale = order.decode;
  const std::int64_t row_bytes = (task.cols + 1) / 2;
  const std::int64_t step = std::int64_t{blockDim.x} * width;
  const std::int64_t first0 = blockIdx.x * step * kAhead + threadIdx.x * width;
  for (std::int64_t row0 = std::int64_t{blockIdx.y} * blockDim.y; row0 < task.rows;
       row0 += std::int64_t{gridDim.y} * blockDim.y) {
    const std::int64_t row = row0 + threadIdx.y;
    const std::int64_t cols = row < task.rows ? task.cols : 0;
    const In* x = static_cast<const In*>(task.x) + row * task.cols;
    Piece<In> pieces[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) pieces[i] = load_piece<In, whole>(x, first0 + i * step, cols);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::int64_t first = first0 + i * step;
      unsigned amax = pieces[i].magnitude();
#pragma unroll
      for (int lane = 1; lane < Order::block / width; lane *= 2)
        amax = max(amax, __shfl_xor_sync(0xFFFFFFFFU, amax, lane));
      // A block with NaN or Inf stores the NaN scale and codes 0.
      const bool poisoned = amax >= kInfinity;
      const BlockFactors factors = order.factors(__uint_as_float(poisoned ? 0U : amax));
      std::uint32_t codes[width / 8];
#pragma unroll
      for (int part = 0; part < width / 8; ++part) {
        float scaled[8];
#pragma unroll
        for (int e = 0; e < 8; ++e)
          scaled[e] = Order::element(pieces[i][8 * part + e], factors.factor);
        codes[part] = poisoned ? 0 : encode_e2m1(scaled);
      }
      if (first >= cols) continue;
      std::uint8_t* out = task.codes + row * row_bytes + first / 2;
      if constexpr (!whole) {  // what is past the row is +0: so is the unused nibble of an odd row
#pragma unroll
        for (int byte = 0; byte < width / 2; ++byte)
          if (first + 2 * byte < cols)
            out[byte] = static_cast<std::uint8_t>(codes[byte / 4] >> 8 * (byte % 4));
      } else if constexpr (width == 8) {
        *reinterpret_cast<std::uint32_t*>(out) = codes[0];
      } else {
        *reinterpret_cast<uint2*>(out) = make_uint2(codes[0], codes[1]);
      }
      if (first % Order::block == 0)
        task.scales[task.index(row, first / Order::block)] = !poisoned            ? factors.code
                                                             : Order::block == 16 ? 0x7F
                                                                                  : 0xFF;
    }
  }
}

template <bool mxfp4>
__global__ void dequantize_kernel(const std::uint8_t* codes, const std::uint8_t* scales,
                                  const float* tensor_scale, std::int64_t rows, std::int64_t cols,
                                  ScaleIndex index, float* out) {
  const std::int64_t id = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (id >= rows * cols) return;
  const std::int64_t row = id / cols;
  const std::int64_t col = id % cols;
  const float element = decode_e2m1(codes[row * ((cols + 1) / 2) + col / 2] >> (col % 2 * 4) & 15);
  if constexpr (mxfp4)
    out[id] = element * decode_e8m0(scales[index(row, col / 32)]);
  else
    out[id] = element * decode_ue4m3(scales[index(row, col / 16)]) * *tensor_scale;
}

unsigned grid(std::int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

bool takes_vectors(const QuantizeTask& task, int block) {
  const auto aligned = [](const void* at, std::uintptr_t to) {
    return reinterpret_cast<std::uintptr_t>(at) % to == 0;
  };
  return task.cols % block == 0 && aligned(task.x, 16) && aligned(task.codes, 8);
}

template <class In, class Order>
void start(const QuantizeTask& task, cudaStream_t stream) {
  constexpr int width = Piece<In>::count;
  const std::int64_t pieces = (task.cols + width - 1) / width;
  unsigned across = 4;  // at least the threads of a block of 32
  while (across < kThreads && across < pieces) across *= 2;
  const unsigned down = kThreads / across;
  const auto blocks_x = static_cast<unsigned>((pieces + across * kAhead - 1) / (across * kAhead));
  const auto blocks_y =
      static_cast<unsigned>(std::min<std::int64_t>((task.rows + down - 1) / down, 32768));
  const auto kernel = takes_vectors(task, Order::block) ? quantize_kernel<In, Order, true>
                                                        : quantize_kernel<In, Order, false>;
  kernel<<<dim3(blocks_x, blocks_y), dim3(across, down), 0, stream>>>(task);
  check(cudaGetLastError(), "quantize");
}

template <class Order>
void start(const QuantizeTask& task, cudaStream_t stream) {
  if (task.bf16)
    start<std::uint16_t, Order>(task, stream);
  else
    start<float, Order>(task, stream);
}

}  // namespace

cudaError_t machine_code_present() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, dequantize_kernel<true>);
  (void)cudaGetLastError();  // a missing image must not stick to the next call
  return status;
}

void launch_amax(const QuantizeTask& task, cudaStream_t stream) {
  check(cudaMemsetAsync(task.amax_bits, 0, sizeof(unsigned), stream), "cudaMemset");
  const std::int64_t count = task.rows * task.cols;
  if (count == 0) return;
  const unsigned blocks = std::min(grid(count / (8 * kAhead) + 1), 2112U);
  const bool whole = count % 16 == 0 && takes_vectors(task, 1);
  const auto kernel =
      task.bf16 ? (whole ? amax_kernel<std::uint16_t, true> : amax_kernel<std::uint16_t, false>)
                : (whole ? amax_kernel<float, true> : amax_kernel<float, false>);
  kernel<<<blocks, kThreads, 0, stream>>>(task);
  check(cudaGetLastError(), "amax");
}

void launch_quantize(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream) {
  if (task.rows == 0 || task.cols == 0) return;  // a grid without blocks is an error
  switch (order) {
    case QuantizeOrder::nvfp4_te:
      return start<NvFp4Te>(task, stream);
    case QuantizeOrder::nvfp4_divide:
      return start<NvFp4Divide>(task, stream);
    case QuantizeOrder::mxfp4_floor:
      return start<MxFp4Floor>(task, stream);
    case QuantizeOrder::mxfp4_rceil:
      return start<MxFp4Rceil>(task, stream);
    case QuantizeOrder::deepseek_v4:
      return start<DeepSeekV4>(task, stream);
  }
}

void quantize(QuantizeOrder order, QuantizeTask task) {
  DeviceBuffer<unsigned> amax(1);
  if (has_tensor_scale(order)) {
    task.amax_bits = amax.data();
    launch_amax(task, nullptr);
    if (task.rows * task.cols == 0) {
      const float one = 1.0F;
      check(cudaMemcpy(task.tensor_scale, &one, sizeof one, cudaMemcpyHostToDevice), "cudaMemcpy");
    }
  }
  launch_quantize(order, task, nullptr);
  check_kernel("quantize");
}

void dequantize(const std::uint8_t* codes, const std::uint8_t* scales, const float* tensor_scale,
                std::int64_t rows, std::int64_t cols, ScaleIndex index, float* out) {
  if (rows * cols == 0) return;
  const auto kernel = tensor_scale == nullptr ? dequantize_kernel<true> : dequantize_kernel<false>;
  kernel<<<grid(rows * cols), kThreads>>>(codes, scales, tensor_scale, rows, cols, index, out);
  check_kernel("dequantize");
}

}  // namespace assay::kernels::cuda
