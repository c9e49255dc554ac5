// SPDX-License-Identifier: Apache-2.0
// W4A16 against cuBLAS BF16 on the same values, weights rotated so that no cache holds them.
#include <algorithm>
#include <cstring>

#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/gemm_w4a16_packed.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr std::int64_t kRotatedBytes = 576LL << 20;

/// One thread an element, by the plain decoders: nothing of the kernels that are checked.
__global__ void expand(GemmW4a16 p, std::uint16_t* out) {
  const std::int64_t count = p.n * p.k;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const int code = p.b_codes[i / 2] >> (i % 2 * 4) & 15;
    const float scale = p.weights == Fp4Weights::nvfp4 ? decode_ue4m3(p.b_scales[i / 16])
                                                       : decode_e8m0(p.b_scales[i / 32]);
    out[i] = __bfloat16_as_ushort(__float2bfloat16_rn(decode_e2m1(code) * scale));
  }
}

struct Errors {
  unsigned long long checked, wrong;
  unsigned worst;  ///< bits of error / bound, a non-negative float
};

// A warp per output, FP64. The bound: a step of the matrix unit adds 16 products and the
// accumulator, each truncated to a multiple of 2^(e_max - 25), then truncates the sum to FP32.
// Operands' significands are below 2, so 2^e_max is at most S = sum |a b| and the step errs by at
// most 17 2^-25 S + 2^-23 S < 21 2^-25 S. k / 16 steps, 16 sums of partial sums, and the epilogue's
// roundings (each 2^-24 of at most S): (21 k / 16 + 64) 2^-25 S. FP64's own error is far below.
__global__ void check_outputs(GemmW4a16 p, const std::uint16_t* weights, std::int64_t row_step,
                              std::int64_t col_step, Errors* errors) {
  const std::int64_t rows = (p.m + row_step - 1) / row_step;
  const std::int64_t cols = (p.n + col_step - 1) / col_step;
  const std::int64_t warps = std::int64_t{gridDim.x} * blockDim.x / 32;
  const int lane = threadIdx.x % 32;
  for (std::int64_t i = (blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x) / 32; i < rows * cols;
       i += warps) {
    // Steps of 1 take all; otherwise the residue moves, so that every lane and tile is met.
    const std::int64_t m = min(p.m - 1, i / cols * row_step + i % cols % row_step);
    const std::int64_t n = min(p.n - 1, i % cols * col_step + i / cols % col_step);
    double sum = 0;
    double magnitude = 0;
    for (std::int64_t k = lane; k < p.k; k += 32) {
      const double product = double{__bfloat162float(__ushort_as_bfloat16(p.a[m * p.k + k]))} *
                             double{__bfloat162float(__ushort_as_bfloat16(weights[n * p.k + k]))};
      sum += product;
      magnitude += fabs(product);
    }
    for (int step = 16; step > 0; step /= 2) {
      sum += __shfl_xor_sync(0xFFFFFFFFU, sum, step);
      magnitude += __shfl_xor_sync(0xFFFFFFFFU, magnitude, step);
    }
    if (lane != 0) continue;
    const double scale = double{p.alpha} * p.tensor_scale;
    const double bound =
        fabs(scale) * magnitude * (21.0 * static_cast<double>(p.k) / 16 + 64) * 0x1p-25;
    const double error = fabs(double{p.d[m * p.n + n]} - scale * sum);
    atomicAdd(&errors->checked, 1ULL);
    if (!(error <= bound)) atomicAdd(&errors->wrong, 1ULL);
    const float share = error <= bound && bound > 0 ? static_cast<float>(error / bound) : 1e30F;
    atomicMax(&errors->worst, __float_as_uint(share));
  }
}

struct WeightCopies {
  std::vector<DeviceBuffer<std::uint8_t>> codes, scales;
  std::vector<PackedWeights> packed;
  std::int64_t each;
};

WeightCopies make_weights(Fp4Weights format, std::int64_t n, std::int64_t k, std::uint64_t seed) {
  const std::int64_t groups = n * k / (format == Fp4Weights::nvfp4 ? 16 : 32);
  WeightCopies w{{}, {}, {}, n * k / 2 + groups};
  const auto copies = std::max<std::int64_t>(2, (kRotatedBytes + w.each - 1) / w.each);
  for (std::int64_t i = 0; i < copies; ++i) {
    w.codes.emplace_back(static_cast<std::size_t>(n * k / 2));
    w.scales.emplace_back(static_cast<std::size_t>(groups));
    fill_words(w.codes.back().data(), n * k / 2, seed + 2 * i, WordKind::bits);
    fill_words(w.scales.back().data(), groups, seed + 2 * i + 1,
               format == Fp4Weights::nvfp4 ? WordKind::ue4m3_scales : WordKind::e8m0_scales);
    GemmW4a16 p{};
    p.b_codes = w.codes.back().data();
    p.b_scales = w.scales.back().data();
    p.n = n;
    p.k = k;
    p.weights = format;
    w.packed.emplace_back(p);
  }
  return w;
}

double goal_at(std::int64_t m) {
  if (m <= 16) return 2.5;
  if (m <= 64) return 1.5;
  return m >= 8192 ? 0.7 : 0;
}

