// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/mma_gemm.h"

namespace assay::kernels::cuda {
namespace {

using simulator::DeviceMma;

/// 256 threads compute 64 x 64 outputs, each 4 x 4 of them.
constexpr int threads = 256;
constexpr int side = 64;
constexpr int own = 4;

struct Problem {
  DeviceMma model;
  int n, k;
  const std::uint8_t *a, *b, *scale_a, *scale_b;
  std::uint32_t* d;
  std::uint8_t* done;
};

/// A chunk of one operand, k before the row, so that a thread's four rows are one load.
template <class T>
struct FusedTile {
  static constexpr int chunk = simulator::device_fused_chunk;
  alignas(16) T value[chunk][side];
  alignas(16) std::uint32_t exponents[chunk / 2][side];  ///< of two k, 16 bits each
  int zero[2][side];                                     ///< any, by step of the chunk
  int special[side];                                     ///< any so far

  /// Eight codes a thread: row threadIdx.x / 4.
  __device__ void load(const simulator::UnitFormat& f, const std::uint8_t* codes, int k, int at,
                       int step) {
    const int row = static_cast<int>(threadIdx.x) / 4;
    const int first = static_cast<int>(threadIdx.x) % 4 * 8;
    const uint2 words =
        *reinterpret_cast<const uint2*>(codes + static_cast<std::int64_t>(row) * k + at + first);
    bool any_zero = false;
    bool any_special = false;
    std::uint32_t pair = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const std::uint32_t code = (i < 4 ? words.x : words.y) >> (i % 4 * 8) & 0xFFU;
      const auto x = simulator::device_read<T>(f, code);
      any_zero |= x.exponent == simulator::device_zero_exponent;
      any_special |= x.special;
      value[first + i][row] = x.value;
      const auto bits = static_cast<std::uint32_t>(x.exponent) & 0xFFFFU;
      pair = i % 2 == 0 ? bits : pair | bits << 16;
      if (i % 2 == 1) exponents[(first + i) / 2][row] = pair;
    }
    if (any_zero) zero[first / step][row] = 1;
    if (any_special) special[row] = 1;
  }
};

template <class T>
struct Four {
  T x[own];
};
template <class T>
__device__ Four<T> four(const T* from) {
  return *reinterpret_cast<const Four<T>*>(__builtin_assume_aligned(from, 16));
}

template <class T>
__global__ void __launch_bounds__(threads, 2) fused_kernel(Problem p) {
  constexpr int chunk = simulator::device_fused_chunk;
  __shared__ FusedTile<T> a, b;
  const simulator::MmaUnit& u = p.model.unit;
  const int row = static_cast<int>(threadIdx.x) / 16 * own;
  const int col = static_cast<int>(threadIdx.x) % 16 * own;
  const auto first_row = static_cast<std::int64_t>(blockIdx.y) * side;
  const auto first_col = static_cast<std::int64_t>(blockIdx.x) * side;
  std::uint32_t code[own][own] = {};
  unsigned undone = 0;
  if (threadIdx.x < side) a.special[threadIdx.x] = b.special[threadIdx.x] = 0;
  for (int at = 0; at < p.k; at += chunk) {
    __syncthreads();
    if (threadIdx.x < 2 * side) {
      a.zero[threadIdx.x / side][threadIdx.x % side] = 0;
      b.zero[threadIdx.x / side][threadIdx.x % side] = 0;
    }
    __syncthreads();
    a.load(u.a, p.a + first_row * p.k, p.k, at, u.step);
    b.load(u.b, p.b + first_col * p.k, p.k, at, u.step);
    __syncthreads();
    for (int step = 0; step < chunk; step += u.step) {
      // The largest exponents, two k at a time.
      std::uint32_t largest[own][own];
#pragma unroll
      for (auto& line : largest)
#pragma unroll
        for (auto& x : line) x = 0xC000C000U;
#pragma unroll 4
      for (int i = step / 2; i < (step + u.step) / 2; ++i) {
        const auto ea = four(&a.exponents[i][row]);
        const auto eb = four(&b.exponents[i][col]);
#pragma unroll
        for (int r = 0; r < own; ++r)
#pragma unroll
          for (int c = 0; c < own; ++c)
            largest[r][c] = __viaddmax_s16x2(ea.x[r], eb.x[c], largest[r][c]);
      }
      T constant[own][own];
      T sum[own][own];
      int e_max[own][own];
#pragma unroll
      for (int r = 0; r < own; ++r)
#pragma unroll
        for (int c = 0; c < own; ++c) {
          const int low = static_cast<std::int16_t>(largest[r][c] & 0xFFFFU);
          const int high = static_cast<std::int16_t>(largest[r][c] >> 16);
          const bool zero = (a.zero[step / u.step][row + r] | b.zero[step / u.step][col + c]) != 0;
          const auto start = simulator::device_accumulator<T>(u.d, code[r][c]);
          int e = simulator::device_e_max(u, max(low, high), zero, start.exponent);
          if (start.special || e > simulator::device_highest_exponent) {
            undone |= 1U << (r * own + c);
            e = 0;
          }
          e_max[r][c] = e;
          constant[r][c] = simulator::device_constant<T>(u, e);
          sum[r][c] = simulator::device_truncated<T>(start.value, T{1}, constant[r][c]);
        }
#pragma unroll 4
      for (int i = step; i < step + u.step; ++i) {
        const auto va = four(&a.value[i][row]);
        const auto vb = four(&b.value[i][col]);
        std::uint32_t signs_a[own];
        std::uint32_t signs_b[own];
#pragma unroll
        for (int r = 0; r < own; ++r) {
          signs_a[r] = simulator::device_sign(va.x[r]);
          signs_b[r] = simulator::device_sign(vb.x[r]);
        }
#pragma unroll
        for (int r = 0; r < own; ++r)
#pragma unroll
          for (int c = 0; c < own; ++c)
            sum[r][c] += simulator::device_truncated(va.x[r], signs_a[r], vb.x[c], signs_b[c],
                                                     constant[r][c]);
      }
#pragma unroll
      for (int r = 0; r < own; ++r)
#pragma unroll
        for (int c = 0; c < own; ++c)
          code[r][c] = simulator::device_converted<T>(u, sum[r][c], e_max[r][c]);
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < own; ++r)
#pragma unroll
    for (int c = 0; c < own; ++c) {
      const std::int64_t out = (first_row + row + r) * p.n + first_col + col + c;
      const bool special = (a.special[row + r] | b.special[col + c]) != 0;
      p.d[out] = code[r][c];
      p.done[out] = special || (undone >> (r * own + c) & 1U) != 0 ? 0 : 1;
    }
}

/// 64 k of one operand: bytes of twice the value, four a word.
struct GroupedTile {
  static constexpr int chunk = simulator::device_grouped_chunk;
  std::uint32_t words[chunk / 4][side];
  int nonzero[chunk / 16][side];  ///< a bit per element of a group
  int scale[chunk / 16][side], exponent[chunk / 16][side];
  int special[side];

  /// A group a thread: row threadIdx.x / 4.
  __device__ void load(const DeviceMma& m, const std::uint8_t* codes, const std::uint8_t* scales,
                       int k, int at) {
    const int row = static_cast<int>(threadIdx.x) / 4;
    const int group = static_cast<int>(threadIdx.x) % 4;
    const uint4 packed = *reinterpret_cast<const uint4*>(
        codes + static_cast<std::int64_t>(row) * k + at + group * 16);
    const std::uint32_t in[4] = {packed.x, packed.y, packed.z, packed.w};
    int bits = 0;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      std::uint32_t out = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::uint32_t x = simulator::device_e2m1(in[w] >> (8 * i) & 0xFU);
        out |= x << (8 * i);
        if (x != 0) bits |= 1 << (w * 4 + i);
      }
      words[group * 4 + w][row] = out;
    }
    nonzero[group][row] = bits;
    const int block = (at + group * 16) / m.scale_block;
    const simulator::DeviceScale s = simulator::device_scale(
        m.scale, scales[static_cast<std::int64_t>(row) * (k / m.scale_block) + block]);
    scale[group][row] = s.significand;
    exponent[group][row] = s.exponent;
    if (s.nan) special[row] = 1;
  }
};

