// SPDX-License-Identifier: Apache-2.0
// A warp a tile, a lane its own words.
#include "kernels/cuda/gemm_w4a16_packed.cuh"
#include "kernels/cuda/w4a16_packed.h"

namespace assay::kernels::cuda {
namespace {

constexpr int kWarps = 8;

std::int64_t tiles_down(const GemmW4a16& p) { return (p.n + kPackedRows - 1) / kPackedRows; }
std::int64_t tiles_across(const GemmW4a16& p) { return (p.k + kPackedK - 1) / kPackedK; }
__host__ __device__ constexpr int groups_of(Fp4Weights format) {
  return format == Fp4Weights::nvfp4 ? 8 : 4;
}

__device__ PackedScale scale_at(const GemmW4a16& p, std::int64_t row, std::int64_t k) {
  const int group = p.weights == Fp4Weights::nvfp4 ? 16 : 32;
  const bool inside = row < p.n && k < p.k;
  if (p.weights == Fp4Weights::nvfp4)
    return pack_ue4m3(inside ? p.b_scales[(row * p.k + k) / group] : 0);
  return pack_e8m0(inside ? p.b_scales[(row * p.k + k) / group] : 127);
}

__global__ void __launch_bounds__(32 * kWarps)
    pack_kernel(GemmW4a16 p, std::int64_t across, std::int64_t tiles, std::uint8_t* packed,
                int* unfit) {
  const std::int64_t tile = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (tile >= tiles) return;
  const int lane = threadIdx.x % 32;
  const std::int64_t row0 = tile / across * kPackedRows;
  const std::int64_t k0 = tile % across * kPackedK;
  const auto code_at = [&](std::int64_t row, std::int64_t k) {
    if (row >= p.n || k >= p.k) return 0;
    const int code = p.b_codes[(row * p.k + k) / 2] >> (k % 2 * 4) & 15;
    return scale_at(p, row, k).zeros ? code & 8 : code;
  };
  const int groups = groups_of(p.weights);
  std::uint8_t* to = packed + tile * packed_tile_bytes(groups);
  for (int step = 0; step < kPackedSteps; ++step) {
    int low[4];
    int high[4];
    for (int pair = 0; pair < 4; ++pair) {
      const PackedPlace place = packed_place(lane, step, pair);
      low[pair] = code_at(row0 + place.row, k0 + place.k);
      high[pair] = code_at(row0 + place.row, k0 + place.k + 1);
    }
    reinterpret_cast<std::uint32_t*>(to)[packed_word(lane, step)] = pack_pairs(low, high);
  }
  for (int i = lane; i < kPackedRows * groups; i += 32) {
    const int row = i / groups;
    const int group = i % groups;
    const PackedScale s = scale_at(p, row0 + row, k0 + group * (kPackedK / groups));
    if (s.code < 0) *unfit = 1;
    to[1024 + packed_scale(row, group, groups)] = static_cast<std::uint8_t>(s.code);
  }
}

}  // namespace

PackedWeights::PackedWeights(const GemmW4a16& p)
    : tiles_(static_cast<std::size_t>(tiles_down(p) * tiles_across(p) *
                                      packed_tile_bytes(groups_of(p.weights)))) {
  const std::int64_t tiles = tiles_down(p) * tiles_across(p);
  if (tiles == 0) return;
  DeviceBuffer<int> unfit(1);
  unfit.fill(0);
  pack_kernel<<<static_cast<unsigned>((tiles + kWarps - 1) / kWarps), 32 * kWarps>>>(
      p, tiles_across(p), tiles, tiles_.data(), unfit.data());
  check_kernel("packing of w4a16 weights");
  int seen = 0;
  unfit.copy_to({&seen, 1});
  fits_ = seen == 0;
}

GemmW4a16 PackedWeights::attached_to(GemmW4a16 problem) const {
  problem.packed = fits_ ? tiles_.data() : nullptr;
  return problem;
}

}  // namespace assay::kernels::cuda