void bench_shape(const BenchContext& context, Fp4Weights format, std::int64_t n, std::int64_t k,
                 const std::vector<std::int64_t>& batches, bool every_tactic) {
  const BenchOptions& options = context.options;
  WeightCopies weights = make_weights(format, n, k, options.seed * 1000);
  const auto copies = static_cast<int>(weights.codes.size());
  const std::int64_t wide_each = n * k * 2;
  const auto wide_copies =
      static_cast<int>(std::max<std::int64_t>(2, (kRotatedBytes + wide_each - 1) / wide_each));
  std::vector<DeviceBuffer<std::uint16_t>> wide;
  for (int i = 0; i < wide_copies; ++i) wide.emplace_back(static_cast<std::size_t>(n * k));
  const std::int64_t most = *std::max_element(batches.begin(), batches.end());
  DeviceBuffer<std::uint16_t> a(static_cast<std::size_t>(most * k));
  DeviceBuffer<float> d(static_cast<std::size_t>(most * n));
  DeviceBuffer<std::uint16_t> d_bf16(static_cast<std::size_t>(most * n));
  DeviceBuffer<Errors> errors(1);
  fill_words(a.data(), most * k * 2, options.seed, WordKind::gaussian_bf16);
  const auto problem = [&](int copy, std::int64_t m) {
    const auto c = static_cast<std::size_t>(copy % copies);
    const GemmW4a16 p{.a = a.data(),
                      .b_codes = weights.codes[c].data(),
                      .b_scales = weights.scales[c].data(),
                      .m = m,
                      .n = n,
                      .k = k,
                      .alpha = 1.0F,
                      .tensor_scale = 0.37F,
                      .beta = 0.0F,
                      .c = nullptr,
                      .bias = nullptr,
                      .d = d.data(),
                      .weights = format};
    return weights.packed[c].attached_to(p);
  };
  for (int i = 0; i < wide_copies; ++i) {
    expand<<<4096, 256>>>(problem(i, 1), wide[static_cast<std::size_t>(i)].data());
    check_kernel("expand");
  }
  for (const std::int64_t m : batches) {
    const int launches = m >= 1024 ? 2 : std::max(copies, 16);
    double library = 0;
    if (context.cublas != nullptr)
      library = time_launches(options.repeats, launches, [&](int i, cudaStream_t stream) {
                  if (!context.cublas->bf16(a.data(),
                                            wide[static_cast<std::size_t>(i % wide_copies)].data(),
                                            d_bf16.data(), m, n, k, true, stream))
                    throw std::runtime_error("cuBLAS declined a BF16 product");
                }).median;
    for (const W4a16Tactic tactic : w4a16_tactics) {
      const GemmW4a16 first = problem(0, m);
      if (!takes(tactic, first)) continue;
      const bool chosen = tactic == choose_w4a16(first);
      if (!every_tactic && !chosen) continue;
      if (tactic == W4a16Tactic::tiled && m > 1024) continue;
      BenchRow row{.suite = "w4a16",
                   .kernel = std::string(format == Fp4Weights::nvfp4 ? "nvfp4 " : "mxfp4 ") +
                             name_of(tactic) + (chosen ? " *" : ""),
                   .m = m,
                   .n = n,
                   .k = k};
      row.bytes = static_cast<double>(weights.each) + 2.0 * m * (k + n);
      row.operations = 2.0 * m * n * k;
      // Checked first, on poisoned output, then timed with bf16 out like the library.
      d.fill(0xFF);
      errors.fill(0);
      launch_w4a16(tactic, first);
      check_kernel(name_of(tactic));
      const std::int64_t row_step = std::max<std::int64_t>(1, m / 64);
      check_outputs<<<2048, 256>>>(first, wide[0].data(), row_step, 1, errors.data());
      if (row_step > 1)
        check_outputs<<<2048, 256>>>(first, wide[0].data(), 1, n / 64, errors.data());
      check_kernel("check_outputs");
      Errors seen{};
      errors.copy_to({&seen, 1});
      row.checked = static_cast<std::int64_t>(seen.checked);
      row.wrong = static_cast<std::int64_t>(seen.wrong);
      float worst = 0;
      std::memcpy(&worst, &seen.worst, sizeof worst);
      row.worst = worst;
      const Times t = time_launches(options.repeats, launches, [&](int i, cudaStream_t stream) {
        GemmW4a16 p = problem(i, m);
        p.d = nullptr;
        p.d_bf16 = d_bf16.data();
        launch_w4a16(tactic, p, stream);
      });
      row.microseconds = t.median;
      row.best = t.best;
      if (library > 0) {
        row.baseline = "cuBLAS BF16";
        row.ratio = library / t.median;
        if (chosen && n == 8192 && k == 8192) row.goal = goal_at(m);
      }
      context.result.rows.push_back(row);
    }
  }
}

}  // namespace

void bench_w4a16(const BenchContext& context) {
  const std::int64_t size = context.options.size;
  for (const Fp4Weights format : {Fp4Weights::nvfp4, Fp4Weights::mxfp4})
    bench_shape(context, format, size, size,
                {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192}, true);
  constexpr std::int64_t layers[][2] = {{7168, 2048}, {2048, 7168}, {7168, 18432}, {18432, 7168}};
  for (const auto& [n, k] : layers)
    bench_shape(context, Fp4Weights::nvfp4, n, k, {1, 8, 64, 512, 4096}, false);
}

}  // namespace assay::kernels::cuda
