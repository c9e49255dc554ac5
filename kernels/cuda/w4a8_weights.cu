// SPDX-License-Identifier: Apache-2.0
// Done once when weights are loaded: a block of 128 threads has 128 x 128 weights, a thread a row.
#include "kernels/cuda/w4a8_weights.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr int kBlock = 128, kSub = 32, kSubs = kBlock / kSub;

struct Source {
  const std::uint8_t *codes, *scales;
  std::int64_t rows, k;  ///< of one matrix
};

/// Of a row's 128 columns: its E8M0 codes, and whether a sub-block has a nonzero element.
struct Row {
  int scale[kSubs];
  bool nonzero[kSubs];
  int subs;  ///< that lie within k; 0: no row
};

__device__ Row read_row(const Source& from, std::int64_t matrix, std::int64_t row, std::int64_t k) {
  Row r{};
  if (row >= from.rows) return r;
  const std::int64_t at = (matrix * from.rows + row) * from.k + k;
  r.subs = static_cast<int>(min(std::int64_t{kSubs}, (from.k - k) / kSub));
#pragma unroll
  for (int s = 0; s < kSubs; ++s) {
    if (s >= r.subs) continue;
    r.scale[s] = from.scales[at / kSub + s];
    const auto* words = reinterpret_cast<const std::uint32_t*>(from.codes + at / 2 + s * kSub / 2);
    std::uint32_t any = 0;
    for (int w = 0; w < kSub / 8; ++w) any |= words[w];
    r.nonzero[s] = (any & 0x77777777U) != 0;
  }
  return r;
}

/// The largest scale code, of sub-blocks with a nonzero element and of all; NaN counts nowhere.
struct Largest {
  int nonzero = -1, any = -1;
};
__device__ Largest largest_of(const Row& r) {
  Largest l;
#pragma unroll
  for (int s = 0; s < kSubs; ++s) {
    if (s >= r.subs || r.scale[s] == kNanE8m0) continue;
    l.any = max(l.any, r.scale[s]);
    if (r.nonzero[s]) l.nonzero = max(l.nonzero, r.scale[s]);
  }
  return l;
}
__device__ Largest largest_of_block(Largest l) {
  __shared__ int nonzero, any;
  if (threadIdx.x == 0) nonzero = any = -1;
  __syncthreads();
  atomicMax(&nonzero, l.nonzero);
  atomicMax(&any, l.any);
  __syncthreads();
  return {nonzero, any};
}

__device__ int code_at(const Source& from, std::int64_t matrix, std::int64_t row, std::int64_t k) {
  const std::int64_t at = (matrix * from.rows + row) * from.k + k;
  return from.codes[at / 2] >> (at % 2 * 4) & 15;
}

/// lost[0]: a sub-block too far below its 128 x 128; lost[1]: an element lost in its 1 x 128.
__global__ void __launch_bounds__(kBlock) survey_kernel(Source from, std::uint32_t* lost) {
  const std::int64_t k = std::int64_t{blockIdx.x} * kBlock;
  const std::int64_t row = std::int64_t{blockIdx.y} * kBlock + threadIdx.x;
  const Row r = read_row(from, blockIdx.z, row, k);
  const Largest own = largest_of(r);
  const Largest all = largest_of_block(own);
  const int block_scale = common_scale(all.nonzero, all.any);
  const int row_scale = common_scale(own.nonzero, own.any);
#pragma unroll
  for (int s = 0; s < kSubs; ++s) {
    if (s >= r.subs || r.scale[s] == kNanE8m0 || !r.nonzero[s]) continue;
    if (r.scale[s] - block_scale < kNormalShift) lost[0] = 1;
    const int shift = r.scale[s] - row_scale;
    if (shift >= kNormalShift) continue;
    for (int i = 0; i < kSub; ++i)
      if (reencode_e2m1(code_at(from, blockIdx.z, row, k + s * kSub + i), shift) < 0) lost[1] = 1;
  }
}

__device__ float power_of_e8m0(int code) {
  return __uint_as_float(code == 0 ? 0x00400000U : static_cast<unsigned>(code) << 23);
}

