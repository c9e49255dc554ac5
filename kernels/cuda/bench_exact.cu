// SPDX-License-Identifier: Apache-2.0
// Products held against the exact GEMM where they are: every output, none of them moved. That the
// check can fail is shown by one output changed.
#include <random>

#include "formats/presets.h"
#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/exact_gemm.h"
#include "kernels/cuda/ordered_gemm.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

formats::BlockScaledTensor random_tensor(const formats::BlockFormat& format, std::int64_t rows,
                                         std::int64_t cols, std::mt19937_64& random) {
  formats::BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.codes.resize(static_cast<std::size_t>(rows * cols / 2));
  t.scales.resize(static_cast<std::size_t>(rows * cols / format.block.cols));
  const bool nvfp4 = format.block.cols == 16;
  t.tensor_scale = nvfp4 ? 0.37F : 1.0F;
  for (std::uint8_t& byte : t.codes) byte = static_cast<std::uint8_t>(random());
  for (std::uint8_t& byte : t.scales)
    byte = static_cast<std::uint8_t>(nvfp4 ? 0x20 + random() % 0x40 : 0x7B + random() % 8);
  return t;
}

DeviceBuffer<float> decoded(const formats::BlockScaledTensor& t) {
  DeviceBuffer<std::uint8_t> codes{std::span<const std::uint8_t>(t.codes)};
  DeviceBuffer<std::uint8_t> scales{std::span<const std::uint8_t>(t.scales)};
  const float one = 1.0F;
  DeviceBuffer<float> unit{std::span<const float>(&one, 1)};
  DeviceBuffer<float> out(static_cast<std::size_t>(t.rows * t.cols));
  const bool nvfp4 = t.format->block.cols == 16;
  dequantize(codes.data(), scales.data(), nvfp4 ? unit.data() : nullptr, t.rows, t.cols,
             {t.cols / t.format->block.cols, false}, out.data());
  return out;
}

__global__ void change(float* d, std::int64_t at) { d[at] += 1000.0F + fabsf(d[at]); }

}  // namespace

void bench_exact(const BenchContext& context) {
  constexpr std::int64_t m = 2048;
  constexpr std::int64_t n = 2048;
  constexpr std::int64_t k = 4096;
  std::mt19937_64 random(context.options.seed);
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil}) {
    const formats::BlockScaledTensor a = random_tensor(*format, m, k, random);
    const formats::BlockScaledTensor b = random_tensor(*format, n, k, random);
    DeviceBuffer<float> left = decoded(a);
    DeviceBuffer<float> right = decoded(b);
    DeviceBuffer<float> d(m * n);
    d.fill(0xFF);
    const OrderedGemm product{.a = {left.data(), k, 1},
                              .b = {right.data(), k, 1},
                              .rows = m,
                              .cols = n,
                              .inner = k,
                              .out = d.data(),
                              .scale = a.tensor_scale * b.tensor_scale};
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
    ordered_gemm(product);
    check(cudaEventRecord(begin), "cudaEventRecord");
    ordered_gemm(product);
    check(cudaEventRecord(end), "cudaEventRecord");
    check(cudaEventSynchronize(end), "ordered_gemm");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    // A product is rounded at most once itself, k times in sums, and twice in the epilogue and its
    // factor: 1.01 (k + 4) 2^-24 of the sum of magnitudes, since 1.01 covers the higher orders up
    // to k = 2^17 (Higham, Accuracy and Stability, section 3.1).
    constexpr double roundings = 1.01 * (k + 4);
    const ExactCheck seen = exact_gemm_check(a, b, d.data(), roundings);
    BenchRow row{.suite = "exact",
                 .kernel = std::string(format->name) + " ordered_gemm, exact check on the device",
                 .m = m,
                 .n = n,
                 .k = k};
    row.microseconds = 1000.0 * milliseconds;
    row.best = row.microseconds;
    row.operations = 2.0 * m * n * k;
    row.checked = seen.outputs;
    row.wrong = seen.wrong;
    row.worst = seen.worst;
    context.result.rows.push_back(row);
    constexpr std::int64_t victim = 1234 * n + 567;
    change<<<1, 1>>>(d.data(), victim);
    check_kernel("change");
    const ExactCheck changed = exact_gemm_check(a, b, d.data(), roundings);
    row.kernel = std::string(format->name) + " the same, one output changed: it alone is found";
    row.operations = 0;  // the time is that of the product
    row.wrong = seen.wrong == 0 && changed.wrong == 1 && changed.first_wrong == victim ? 0 : 1;
    row.checked = changed.outputs;
    context.result.rows.push_back(row);
  }
}

}  // namespace assay::kernels::cuda
