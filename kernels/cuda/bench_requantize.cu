// SPDX-License-Identifier: Apache-2.0
// Stochastic and transposing quantizers and moves of codes and scale factors against the bandwidth
// of a device copy. Results are compared with plain kernels.
#include <cuda_fp8.h>

#include "formats/philox.h"
#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr std::int64_t kRows = 16384;
constexpr std::int64_t kCols = 8192;
constexpr std::int64_t kCount = kRows * kCols;

__global__ void differing_bytes(const std::uint8_t* a, const std::uint8_t* b, std::int64_t count,
                                unsigned long long* wrong) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x)
    if (a[i] != b[i]) atomicAdd(wrong, 1ULL);
}

template <class T>
__global__ void plain_transpose(const T* from, T* to) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < kCount;
       i += std::int64_t{gridDim.x} * blockDim.x)
    to[i % kCols * kRows + i / kCols] = from[i];
}

__global__ void plain_code_transpose(const std::uint8_t* from, std::uint8_t* to) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < kCount / 2;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const std::int64_t row = i / (kRows / 2);  // of the result
    const std::int64_t col = i % (kRows / 2) * 2;
    const int shift = static_cast<int>(row % 2) * 4;
    const unsigned low = from[col * (kCols / 2) + row / 2] >> shift & 15U;
    const unsigned high = from[(col + 1) * (kCols / 2) + row / 2] >> shift & 15U;
    to[i] = static_cast<std::uint8_t>(low | high << 4);
  }
}

__global__ void plain_swizzle(const std::uint8_t* from, std::int64_t cols, std::uint8_t* to) {
  const ScaleIndex index{cols, true};
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < kRows * cols;
       i += std::int64_t{gridDim.x} * blockDim.x)
    to[index(i / cols, i % cols)] = from[i];
}

/// By the definition: up iff floor(f 2^16) + word >= 2^16. The scale factors are those of nearest
/// rounding, `scales`.
__global__ void check_stochastic(QuantizeOrder order, QuantizeTask task, const std::uint8_t* scales,
                                 std::uint64_t seed, unsigned long long* wrong) {
  constexpr float grid[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < kCount;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const std::uint8_t scale = scales[i / block_of(order)];
    const float x = task.bf16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(task.x)[i])
                              : static_cast<const float*>(task.x)[i];
    const float v = order == QuantizeOrder::nvfp4_te
                        ? x * (1.0F / (decode_ue4m3(scale) * *task.tensor_scale))
                        : x / decode_e8m0(scale);
    const float a = fminf(fabsf(v), 6.0F);
    unsigned low = 7;
    while (grid[low] > a) --low;
    if (low < 7) {
      const float fraction = (a - grid[low]) / (grid[low + 1] - grid[low]);
      const auto steps = static_cast<std::uint32_t>(fraction * 65536.0F);
      const std::uint32_t word = formats::philox_bits(seed, static_cast<std::uint64_t>(i), 16);
      if (steps + word >= 65536U) ++low;
    }
    const unsigned code = task.codes[i / 2] >> i % 2 * 4 & 15U;
    if (code != (low | (signbit(v) ? 8U : 0U))) atomicAdd(wrong, 1ULL);
  }
}

__global__ void check_dequantized(const std::uint8_t* codes, const std::uint8_t* scales,
                                  const float* tensor_scale, const float* out,
                                  unsigned long long* wrong) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < kCount;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const float element = decode_e2m1(codes[i / 2] >> i % 2 * 4 & 15);
    const float expected = tensor_scale == nullptr
                               ? element * decode_e8m0(scales[i / 32])
                               : element * decode_ue4m3(scales[i / 16]) * *tensor_scale;
    if (__float_as_uint(expected) != __float_as_uint(out[i])) atomicAdd(wrong, 1ULL);
  }
}

struct Bench {
  const BenchContext& context;
  DeviceBuffer<std::uint8_t> codes{kCount / 2}, other_codes{kCount / 2};
  DeviceBuffer<std::uint8_t> scales{kCount / 16}, other_scales{kCount / 16};
  DeviceBuffer<float> tensor_scale{1};
  DeviceBuffer<unsigned> amax{1};
  DeviceBuffer<unsigned long long> wrong{1};

