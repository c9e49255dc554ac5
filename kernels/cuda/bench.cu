// SPDX-License-Identifier: Apache-2.0
// What the suites of the GPU benchmark share: the machine, the clock, random data.
#include <algorithm>
#include <memory>

#include "kernels/cuda/bench.h"
#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

__global__ void fill_words_kernel(std::uint32_t* data, std::int64_t count, std::uint64_t seed,
                                  WordKind kind) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    std::uint64_t x = (seed << 40 ^ static_cast<std::uint64_t>(i)) * 0x9E3779B97F4A7C15U + seed;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    x ^= x >> 31;
    const auto low = static_cast<std::uint32_t>(x);
    const auto high = static_cast<std::uint32_t>(x >> 32);
    // Box and Muller: two Gaussian numbers.
    const float u = (static_cast<float>(low) + 0.5F) * 0x1p-32F;
    const float radius = sqrtf(-2.0F * logf(fmaxf(u, 1e-9F)));
    float sine = 0;
    float cosine = 0;
    sincospif(static_cast<float>(high) * 0x1p-31F, &sine, &cosine);
    switch (kind) {
      case WordKind::bits:
        data[i] = low;
        break;
      case WordKind::gaussian_bf16:
        data[i] = __bfloat16_as_ushort(__float2bfloat16_rn(radius * cosine)) |
                  std::uint32_t{__bfloat16_as_ushort(__float2bfloat16_rn(radius * sine))} << 16;
        break;
      case WordKind::gaussian_f32:
        data[i] = __float_as_uint(radius * cosine);
        break;
      case WordKind::ue4m3_scales:  // codes 0x20..0x5F: 2^-3 to just below 2^5
        data[i] = 0x20202020U + (low & 0x3F3F3F3FU);
        break;
      case WordKind::e8m0_scales:  // 2^-4 .. 2^3
        data[i] = 0x7B7B7B7BU + (low & 0x07070707U);
        break;
      case WordKind::e4m3: {  // no NaN: the exponent field is at most 14
        data[i] = low & 0xF7F7F7F7U;
        break;
      }
    }
  }
}

__global__ void copy_kernel(const uint4* from, uint4* to) {
  constexpr int ahead = 4;
  const std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x * ahead + threadIdx.x;
  uint4 v[ahead];
#pragma unroll
  for (int i = 0; i < ahead; ++i) v[i] = __ldg(from + first + i * blockDim.x);
#pragma unroll
  for (int i = 0; i < ahead; ++i) to[first + i * blockDim.x] = v[i];
}

/// Bytes read and written a second by the faster of the runtime's copy and a plain kernel.
double copy_rate(int repeats, std::uint64_t seed) {
  constexpr std::size_t bytes = std::size_t{2} << 30;
  DeviceBuffer<std::uint8_t> from(bytes);
  DeviceBuffer<std::uint8_t> to(bytes);
  fill_words(from.data(), bytes, seed, WordKind::bits);
  const Times runtime = time_launches(repeats, 2, [&](int, cudaStream_t stream) {
    check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream),
          "cudaMemcpyAsync");
  });
  const Times kernel = time_launches(repeats, 2, [&](int, cudaStream_t stream) {
    copy_kernel<<<bytes / 16 / 4 / 256, 256, 0, stream>>>(
        reinterpret_cast<const uint4*>(from.data()), reinterpret_cast<uint4*>(to.data()));
  });
  return 2.0 * bytes / (std::min(runtime.median, kernel.median) * 1e-6);
}

std::string driver_version() {
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return "CUDA " + std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10);
}

}  // namespace

void fill_words(void* data, std::int64_t bytes, std::uint64_t seed, WordKind kind) {
  fill_words_kernel<<<1024, 256>>>(static_cast<std::uint32_t*>(data), bytes / 4, seed, kind);
  check_kernel("fill_words");
}

Times time_launches(int repeats, int launches, const std::function<void(int, cudaStream_t)>& run) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  run(0, stream);  // loads modules and lets libraries choose, outside the capture
  check(cudaStreamSynchronize(stream), "first launch");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < launches; ++i) run(i, stream);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&replay, graph, 0), "cudaGraphInstantiate");
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<double> times;
  for (int r = -2; r < repeats; ++r) {
    check(cudaEventRecord(begin, stream), "cudaEventRecord");
    check(cudaGraphLaunch(replay, stream), "cudaGraphLaunch");
    check(cudaEventRecord(end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "timed launches");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (r >= 0) times.push_back(1000.0 * milliseconds / launches);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

bool bench(const BenchOptions& options, BenchResult& result, std::string& reason) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    reason = "no CUDA GPU is visible";
    return false;
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  if (machine_code_present() != cudaSuccess) {
    reason = std::string("this build carries no machine code for ") + properties.name;
    return false;
  }
  result.machine.gpu = properties.name;
  result.machine.driver = driver_version();
  const std::unique_ptr<Cublas> cublas = Cublas::open(result.machine.cublas);
  if (cublas != nullptr) result.machine.cublas = cublas->version();
  result.machine.copy_bytes_per_second = copy_rate(options.repeats, options.seed);
  const BenchContext context{options, cublas.get(), result};
  if (options.wants("quantize")) {
    bench_quantize(context);
    bench_requantize(context);
    bench_wide(context);
  }
  if (options.wants("qat")) bench_qat(context);
  if (options.wants("exact")) bench_exact(context);
  if (options.wants("w4a16")) bench_w4a16(context);
  if (options.wants("w4a8")) bench_w4a8(context);
  if (options.wants("grouped")) bench_grouped(context);
  return true;
}

}  // namespace assay::kernels::cuda