__global__ void __launch_bounds__(threads, 2) grouped_kernel(Problem p) {
  constexpr int chunk = simulator::device_grouped_chunk;
  __shared__ GroupedTile a, b;
  const int row = static_cast<int>(threadIdx.x) / 16;
  const int col = static_cast<int>(threadIdx.x) % 16;
  const auto first_row = static_cast<std::int64_t>(blockIdx.y) * side;
  const auto first_col = static_cast<std::int64_t>(blockIdx.x) * side;
  std::uint32_t code[own][own] = {};
  unsigned undone = 0;
  if (threadIdx.x < side) a.special[threadIdx.x] = b.special[threadIdx.x] = 0;
  for (int at = 0; at < p.k; at += chunk) {
    __syncthreads();
    const int blocks = p.k / p.model.scale_block;
    a.load(p.model, p.a + first_row * p.k, p.scale_a + first_row * blocks, p.k, at);
    b.load(p.model, p.b + first_col * p.k, p.scale_b + first_col * blocks, p.k, at);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < own; ++r) {
      const int i = row + 16 * r;
      std::uint32_t words[chunk / 4];
#pragma unroll
      for (int w = 0; w < chunk / 4; ++w) words[w] = a.words[w][i];
#pragma unroll
      for (int c = 0; c < own; ++c) {
        const int j = col + 16 * c;
        simulator::DeviceGroup group[4];
        std::int32_t scale[4];
        std::int32_t exponent[4];
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          group[g].sum = 0;
#pragma unroll
          for (int w = 0; w < 4; ++w)
            group[g].sum =
                simulator::device_dot4(words[g * 4 + w], b.words[g * 4 + w][j], group[g].sum);
          group[g].zero = (a.nonzero[g][i] & b.nonzero[g][j]) == 0;
          scale[g] = a.scale[g][i] * b.scale[g][j];
          exponent[g] = a.exponent[g][i] + b.exponent[g][j];
        }
        if (!simulator::device_grouped_step(p.model, group, scale, exponent, code[r][c]))
          undone |= 1U << (r * own + c);
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < own; ++r)
#pragma unroll
    for (int c = 0; c < own; ++c) {
      const int i = row + 16 * r;
      const int j = col + 16 * c;
      const std::int64_t out = (first_row + i) * p.n + first_col + j;
      p.d[out] = code[r][c];
      p.done[out] =
          (a.special[i] | b.special[j]) != 0 || (undone >> (r * own + c) & 1U) != 0 ? 0 : 1;
    }
}

