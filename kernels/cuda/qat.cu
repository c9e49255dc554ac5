// SPDX-License-Identifier: Apache-2.0
// The elementwise parts of a QAT step, bound by memory. A thread has four neighbouring weights at a
// time, the lanes of a block share its maximum and its sums by shuffles, and some fours are loaded
// before the first is used. Compiled with --fmad=false.
#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/qat.cuh"
#include "kernels/cuda/qat_elements.cuh"
#include "kernels/cuda/quantize_orders.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFours = 4;           // that a thread loads at once
constexpr int kEstimatedFours = 2;  // the same, of each of two arrays
constexpr unsigned kInfinityBits = 0x7F800000U;

/// Rows of fours: a row is whole blocks of Block / 4 lanes. blockDim.x threads go along a row,
/// blockDim.y rows at a time.
struct Four {
  float v[4];
};
__device__ Four load_four(const float* row, std::int64_t col, std::int64_t cols, bool vectors) {
  if (vectors && col < cols) {
    const float4 v = __ldg(reinterpret_cast<const float4*>(row + col));
    return {{v.x, v.y, v.z, v.w}};
  }
  Four f{};
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (col + i < cols) f.v[i] = row[col + i];
  return f;
}
__device__ void store_four(float* row, std::int64_t col, std::int64_t cols, bool vectors,
                           const Four& f) {
  if (vectors && col < cols) {
    *reinterpret_cast<float4*>(row + col) = make_float4(f.v[0], f.v[1], f.v[2], f.v[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (col + i < cols) row[col + i] = f.v[i];
}

struct Launch {
  dim3 grid, threads;
};
Launch launch_of(std::int64_t rows, std::int64_t cols, int block, unsigned at_once) {
  const std::int64_t fours = (cols + block - 1) / block * (block / 4);
  unsigned across = 8;
  while (across < kThreads && across * at_once < fours) across *= 2;
  const unsigned down = kThreads / across;
  return {dim3(static_cast<unsigned>((fours + across * at_once - 1) / (across * at_once)),
               static_cast<unsigned>(std::min<std::int64_t>((rows + down - 1) / down, 32768))),
          dim3(across, down)};
}

struct FakeQuantizeTask {
  QatWeights weights;
  const float* given;
  const unsigned* amax_bits;
  float* out;
  bool vectors;
};

/// The scale factor that a block stores and what its elements meet.
struct StoredScale {
  float scale;
  BlockFactors factors;
};

template <class Order>
struct FromAmax {
  Order order;
  __device__ explicit FromAmax(const unsigned* amax_bits)
      : order(amax_bits == nullptr ? 0.0F : float_of(*amax_bits)) {}
  __device__ float decode() const { return order.decode; }
  __device__ StoredScale of(float amax, float) const {
    const BlockFactors factors = order.factors(amax);
    return {Order::decode_scale(factors.code), factors};
  }
};
template <int block>
struct FromAmax<Learned<block>> {
  __device__ explicit FromAmax(const unsigned*) {}
  __device__ static float decode() { return 1.0F; }
  __device__ static StoredScale of(float, float given) {
    return {given, Learned<block>::factors_of(given, 1.0F)};
  }
};

template <class Order>
__global__ void __launch_bounds__(kThreads, 4) fake_quantize_kernel(FakeQuantizeTask t) {
  constexpr int lanes = Order::block / 4;
  const QatWeights& w = t.weights;
  const std::int64_t blocks = (w.cols + Order::block - 1) / Order::block;
  const std::int64_t four0 = blockIdx.x * std::int64_t{blockDim.x} * kFours + threadIdx.x;
  const FromAmax<Order> source(t.amax_bits);
  const float decode = source.decode();
  if ((blockIdx.x | blockIdx.y | threadIdx.x | threadIdx.y) == 0) *w.tensor_scale = decode;
  for (std::int64_t row0 = std::int64_t{blockIdx.y} * blockDim.y; row0 < w.rows;
       row0 += std::int64_t{gridDim.y} * blockDim.y) {
    const std::int64_t row = row0 + threadIdx.y;
    const std::int64_t cols = row < w.rows ? w.cols : 0;
    Four fours[kFours];
    float given[kFours] = {};
#pragma unroll
    for (int j = 0; j < kFours; ++j) {
      const std::int64_t four = four0 + j * blockDim.x;
      fours[j] = load_four(w.w + row * w.cols, 4 * four, cols, t.vectors);
      if (t.given != nullptr && cols > 0 && four / lanes < blocks)
        given[j] = __ldg(t.given + row * blocks + four / lanes);
    }
#pragma unroll
    for (int j = 0; j < kFours; ++j) {
      const std::int64_t four = four0 + j * blockDim.x;
      const std::int64_t block = four / lanes;
      unsigned amax = 0;
#pragma unroll
      for (const float v : fours[j].v) amax = max(amax, __float_as_uint(v) & 0x7FFFFFFFU);
#pragma unroll
      for (int lane = 1; lane < lanes; lane *= 2)
        amax = max(amax, __shfl_xor_sync(0xFFFFFFFFU, amax, lane));
      if (cols == 0 || block >= blocks) continue;
      const bool poisoned = amax >= kInfinityBits;
      const std::int64_t at = row * blocks + block;
      StoredScale s = source.of(__uint_as_float(poisoned ? 0U : amax), given[j]);
      if (poisoned) s.scale = NAN;
      Four out;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        out.v[i] = Order::rounded(fours[j].v[i], s.factors) * s.scale;
        if constexpr (Order::has_tensor_scale) out.v[i] *= decode;
      }
      store_four(t.out + row * w.cols, 4 * four, cols, t.vectors, out);
      if (four % lanes == 0) w.scales[at] = s.scale;
    }
  }
}

struct EstimateTask {
  QatWeights weights;
  float parameter;
  float *dw, *dscale;
  bool vectors;
};

template <class Order, Estimator estimator, Mutant mutant>
__global__ void __launch_bounds__(kThreads, 4) estimate_kernel(EstimateTask t) {
  constexpr int lanes = Order::block / 4;
  constexpr bool uses_code = estimator != Estimator::clip_mask && estimator != Estimator::pact &&
                             estimator != Estimator::dge;
  constexpr bool with_scale = estimator == Estimator::lsq || estimator == Estimator::pact;
  const QatWeights& w = t.weights;
  const std::int64_t blocks = (w.cols + Order::block - 1) / Order::block;
  const std::int64_t four0 = blockIdx.x * std::int64_t{blockDim.x} * kEstimatedFours + threadIdx.x;
  const float tensor_scale = *w.tensor_scale;
  for (std::int64_t row0 = std::int64_t{blockIdx.y} * blockDim.y; row0 < w.rows;
       row0 += std::int64_t{gridDim.y} * blockDim.y) {
    const std::int64_t row = row0 + threadIdx.y;
    const std::int64_t cols = row < w.rows ? w.cols : 0;
    float* dw = t.dw + row * w.cols;
    Four weights[kEstimatedFours];
    Four gradients[kEstimatedFours];
    float scales[kEstimatedFours];
#pragma unroll
    for (int j = 0; j < kEstimatedFours; ++j) {
      const std::int64_t four = four0 + j * blockDim.x;
      weights[j] = load_four(w.w + row * w.cols, 4 * four, cols, t.vectors);
      gradients[j] = load_four(dw, 4 * four, cols, t.vectors);
      std::int64_t at = row * blocks + four / lanes;
      if (mutant == Mutant::neighbour_scale && at > 0) --at;
      scales[j] = cols > 0 && four / lanes < blocks ? w.scales[at] : 1.0F;
    }
#pragma unroll
    for (int j = 0; j < kEstimatedFours; ++j) {
      const std::int64_t four = four0 + j * blockDim.x;
      const EstimatorBlock block(double{scales[j]} * tensor_scale);
      const BlockFactors factors = Order::factors_of(scales[j], tensor_scale);
      Four out;
      double sum = 0.0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float x = weights[j].v[i];
        const float g = gradients[j].v[i];
        const float q = uses_code ? Order::rounded(x, factors) : 0.0F;
        const float seen =
            mutant == Mutant::rounded_mask ? Order::rounded(x, factors) * scales[j] : x;
        out.v[i] = weight_gradient<estimator>(block, seen, q, g, t.parameter);
        const std::int64_t last = mutant == Mutant::short_sum ? cols - 1 : cols;
        if (with_scale && 4 * four + i < last) sum += scale_term<estimator>(block, x, q, g);
      }
      if constexpr (with_scale) {
#pragma unroll
        for (int lane = 1; lane < lanes; lane *= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, lane);
      }
      if (cols == 0) continue;
      store_four(dw, 4 * four, cols, t.vectors, out);
      if (with_scale && four % lanes == 0 && four / lanes < blocks) {
        const auto count =
            static_cast<int>(min(std::int64_t{Order::block}, cols - four / lanes * Order::block));
        t.dscale[row * blocks + four / lanes] =
            scale_gradient<estimator>(block, sum, count, tensor_scale);
      }
    }
  }
}

__global__ void partial_sums_kernel(const float* dy, std::int64_t rows, std::int64_t cols,
                                    float* partial) {
  const std::int64_t col = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (col >= cols) return;
  const std::int64_t first = std::int64_t{blockIdx.y} * kSumRows;
  const std::int64_t last = min(first + kSumRows, rows);
  float sum = 0.0F;
#pragma unroll 8
  for (std::int64_t row = first; row < last; ++row) sum += __ldg(dy + row * cols + col);
  partial[blockIdx.y * cols + col] = sum;
}
__global__ void total_sums_kernel(const float* partial, std::int64_t parts, std::int64_t cols,
                                  float* dbias) {
  const std::int64_t col = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (col >= cols) return;
  float sum = 0.0F;
#pragma unroll 8
  for (std::int64_t part = 0; part < parts; ++part) sum += partial[part * cols + col];
  dbias[col] = sum;
}

bool takes_vectors(std::int64_t cols, std::initializer_list<const void*> arrays) {
  return cols % 4 == 0 && std::all_of(arrays.begin(), arrays.end(), [](const void* at) {
           return reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
         });
}

template <class Start>
void for_qat_order(QatOrder order, const Start& start) {
  switch (order) {
    case QatOrder::nvfp4_te:
      return start.template operator()<NvFp4Te>();
    case QatOrder::nvfp4_divide:
      return start.template operator()<NvFp4Divide>();
    case QatOrder::mxfp4_rceil:
      return start.template operator()<MxFp4Rceil>();
    case QatOrder::learned_16:
      return start.template operator()<Learned<16>>();
    case QatOrder::learned_32:
      return start.template operator()<Learned<32>>();
  }
}

template <class Order, Mutant mutant = Mutant::none>
void start_estimate(Estimator estimator, const EstimateTask& task, cudaStream_t stream) {
  const Launch l = launch_of(task.weights.rows, task.weights.cols, Order::block, kEstimatedFours);
  const auto start = [&]<Estimator e>() {
    estimate_kernel<Order, e, mutant><<<l.grid, l.threads, 0, stream>>>(task);
  };
  switch (estimator) {
    case Estimator::identity:
      return;
    case Estimator::clip_mask:
      return start.template operator()<Estimator::clip_mask>();
    case Estimator::lsq:
      return start.template operator()<Estimator::lsq>();
    case Estimator::pact:
      return start.template operator()<Estimator::pact>();
    case Estimator::ewgs:
      return start.template operator()<Estimator::ewgs>();
    case Estimator::dge:
      return start.template operator()<Estimator::dge>();
    case Estimator::trust_mask:
      return start.template operator()<Estimator::trust_mask>();
  }
}

}  // namespace