__global__ void __launch_bounds__(kBlock)
    reencode_kernel(Source from, W4a8Weights to, std::uint8_t* codes, float* scales) {
  const std::int64_t k = std::int64_t{blockIdx.x} * kBlock;
  const std::int64_t row = std::int64_t{blockIdx.y} * kBlock + threadIdx.x;
  const std::int64_t matrix = blockIdx.z;
  const Row r = read_row(from, matrix, row, k);
  const Largest own = largest_of(r);
  const Largest all = largest_of_block(own);
  float* scale_at = scales + matrix * to.scale_rows() * to.padded_n() + row;
  int common = to.kind == W4a8Scales::block ? common_scale(all.nonzero, all.any)
                                            : common_scale(own.nonzero, own.any);
  if (to.kind != W4a8Scales::fine) scale_at[blockIdx.x * to.padded_n()] = power_of_e8m0(common);
#pragma unroll
  for (int s = 0; s < kSubs; ++s) {
    if (to.kind == W4a8Scales::fine) {
      const bool is_number = s < r.subs && r.scale[s] != kNanE8m0;
      common = common_scale(-1, is_number ? r.scale[s] : -1);
      scale_at[(blockIdx.x * kSubs + s) * to.padded_n()] = power_of_e8m0(common);
    }
    if (row >= to.n) continue;
    std::uint32_t out[kSub / 4] = {};
    if (s < r.subs)
#pragma unroll
      for (int i = 0; i < kSub; ++i) {
        const int code =
            r.scale[s] == kNanE8m0
                ? kNanE4m3
                : reencode_e2m1(code_at(from, matrix, row, k + s * kSub + i), r.scale[s] - common);
        out[i / 4] |= static_cast<std::uint32_t>(code & 0xFF) << i % 4 * 8;
      }
    auto* at =
        reinterpret_cast<uint4*>(codes + (matrix * to.n + row) * to.padded_k() + k + s * kSub);
    at[0] = {out[0], out[1], out[2], out[3]};
    at[1] = {out[4], out[5], out[6], out[7]};
  }
}

dim3 grid_of(const W4a8Weights& w) {
  return {static_cast<unsigned>(w.padded_k() / kBlock),
          static_cast<unsigned>(w.padded_n() / kBlock), static_cast<unsigned>(w.groups)};
}

W4a8Weights shape_of(const std::uint8_t* codes, const std::uint8_t* scales, std::int64_t groups,
                     std::int64_t n, std::int64_t k, W4a8Scales least) {
  W4a8Weights w{.groups = groups, .n = n, .k = k, .kind = least};
  if (k % kSub != 0) throw std::invalid_argument("w4a8 weights need a multiple of 32 columns");
  if (n == 0 || k == 0 || least == W4a8Scales::fine) return w;
  DeviceBuffer<std::uint32_t> lost(2);
  lost.fill(0);
  survey_kernel<<<grid_of(w), kBlock>>>({codes, scales, n, k}, lost.data());
  check_kernel("survey of w4a8 weights");
  std::uint32_t seen[2] = {};
  lost.copy_to(seen);
  if (w.kind == W4a8Scales::block && seen[0] != 0) w.kind = W4a8Scales::row;
  if (w.kind == W4a8Scales::row && seen[1] != 0) w.kind = W4a8Scales::fine;
  return w;
}

}  // namespace

ReencodedWeights::ReencodedWeights(const std::uint8_t* codes, const std::uint8_t* scales,
                                   std::int64_t groups, std::int64_t n, std::int64_t k,
                                   W4a8Scales least)
    : view_(shape_of(codes, scales, groups, n, k, least)),
      codes_(static_cast<std::size_t>(groups * n * view_.padded_k())),
      scales_(static_cast<std::size_t>(groups * view_.scale_rows() * view_.padded_n())) {
  view_.codes = codes_.data();
  view_.scales = scales_.data();
  if (n == 0 || k == 0) return;
  reencode_kernel<<<grid_of(view_), kBlock>>>({codes, scales, n, k}, view_, codes_.data(),
                                              scales_.data());
  check_kernel("re-encoding of w4a8 weights");
}

}  // namespace assay::kernels::cuda
