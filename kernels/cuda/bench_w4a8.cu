// SPDX-License-Identifier: Apache-2.0
// W4A8 against cuBLAS BF16 on the same values and cuBLASLt FP8 on the same codes. Weights are
// re-encoded before, as a server does when it loads them, and rotated so that no cache holds them.
#include <algorithm>

#include "kernels/cuda/bench_fp8.cuh"
#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/gemm_w4a8.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr std::int64_t kRotatedBytes = 576LL << 20;

/// What a shape's rows share.
struct Operands {
  Fp8Activations a;
  std::vector<ReencodedWeights> weights;
  std::vector<DeviceBuffer<std::uint16_t>> wide_weights;
  DeviceBuffer<std::uint16_t> wide_a, d_bf16;
  DeviceBuffer<float> d;
  std::int64_t n, k;

  Operands(std::int64_t most, std::int64_t n_in, std::int64_t k_in, std::uint64_t seed)
      : a(most, k_in, seed),
        wide_a(static_cast<std::size_t>(most * k_in)),
        d_bf16(static_cast<std::size_t>(most * n_in)),
        d(static_cast<std::size_t>(most * n_in)),
        n(n_in),
        k(k_in) {
    const auto copies = std::max<std::int64_t>(2, (kRotatedBytes + n * k - 1) / (n * k));
    for (std::int64_t i = 0; i < copies; ++i) {
      const Mxfp4Matrices plain(1, n, k, seed * 100 + i);
      weights.emplace_back(plain.codes(), plain.scales(), 1, n, k);
      if (i < (copies + 1) / 2) {
        wide_weights.emplace_back(static_cast<std::size_t>(n * k));
        plain.widen(wide_weights.back().data());
      }
    }
    a.widen(wide_a.data());
  }
};

/// Times of the libraries for one m; 0 where there is none.
struct Libraries {
  double bf16 = 0, fp8 = 0;
};
Libraries time_libraries(const BenchContext& context, Operands& o, std::int64_t m, int launches) {
  Libraries times;
  if (context.cublas == nullptr) return times;
  const auto at = [](auto& copies, int i) { return static_cast<std::size_t>(i) % copies.size(); };
  times.bf16 =
      time_launches(context.options.repeats, launches, [&](int i, cudaStream_t stream) {
        if (!context.cublas->bf16(o.wide_a.data(), o.wide_weights[at(o.wide_weights, i)].data(),
                                  o.d_bf16.data(), m, o.n, o.k, true, stream))
          throw std::runtime_error("cuBLAS declined a BF16 product");
      }).median;
  // FP8 libraries want multiples of 16 everywhere.
  if (m % 16 != 0) return times;
  bool taken = true;
  const Times fp8 =
      time_launches(context.options.repeats, launches, [&](int i, cudaStream_t stream) {
        taken = taken && context.cublas->e4m3(o.a.codes(), o.weights[at(o.weights, i)].view().codes,
                                              o.d_bf16.data(), m, o.n, o.k, stream);
      });
  if (taken) times.fp8 = fp8.median;
  return times;
}

void bench_problem(const BenchContext& context, Operands& o, std::int64_t m, int promotion,
                   W4a8Tactic tactic, const Libraries& libraries, int launches, bool goals) {
  const auto problem = [&](int copy) {
    GemmW4a8 p{.a = o.a.codes(),
               .a_scales = o.a.scales(),
               .b = o.weights[static_cast<std::size_t>(copy) % o.weights.size()].view(),
               .m = m,
               .alpha = 0.75F,
               .promotion = promotion};
    p.d = o.d.data();
    return p;
  };
  const GemmW4a8 first = problem(0);
  if (declines(tactic, first) != nullptr) return;
  const bool chosen = tactic == choose_w4a8(first) && promotion == 128;
  BenchRow row{.suite = "w4a8",
               .kernel = std::string("w4a8 ") + name_of(tactic) + " promote" +
                         std::to_string(promotion) + (chosen ? " *" : ""),
               .m = m,
               .n = o.n,
               .k = o.k};
  row.bytes = static_cast<double>(o.n * o.k + m * o.k + 2 * m * o.n);
  row.operations = 2.0 * m * o.n * o.k;
  // Checked first, on poisoned output, then timed with bf16 out like the libraries.
  o.d.fill(0xFF);
  launch_w4a8(tactic, first);
  check_kernel("gemm_w4a8");
  count_errors(check_fp8(first, nullptr, 0, std::max<std::int64_t>(1, m / 8),
                         std::max<std::int64_t>(1, o.n / 8)),
               o.n, row);
  const Times t = time_launches(context.options.repeats, launches, [&](int i, cudaStream_t stream) {
    GemmW4a8 p = problem(i);
    p.d = nullptr;
    p.d_bf16 = o.d_bf16.data();
    launch_w4a8(tactic, p, stream);
  });
  row.microseconds = t.median;
  row.best = t.best;
  const auto against = [&](const char* baseline, double time, double goal) {
    row.baseline = baseline;
    row.ratio = time > 0 ? time / t.median : 0;
    row.goal = goals && chosen && time > 0 ? goal : 0;
    context.result.rows.push_back(row);
  };
  if (libraries.bf16 == 0) return context.result.rows.push_back(row);
  against("cuBLAS BF16", libraries.bf16, 1.0);
  if (libraries.fp8 > 0) against("cuBLASLt FP8", libraries.fp8, 0.6);
}