  explicit Bench(const BenchContext& c) : context(c) { wrong.fill(0); }

  std::int64_t count_wrong() {
    unsigned long long n = 0;
    wrong.copy_to({&n, 1});
    wrong.fill(0);
    return static_cast<std::int64_t>(n);
  }
  void compare(const std::uint8_t* a, const std::uint8_t* b, std::int64_t count) {
    differing_bytes<<<2048, 256>>>(a, b, count, wrong.data());
    check_kernel("differing_bytes");
  }
  void add(const std::string& kernel, double bytes, double goal, std::int64_t checked,
           const std::function<void(cudaStream_t)>& run) {
    BenchRow row{.suite = "quantize", .kernel = kernel, .m = kRows, .k = kCols};
    row.checked = checked;
    row.wrong = count_wrong();
    const Times t =
        time_launches(context.options.repeats, 4, [&](int, cudaStream_t stream) { run(stream); });
    row.microseconds = t.median;
    row.best = t.best;
    row.bytes = bytes;
    row.baseline = "device copy";
    row.ratio = bytes / (t.median * 1e-6) / context.result.machine.copy_bytes_per_second;
    row.goal = goal;
    context.result.rows.push_back(row);
  }

  void from_numbers(bool bf16) {
    const std::int64_t bytes = kCount * (bf16 ? 2 : 4);
    const std::uint64_t seed = context.options.seed;
    DeviceBuffer<std::uint8_t> x(static_cast<std::size_t>(bytes));
    DeviceBuffer<std::uint8_t> transposed(static_cast<std::size_t>(bytes));
    fill_words(x.data(), bytes, seed, bf16 ? WordKind::gaussian_bf16 : WordKind::gaussian_f32);
    if (bf16)
      plain_transpose<<<4096, 256>>>(reinterpret_cast<const std::uint16_t*>(x.data()),
                                     reinterpret_cast<std::uint16_t*>(transposed.data()));
    else
      plain_transpose<<<4096, 256>>>(reinterpret_cast<const float*>(x.data()),
                                     reinterpret_cast<float*>(transposed.data()));
    check_kernel("plain_transpose");
    for (const QuantizeOrder order : {QuantizeOrder::nvfp4_te, QuantizeOrder::mxfp4_rceil}) {
      const int block = block_of(order);
      const std::string name =
          std::string(order == QuantizeOrder::nvfp4_te ? "nvfp4" : "mxfp4-rceil") +
          (bf16 ? " from bf16" : " from fp32");
      const double moved =
          static_cast<double>(bytes) + static_cast<double>(kCount) * (0.5 + 1.0 / block);
      QuantizeTask task{x.data(),
                        bf16,
                        kRows,
                        kCols,
                        {kCols / block, false},
                        codes.data(),
                        scales.data(),
                        tensor_scale.data(),
                        amax.data()};
      const RandomSource random{.seed = seed};
      launch_amax(task, nullptr);
      QuantizeTask nearest = task;
      nearest.codes = other_codes.data();
      nearest.scales = other_scales.data();
      launch_quantize(order, nearest, nullptr);
      codes.fill(0xFF);
      scales.fill(0xFF);
      launch_quantize_stochastic(order, task, random, nullptr);
      check_stochastic<<<4096, 256>>>(order, task, other_scales.data(), seed, wrong.data());
      check_kernel("quantize_stochastic");
      compare(scales.data(), other_scales.data(), kCount / block);
      add(name + ", stochastic, amax known", moved, 0.85, kCount + kCount / block,
          [&](cudaStream_t stream) { launch_quantize_stochastic(order, task, random, stream); });
      nearest.x = transposed.data();
      nearest.rows = kCols;
      nearest.cols = kRows;
      nearest.index = {kRows / block, false};
      launch_quantize(order, nearest, nullptr);
      task.index = nearest.index;
      codes.fill(0xFF);
      scales.fill(0xFF);
      launch_quantize_transposed(order, task, nullptr);
      check_kernel("quantize_transposed");
      compare(codes.data(), other_codes.data(), kCount / 2);
      compare(scales.data(), other_scales.data(), kCount / block);
      add(name + ", transposed, amax known", moved, 0.85, kCount / 2 + kCount / block,
          [&](cudaStream_t stream) { launch_quantize_transposed(order, task, stream); });
    }
  }