void launch(const Problem& p, std::int64_t m) {
  const dim3 grid(static_cast<unsigned>(p.n / side), static_cast<unsigned>(m / side));
  if (p.model.grouped)
    grouped_kernel<<<grid, threads>>>(p);
  else if (p.model.wide)
    fused_kernel<double><<<grid, threads>>>(p);
  else
    fused_kernel<float><<<grid, threads>>>(p);
}

}  // namespace

double run_device_mma(const DeviceMmaCall& call, int repeats) {
  const int chunk =
      call.model.grouped ? simulator::device_grouped_chunk : simulator::device_fused_chunk;
  if (call.m % side != 0 || call.n % side != 0 || call.k % chunk != 0 || call.m <= 0 ||
      call.n <= 0 || call.k <= 0)
    throw std::invalid_argument(
        "models on the device take m and n that are multiples of 64, and k of " +
        std::to_string(chunk));
  const DeviceBuffer<std::uint8_t> a(call.a);
  const DeviceBuffer<std::uint8_t> b(call.b);
  const DeviceBuffer<std::uint8_t> scale_a(call.scale_a);
  const DeviceBuffer<std::uint8_t> scale_b(call.scale_b);
  DeviceBuffer<std::uint32_t> d(call.d.size());
  DeviceBuffer<std::uint8_t> done(call.done.size());
  d.fill(0xFF);
  done.fill(0);
  const auto plain = [](const DeviceBuffer<std::uint8_t>& x) {
    return const_cast<DeviceBuffer<std::uint8_t>&>(x).data();
  };
  const Problem p{call.model, static_cast<int>(call.n), static_cast<int>(call.k), plain(a),
                  plain(b),   plain(scale_a),           plain(scale_b),           d.data(),
                  done.data()};
  cudaEvent_t begin{};
  cudaEvent_t end{};
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> milliseconds;
  for (int run = 0; run <= repeats; ++run) {
    check(cudaEventRecord(begin), "cudaEventRecord");
    launch(p, call.m);
    check(cudaEventRecord(end), "cudaEventRecord");
    check_kernel("a model on the device");
    float elapsed = 0;
    check(cudaEventElapsedTime(&elapsed, begin, end), "cudaEventElapsedTime");
    if (run != 0) milliseconds.push_back(elapsed);  // the first warms up
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  d.copy_to(call.d);
  done.copy_to(call.done);
  std::sort(milliseconds.begin(), milliseconds.end());
  return 1e-3 * milliseconds[milliseconds.size() / 2];
}

std::string mma_gpu(int device, std::string& reason) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    reason = "no CUDA GPU is visible";
    return {};
  }
  if (device < 0 || device >= count) {
    reason = "there is no GPU " + std::to_string(device) + "; " + std::to_string(count) +
             " are visible, from 0 on";
    return {};
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  check(cudaSetDevice(device), "cudaSetDevice");
  return properties.name;
}

}  // namespace assay::kernels::cuda
