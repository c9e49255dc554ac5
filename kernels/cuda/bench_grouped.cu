// SPDX-License-Identifier: Apache-2.0
// Grouped products of a mixture of experts beside the dense product of as many rows by one expert:
// ragged groups cost tiles that are not full and weights that are read once more.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "kernels/cuda/bench_fp8.cuh"
#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/gemm_w4a16.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr std::int64_t kExperts = 256, kRows = 65536;
constexpr int kHeight = 128;

/// Rows of each expert: Zipf's law in random order, every eighth expert without any.
std::vector<std::int64_t> zipf_counts(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::int64_t> order(kExperts);
  std::iota(order.begin(), order.end(), 0);
  // std::shuffle's draws are the library's own; these are the same everywhere.
  for (std::int64_t i = kExperts - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)],
              order[random() % static_cast<std::uint64_t>(i + 1)]);
  const std::int64_t used = kExperts - kExperts / 8;
  double harmonic = 0;
  for (std::int64_t r = 1; r <= used; ++r) harmonic += 1.0 / static_cast<double>(r);
  std::vector<std::int64_t> counts(kExperts);
  std::int64_t left = kRows;
  for (std::int64_t r = used; r >= 1; --r) {  // what rounding leaves over goes to the largest
    const auto share = static_cast<std::int64_t>(kRows / (static_cast<double>(r) * harmonic));
    const std::int64_t rows = r == 1 ? left : share;
    counts[static_cast<std::size_t>(order[static_cast<std::size_t>(r - 1)])] = rows;
    left -= rows;
  }
  return counts;
}

/// Rows on the device with their tiles.
struct Groups {
  DeviceBuffer<std::int64_t> numbers;  ///< offsets or counts
  DeviceBuffer<RowTile> tiles;
  std::int64_t count, total, used;  ///< tiles; rows of A; rows of groups

  static Groups contiguous(const std::vector<std::int64_t>& counts) {
    std::vector<std::int64_t> offsets{0};
    for (const std::int64_t rows : counts) offsets.push_back(offsets.back() + rows);
    const std::int64_t total = offsets.back();
    return Groups(offsets, {.offsets = offsets.data()}, total, total);
  }
  static Groups masked(const std::vector<std::int64_t>& counts, std::int64_t most) {
    const std::int64_t used = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    return Groups(counts, {.counts = counts.data(), .most = most}, most * kExperts, used);
  }

 private:
  Groups(const std::vector<std::int64_t>& host, GroupRows rows, std::int64_t total_in,
         std::int64_t used_in)
      : numbers(std::span<const std::int64_t>(host)),
        tiles(static_cast<std::size_t>(most_row_tiles(total_in, kExperts, kHeight))),
        count(most_row_tiles(total_in, kExperts, kHeight)),
        total(total_in),
        used(used_in) {
    (rows.offsets != nullptr ? rows.offsets : rows.counts) = numbers.data();
    plan_row_tiles(rows, kExperts, kHeight, tiles.data(), count);
    check_kernel("plan_row_tiles");
  }
};

// A warp per output, FP64, from the FP4 codes; bound and derivation as in bench_w4a16.cu.
__global__ void check_w4a16(GemmW4a16 p, const RowTile* tiles, std::int64_t count,
                            std::int64_t step, unsigned long long* seen) {
  const std::int64_t warps = std::int64_t{gridDim.x} * blockDim.x / 32;
  const int lane = threadIdx.x % 32;
  const std::int64_t block = p.weights == Fp4Weights::nvfp4 ? 16 : 32;
  for (std::int64_t i = (blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x) / 32;
       i < count * kHeight * p.n / step; i += warps) {
    // Every step-th output of a row, from a place that moves with the row.
    const std::int64_t r = i * step / p.n;
    const std::int64_t n = (i * step + r) % p.n;
    const RowTile tile = tiles[r / kHeight];
    const std::int64_t m = tile.row0 + r % kHeight;
    if (m >= tile.end) continue;
    const std::int64_t row = tile.group * p.n + n;
    double sum = 0;
    double magnitude = 0;
    for (std::int64_t k = lane; k < p.k; k += 32) {
      const int code = p.b_codes[(row * p.k + k) / 2] >> (k % 2 * 4) & 15;
      const std::uint8_t scale = p.b_scales[(row * p.k + k) / block];
      const double weight =
          double{decode_e2m1(code)} *
          double{p.weights == Fp4Weights::nvfp4 ? decode_ue4m3(scale) : decode_e8m0(scale)};
      const double product =
          weight * double{__bfloat162float(__ushort_as_bfloat16(p.a[m * p.k + k]))};
      sum += product;
      magnitude += fabs(product);
    }
    for (int s = 16; s > 0; s /= 2) {
      sum += __shfl_xor_sync(0xFFFFFFFFU, sum, s);
      magnitude += __shfl_xor_sync(0xFFFFFFFFU, magnitude, s);
    }
    if (lane != 0) continue;
    const double scale =
        double{p.alpha} * (p.group_scales != nullptr ? p.group_scales[tile.group] : p.tensor_scale);
    const double bound =
        fabs(scale) * magnitude * (21.0 * static_cast<double>(p.k) / 16 + 64) * 0x1p-25;
    atomicAdd(seen, 1ULL);
    if (!(fabs(double{p.d[m * p.n + n]} - scale * sum) <= bound)) atomicAdd(seen + 1, 1ULL);
  }
}