  void dequantizers() {
    DeviceBuffer<float> out(kCount);
    for (const bool nvfp4 : {true, false}) {
      const int block = nvfp4 ? 16 : 32;
      fill_words(codes.data(), kCount / 2, context.options.seed, WordKind::bits);
      fill_words(scales.data(), kCount / block, context.options.seed + 1,
                 nvfp4 ? WordKind::ue4m3_scales : WordKind::e8m0_scales);
      const float scale = 0.37F;
      check(cudaMemcpy(tensor_scale.data(), &scale, sizeof scale, cudaMemcpyHostToDevice),
            "cudaMemcpy");
      const auto run = [&](cudaStream_t stream) {
        launch_dequantize(codes.data(), scales.data(), nvfp4 ? tensor_scale.data() : nullptr, kRows,
                          kCols, {kCols / block, false}, out.data(), stream);
      };
      out.fill(0xFF);
      run(nullptr);
      check_dequantized<<<4096, 256>>>(codes.data(), scales.data(),
                                       nvfp4 ? tensor_scale.data() : nullptr, out.data(),
                                       wrong.data());
      check_kernel("dequantize");
      add(std::string("dequantize ") + (nvfp4 ? "nvfp4" : "mxfp4") + " to fp32",
          static_cast<double>(kCount) * (4.5 + 1.0 / block), 0.85, kCount, run);
    }
  }

  void moves() {
    const std::uint64_t seed = context.options.seed;
    DeviceBuffer<std::uint8_t> in(kCount / 2);
    fill_words(in.data(), kCount / 2, seed, WordKind::bits);
    plain_code_transpose<<<4096, 256>>>(in.data(), other_codes.data());
    codes.fill(0xFF);
    launch_transpose_codes(in.data(), kRows, kCols, codes.data(), nullptr);
    check_kernel("transpose_codes");
    compare(codes.data(), other_codes.data(), kCount / 2);
    add("4-bit codes, transposed", static_cast<double>(kCount), 0.85, kCount / 2,
        [&](cudaStream_t stream) {
          launch_transpose_codes(in.data(), kRows, kCols, codes.data(), stream);
        });
    constexpr std::int64_t cols = kCount / 2 / kRows;  // as many scale factors as there were codes
    plain_swizzle<<<4096, 256>>>(in.data(), cols, other_codes.data());
    codes.fill(0xFF);
    launch_swizzle_scales(in.data(), kRows, cols, codes.data(), nullptr);
    check_kernel("swizzle_scales");
    compare(codes.data(), other_codes.data(), kCount / 2);
    add("scale factors to 128x4", static_cast<double>(kCount), 0.85, kCount / 2,
        [&](cudaStream_t stream) {
          launch_swizzle_scales(in.data(), kRows, cols, codes.data(), stream);
        });
    launch_unswizzle_scales(other_codes.data(), kRows, cols, codes.data(), nullptr);
    check_kernel("unswizzle_scales");
    compare(codes.data(), in.data(), kCount / 2);
    add("scale factors from 128x4", static_cast<double>(kCount), 0.85, kCount / 2,
        [&](cudaStream_t stream) {
          launch_unswizzle_scales(other_codes.data(), kRows, cols, codes.data(), stream);
        });
  }
};

}  // namespace

void bench_requantize(const BenchContext& context) {
  Bench bench(context);
  for (const bool bf16 : {true, false}) bench.from_numbers(bf16);
  bench.dequantizers();
  bench.moves();
}

}  // namespace assay::kernels::cuda