void launch_fake_quantize(QatOrder order, const QatWeights& weights, const float* given,
                          const unsigned* amax_bits, float* out, cudaStream_t stream) {
  if (weights.rows * weights.cols == 0) return;
  const FakeQuantizeTask task{weights, given, amax_bits, out,
                              takes_vectors(weights.cols, {weights.w, out})};
  for_qat_order(order, [&]<class Order>() {
    const Launch l = launch_of(weights.rows, weights.cols, Order::block, kFours);
    fake_quantize_kernel<Order><<<l.grid, l.threads, 0, stream>>>(task);
  });
  check(cudaGetLastError(), "fake_quantize");
}

void launch_estimate(QatOrder order, Estimator estimator, const QatWeights& weights,
                     float parameter, float* dw, float* dscale, cudaStream_t stream,
                     Mutant mutant) {
  if (weights.rows * weights.cols == 0) return;
  const EstimateTask task{weights, parameter, dw, dscale,
                          takes_vectors(weights.cols, {weights.w, dw})};
  switch (mutant) {  // faults are made of learned scales alone
    case Mutant::rounded_mask:
      start_estimate<Learned<16>, Mutant::rounded_mask>(estimator, task, stream);
      break;
    case Mutant::short_sum:
      start_estimate<Learned<16>, Mutant::short_sum>(estimator, task, stream);
      break;
    case Mutant::neighbour_scale:
      start_estimate<Learned<16>, Mutant::neighbour_scale>(estimator, task, stream);
      break;
    default:
      for_qat_order(order, [&]<class Order>() { start_estimate<Order>(estimator, task, stream); });
  }
  check(cudaGetLastError(), "estimate");
}

void launch_column_sums(const float* dy, std::int64_t rows, std::int64_t cols, float* partial,
                        float* dbias, cudaStream_t stream) {
  if (cols == 0) return;
  const auto across = static_cast<unsigned>((cols + kThreads - 1) / kThreads);
  const std::int64_t parts = (rows + kSumRows - 1) / kSumRows;
  if (parts > 0)
    partial_sums_kernel<<<dim3(across, static_cast<unsigned>(parts)), kThreads, 0, stream>>>(
        dy, rows, cols, partial);
  total_sums_kernel<<<across, kThreads, 0, stream>>>(partial, parts, cols, dbias);
  check(cudaGetLastError(), "column_sums");
}

}  // namespace assay::kernels::cuda