BenchRow row_of(const std::string& kernel, std::int64_t m, std::int64_t n, std::int64_t k) {
  BenchRow row{.suite = "grouped", .kernel = kernel, .m = m, .n = n, .k = k};
  row.operations = 2.0 * static_cast<double>(m * n * k);
  return row;
}

/// Times `launch(stream)` into the row; a ratio where `dense` is a rate to compare with.
template <class F>
double timed(const BenchContext& context, BenchRow row, double dense, double goal, F launch) {
  const Times t =
      time_launches(context.options.repeats, 2, [&](int, cudaStream_t stream) { launch(stream); });
  row.microseconds = t.median;
  row.best = t.best;
  const double rate = row.operations / t.median;
  if (dense > 0) {
    row.baseline = "dense kernel's rate";
    row.ratio = rate / dense;
    row.goal = goal;
  }
  context.result.rows.push_back(row);
  return rate;
}

void bench_w4a8_grouped(const BenchContext& context, std::int64_t n, std::int64_t k,
                        Groups& contiguous, Groups& masked) {
  const std::int64_t most = std::max(contiguous.total, masked.total);
  const Fp8Activations a(most, k, context.options.seed);
  DeviceBuffer<float> d(static_cast<std::size_t>(most * n));
  DeviceBuffer<std::uint16_t> d_bf16(static_cast<std::size_t>(most * n));
  const Mxfp4Matrices plain(kExperts, n, k, context.options.seed);
  const ReencodedWeights weights(plain.codes(), plain.scales(), kExperts, n, k);
  GemmW4a8 p{.a = a.codes(),
             .a_scales = a.scales(),
             .b = weights.view(),
             .m = kRows,
             .d_bf16 = d_bf16.data()};
  const W4a8Tactic dense_tactic = choose_w4a8(p);
  const double dense =
      timed(context, row_of(std::string("w4a8 dense ") + name_of(dense_tactic), kRows, n, k), 0, 0,
            [&](cudaStream_t stream) { launch_w4a8(dense_tactic, p, stream); });
  const auto measure = [&](const char* name, Groups& g, double goal) {
    p.m = g.total;
    p.d = d.data();
    p.d_bf16 = nullptr;
    BenchRow row = row_of(name, g.used, n, k);
    d.fill(0xFF);
    launch_w4a8(W4a8Tactic::tile128x128, p, nullptr, g.tiles.data(), g.count);
    check_kernel("gemm_w4a8 grouped");
    count_errors(check_fp8(p, g.tiles.data(), g.count, 512, n / 8), n, row);
    p.d = nullptr;
    p.d_bf16 = d_bf16.data();
    timed(context, row, dense, goal, [&](cudaStream_t stream) {
      launch_w4a8(W4a8Tactic::tile128x128, p, stream, g.tiles.data(), g.count);
    });
  };
  measure("w4a8 256 experts, Zipf, contiguous *", contiguous, 0.7);
  measure("w4a8 256 experts, up to 512 rows, masked", masked, 0);
}