void bench_shape(const BenchContext& context, std::int64_t n, std::int64_t k,
                 const std::vector<std::int64_t>& batches, bool every) {
  const std::int64_t most = *std::max_element(batches.begin(), batches.end());
  Operands o(most, n, k, context.options.seed);
  for (const std::int64_t m : batches) {
    const int launches = m >= 1024 ? 2 : std::max(static_cast<int>(o.weights.size()), 16);
    const Libraries libraries = time_libraries(context, o, m, launches);
    for (const int promotion : {128, 64, 32}) {
      if (promotion != 128 && (!every || m < most)) continue;
      for (const W4a8Tactic tactic : w4a8_tactics)
        bench_problem(context, o, m, promotion, tactic, libraries, launches, every && m == most);
    }
  }
}

/// Every output of small products with edges in every direction, by each kind of scale factors and
/// each promotion.
void check_edges(const BenchContext& context) {
  constexpr std::int64_t shapes[][3] = {{1, 1, 32},      {3, 5, 96},       {64, 128, 128},
                                        {65, 129, 160},  {128, 127, 384},  {130, 256, 1024},
                                        {257, 300, 416}, {700, 1000, 2304}};
  for (const auto& [m, n, k] : shapes) {
    const Fp8Activations a(m, k, context.options.seed);
    const Mxfp4Matrices plain(1, n, k, context.options.seed);
    DeviceBuffer<float> d(static_cast<std::size_t>(m * n));
    for (const W4a8Scales least : {W4a8Scales::block, W4a8Scales::row, W4a8Scales::fine}) {
      const ReencodedWeights weights(plain.codes(), plain.scales(), 1, n, k, least);
      for (const int promotion : {128, 64, 32})
        for (const W4a8Tactic tactic : w4a8_tactics) {
          const GemmW4a8 p{.a = a.codes(),
                           .a_scales = a.scales(),
                           .b = weights.view(),
                           .m = m,
                           .alpha = 0.75F,
                           .d = d.data(),
                           .promotion = promotion};
          if (declines(tactic, p) != nullptr) continue;
          constexpr const char* kinds[] = {"128x128", "1x128", "1x32"};
          BenchRow row{.suite = "w4a8",
                       .kernel = std::string("w4a8 ") + name_of(tactic) + " promote" +
                                 std::to_string(promotion) + ", scales " +
                                 kinds[static_cast<int>(weights.view().kind)],
                       .m = m,
                       .n = n,
                       .k = k};
          row.operations = 2.0 * static_cast<double>(m * n * k);
          d.fill(0xFF);
          launch_w4a8(tactic, p);
          check_kernel("gemm_w4a8");
          count_errors(check_fp8(p, nullptr, 0, 1, 1), n, row);
          const Times t = time_launches(
              1, 1, [&](int, cudaStream_t stream) { launch_w4a8(tactic, p, stream); });
          row.microseconds = t.median;
          row.best = t.best;
          context.result.rows.push_back(row);
        }
    }
  }
}

}  // namespace

void bench_w4a8(const BenchContext& context) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  if (major != 9) return;
  check_edges(context);
  const std::int64_t size = context.options.size;
  bench_shape(context, size, size, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192},
              true);
  constexpr std::int64_t layers[][2] = {{7168, 2048}, {2048, 7168}, {7168, 18432}};
  for (const auto& [n, k] : layers) bench_shape(context, n, k, {1, 8, 64, 512, 4096, 8192}, false);
}

}  // namespace assay::kernels::cuda
