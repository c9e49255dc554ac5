// SPDX-License-Identifier: Apache-2.0
// The BF16 master update: are the gradients finite, and one rounding for each master.
#include <algorithm>

#include "formats/philox.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/master_update.cuh"
#include "kernels/cuda/qat.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// Every writer writes the same.
__global__ void find_not_finite_kernel(MasterTask t) {
  bool found = false;
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
#pragma unroll 4
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < t.count / 4;
       i += stride) {
    const float4 g = __ldg(reinterpret_cast<const float4*>(t.gradients) + i);
    found = found || !isfinite(g.x) || !isfinite(g.y) || !isfinite(g.z) || !isfinite(g.w);
  }
  const std::int64_t rest = t.count / 4 * 4 + blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (rest < t.count) found = found || !isfinite(t.gradients[rest]);
  if (found) *t.skip = 1;
}

/// Four masters and their gradients, the four words of one Philox counter; what lies past the end
/// is 0.
struct MasterQuad {
  float g[4] = {};
  std::uint16_t w[4] = {};

  __device__ void load(const MasterTask& t, std::int64_t i) {
    if (i + 4 <= t.count) {
      const float4 v = __ldcs(reinterpret_cast<const float4*>(t.gradients + i));
      g[0] = v.x, g[1] = v.y, g[2] = v.z, g[3] = v.w;
      const ushort4 m = __ldcs(reinterpret_cast<const ushort4*>(t.masters + i));
      w[0] = m.x, w[1] = m.y, w[2] = m.z, w[3] = m.w;
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e)  // an index known to the compiler: else they lie in memory
        if (i + e < t.count) g[e] = t.gradients[i + e], w[e] = t.masters[i + e];
    }
  }
  __device__ void store(const MasterTask& t, std::int64_t i) const {
    if (i + 4 <= t.count)
      __stcs(reinterpret_cast<ushort4*>(t.masters + i), make_ushort4(w[0], w[1], w[2], w[3]));
    else
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (i + e < t.count) t.masters[i + e] = w[e];
  }
};

constexpr int kQuads = 4;  // of a thread, loaded before the first is used

template <bool stochastic>
__global__ void __launch_bounds__(kThreads, 4)
    update_masters_kernel(MasterTask t, double inverse_scale) {
  const std::int64_t first = 4 * (blockIdx.x * std::int64_t{kThreads} * kQuads + threadIdx.x);
  MasterQuad quads[kQuads];
#pragma unroll
  for (int q = 0; q < kQuads; ++q) quads[q].load(t, first + 4 * kThreads * q);
  const int skip = *t.skip;  // after the loads, which it would hold up
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
    const std::int64_t i = first + 4 * kThreads * q;
    formats::PhiloxWords words{};
    if constexpr (stochastic) {
      const auto counter = static_cast<std::uint64_t>(i / 4);
      words = formats::philox4x32_10(
          {{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0}},
          static_cast<std::uint32_t>(t.seed), static_cast<std::uint32_t>(t.seed >> 32));
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
      quads[q].w[e] = updated_master(quads[q].w[e], quads[q].g[e], t.rate, inverse_scale,
                                     stochastic ? t.random_bits : 0,
                                     stochastic ? words.w[e] >> (32 - t.random_bits) : 0);
    if (skip == 0 && i < t.count) quads[q].store(t, i);
  }
}

}  // namespace

void launch_find_not_finite(const MasterTask& task, cudaStream_t stream) {
  if (task.count == 0) return;
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>(task.count / (16 * kThreads), 1, 2112));
  find_not_finite_kernel<<<blocks, kThreads, 0, stream>>>(task);
  check(cudaGetLastError(), "find_not_finite");
}

void launch_update_masters(const MasterTask& task, cudaStream_t stream) {
  if (task.count == 0) return;
  constexpr std::int64_t each = std::int64_t{4} * kQuads * kThreads;
  const auto blocks = static_cast<unsigned>((task.count + each - 1) / each);
  const double inverse_scale = 1.0 / double{task.loss_scale};
  const auto kernel =
      task.random_bits > 0 ? update_masters_kernel<true> : update_masters_kernel<false>;
  kernel<<<blocks, kThreads, 0, stream>>>(task, inverse_scale);
  check(cudaGetLastError(), "update_masters");
}

}  // namespace assay::kernels::cuda