void bench_w4a16_grouped(const BenchContext& context, Fp4Weights format, std::int64_t n,
                         std::int64_t k, Groups& contiguous, Groups& masked) {
  const bool nvfp4 = format == Fp4Weights::nvfp4;
  const std::int64_t most = std::max(contiguous.total, masked.total);
  const std::int64_t count = kExperts * n * k;
  const std::int64_t scale_count = count / (nvfp4 ? 16 : 32);
  DeviceBuffer<std::uint16_t> a(static_cast<std::size_t>(most * k));
  DeviceBuffer<std::uint8_t> codes(static_cast<std::size_t>(count / 2));
  DeviceBuffer<std::uint8_t> scales(static_cast<std::size_t>(scale_count));
  DeviceBuffer<float> d(static_cast<std::size_t>(most * n));
  DeviceBuffer<std::uint16_t> d_bf16(static_cast<std::size_t>(most * n));
  fill_words(a.data(), most * k * 2, context.options.seed, WordKind::gaussian_bf16);
  fill_words(codes.data(), count / 2, context.options.seed + 1, WordKind::bits);
  fill_words(scales.data(), scale_count, context.options.seed + 2,
             nvfp4 ? WordKind::ue4m3_scales : WordKind::e8m0_scales);
  std::vector<float> tensor_scales;
  for (std::int64_t g = 0; g < kExperts; ++g)
    tensor_scales.push_back(0.25F + static_cast<float>(g) / 256.0F);
  DeviceBuffer<float> group_scales{std::span<const float>(tensor_scales)};
  GemmW4a16 p{.a = a.data(),
              .b_codes = codes.data(),
              .b_scales = scales.data(),
              .m = kRows,
              .n = n,
              .k = k,
              .alpha = 1.0F,
              .tensor_scale = 1.0F,
              .beta = 0.0F,
              .c = nullptr,
              .bias = nullptr,
              .d = nullptr,
              .weights = format,
              .d_bf16 = d_bf16.data()};
  const std::string name = nvfp4 ? "nvfp4" : "mxfp4";
  const W4a16Tactic tactic = choose_w4a16(p);
  const double dense = timed(context, row_of(name + " w4a16 dense " + name_of(tactic), kRows, n, k),
                             0, 0, [&](cudaStream_t stream) { launch_w4a16(tactic, p, stream); });
  p.group_scales = nvfp4 ? group_scales.data() : nullptr;
  const auto measure = [&](const std::string& text, Groups& g, double goal) {
    p.m = g.total;
    p.d = d.data();
    p.d_bf16 = nullptr;
    BenchRow row = row_of(text, g.used, n, k);
    d.fill(0xFF);
    launch_w4a16_wgmma_grouped(kHeight, 256, p, g.tiles.data(), g.count, nullptr);
    check_kernel("gemm_w4a16 grouped");
    DeviceBuffer<unsigned long long> seen(2);
    seen.fill(0);
    check_w4a16<<<2048, 256>>>(p, g.tiles.data(), g.count, 1021, seen.data());
    check_kernel("check_w4a16");
    unsigned long long numbers[2] = {};
    seen.copy_to(numbers);
    row.checked = static_cast<std::int64_t>(numbers[0]);
    row.wrong = static_cast<std::int64_t>(numbers[1]);
    p.d = nullptr;
    p.d_bf16 = d_bf16.data();
    timed(context, row, dense, goal, [&](cudaStream_t stream) {
      launch_w4a16_wgmma_grouped(kHeight, 256, p, g.tiles.data(), g.count, stream);
    });
  };
  measure(name + " w4a16 256 experts, Zipf, contiguous *", contiguous, 0.7);
  measure(name + " w4a16 256 experts, up to 512 rows, masked", masked, 0);
}

}  // namespace

void bench_grouped(const BenchContext& context) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  if (major != 9) return;
  Groups contiguous = Groups::contiguous(zipf_counts(context.options.seed));
  constexpr std::int64_t most = 512;
  std::mt19937_64 random(context.options.seed);
  std::vector<std::int64_t> counts;
  for (std::int64_t g = 0; g < kExperts; ++g)
    counts.push_back(g % 8 == 0 ? 0 : static_cast<std::int64_t>(random() % (most + 1)));
  Groups masked = Groups::masked(counts, most);
  constexpr std::int64_t n = 7168;
  constexpr std::int64_t k = 2048;
  bench_w4a8_grouped(context, n, k, contiguous, masked);
  for (const Fp4Weights format : {Fp4Weights::nvfp4, Fp4Weights::mxfp4})
    bench_w4a16_grouped(context, format, n, k, contiguous, masked);
}

}  // namespace assay::kernels::cuda
