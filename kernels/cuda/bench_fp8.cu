// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "kernels/cuda/bench_fp8.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/fp8_unit.h"

namespace assay::kernels::cuda {
namespace {

// Plain decoders, one thread an element: nothing of the kernels that are checked.
__global__ void widen_e4m3(const std::uint8_t* codes, const std::uint8_t* scales,
                           std::int64_t count, std::uint16_t* to) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    __nv_fp8_e4m3 x;
    x.__x = codes[i];
    to[i] = __bfloat16_as_ushort(
        __float2bfloat16_rn(static_cast<float>(x) * decode_e8m0(scales[i / 128])));
  }
}
__global__ void widen_mxfp4(const std::uint8_t* codes, const std::uint8_t* scales,
                            std::int64_t count, std::uint16_t* to) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x)
    to[i] = __bfloat16_as_ushort(__float2bfloat16_rn(decode_e2m1(codes[i / 2] >> (i % 2 * 4) & 15) *
                                                     decode_e8m0(scales[i / 32])));
}

/// One output as the kernel computes it: chains of the unit, FMAs between them.
__device__ float expected_output(const GemmW4a8& p, std::int64_t row, std::int64_t group,
                                 std::int64_t column) {
  const W4a8Weights& w = p.b;
  const std::int64_t blocks = w.padded_k() / 128;
  const std::int64_t width = w.padded_k() / w.scale_rows();
  const std::uint8_t* a = p.a + row * w.k;
  const std::uint8_t* b = w.codes + (group * w.n + column) * w.padded_k();
  float sum = 0;
  float part = 0;
  for (std::int64_t k = 0; k < w.k; k += kFp8UnitStep) {
    part = fp8_unit_step(a + k, b + k, part);
    const bool last = k + kFp8UnitStep >= w.k;
    if (p.promotion == 0 ? !last : !last && (k + kFp8UnitStep) % p.promotion != 0) continue;
    const float scale = decode_e8m0(p.a_scales[row * blocks + k / 128]) *
                        w.scales[(group * w.scale_rows() + k / width) * w.padded_n() + column];
    sum = __fmaf_rn(part, scale, sum);
    part = 0;
  }
  return p.alpha * sum;
}

/// A thread an output: of the rows of `tiles` (or all), or of every column_step-th column.
__global__ void check_kernel_fp8(GemmW4a8 p, const RowTile* tiles, std::int64_t count,
                                 std::int64_t height, std::int64_t row_step,
                                 std::int64_t column_step, Fp8Errors* errors) {
  const std::int64_t rows = count * height;
  const std::int64_t n = p.b.n;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < rows * n;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const std::int64_t r = i / n;
    const std::int64_t column = i % n;
    // The residue moves, so that every lane and tile is met.
    if (r % row_step != column / 128 % row_step && column % column_step != r % column_step)
      continue;
    const RowTile tile =
        tiles != nullptr ? tiles[r / height] : RowTile{r / height * height, p.m, 0};
    const std::int64_t row = tile.row0 + r % height;
    if (row >= tile.end) continue;
    const unsigned want = __float_as_uint(expected_output(p, row, tile.group, column));
    const unsigned have = __float_as_uint(p.d[row * n + column]);
    atomicAdd(&errors->checked, 1ULL);
    if (want == have || ((want | have) & 0x7FFFFFFFU) == 0) continue;
    atomicAdd(&errors->wrong, 1ULL);
    const auto at = static_cast<unsigned long long>(row * n + column);
    if (atomicMin(&errors->first, at) > at) {  // a race between two may show the other's bits
      errors->expected = want;
      errors->got = have;
    }
  }
}

}  // namespace

Fp8Activations::Fp8Activations(std::int64_t m, std::int64_t k, std::uint64_t seed)
    : m_(m),
      k_(k),
      codes_(static_cast<std::size_t>(m * k)),
      scales_(static_cast<std::size_t>(m * blocks())) {
  fill_words(codes_.data(), m * k, seed, WordKind::e4m3);
  // The buffer has 16 bytes to spare.
  fill_words(scales_.data(), (m * blocks() + 3) / 4 * 4, seed + 1, WordKind::e8m0_scales);
}
void Fp8Activations::widen(std::uint16_t* to) const {
  widen_e4m3<<<4096, 256>>>(codes_.data(), scales_.data(), m_ * k_, to);
  check_kernel("widen_e4m3");
}

Mxfp4Matrices::Mxfp4Matrices(std::int64_t groups, std::int64_t n, std::int64_t k,
                             std::uint64_t seed)
    : count_(groups * n * k),
      codes_(static_cast<std::size_t>(count_ / 2)),
      scales_(static_cast<std::size_t>(count_ / 32)) {
  fill_words(codes_.data(), count_ / 2, seed + 2, WordKind::bits);
  fill_words(scales_.data(), (count_ / 32 + 3) / 4 * 4, seed + 3, WordKind::e8m0_scales);
}
void Mxfp4Matrices::widen(std::uint16_t* to) const {
  widen_mxfp4<<<4096, 256>>>(codes_.data(), scales_.data(), count_, to);
  check_kernel("widen_mxfp4");
}

Fp8Errors check_fp8(const GemmW4a8& p, const RowTile* tiles, std::int64_t count,
                    std::int64_t row_step, std::int64_t column_step) {
  constexpr std::int64_t height = 128;
  DeviceBuffer<Fp8Errors> errors(1);
  const Fp8Errors none{0, 0, ~0ULL, 0, 0};
  check(cudaMemcpy(errors.data(), &none, sizeof none, cudaMemcpyHostToDevice), "cudaMemcpy");
  check_kernel_fp8<<<4096, 256>>>(p, tiles, tiles != nullptr ? count : (p.m + height - 1) / height,
                                  height, row_step, column_step, errors.data());
  check_kernel("check_fp8");
  Fp8Errors seen{};
  errors.copy_to({&seen, 1});
  return seen;
}

void count_errors(const Fp8Errors& errors, std::int64_t n, BenchRow& row) {
  row.checked = static_cast<std::int64_t>(errors.checked);
  row.wrong = static_cast<std::int64_t>(errors.wrong);
  if (errors.wrong == 0) return;
  const auto first = static_cast<std::int64_t>(errors.first);
  std::fprintf(
      stderr,
      "%s, m %lld n %lld k %lld: %lld of %lld outputs differ, the first at row %lld column "
      "%lld: expected 0x%08X, got 0x%08X\n",
      row.kernel.c_str(), static_cast<long long>(row.m), static_cast<long long>(row.n),
      static_cast<long long>(row.k), static_cast<long long>(row.wrong),
      static_cast<long long>(row.checked), static_cast<long long>(first / n),
      static_cast<long long>(first % n), errors.expected, errors.got);
}

}  // namespace assay::kernels::cuda
