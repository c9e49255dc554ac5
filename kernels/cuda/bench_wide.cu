// SPDX-License-Identifier: Apache-2.0
// Blocks of 16 x 16, Four Over Six and the Hadamard transform in front of NVFP4 against the
// bandwidth of a device copy. Results are compared with plain kernels, a thread a block, that
// convert by CUDA's own headers.
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/quantize_orders.cuh"

namespace assay::kernels::cuda {
namespace {

constexpr std::int64_t kRows = 16384;
constexpr std::int64_t kCols = 8192;
constexpr std::int64_t kCount = kRows * kCols;
constexpr unsigned kNegative = 0x5AC3U;

__device__ float number(const QuantizeTask& t, std::int64_t i) {
  return t.bf16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(t.x)[i])
                : static_cast<const float*>(t.x)[i];
}
__device__ std::uint8_t pair_of(float low, float high) {
  return __nv_cvt_float2_to_fp4x2(make_float2(low, high), __NV_E2M1, cudaRoundNearest);
}

__global__ void check_2d(QuantizeTask t, unsigned long long* wrong) {
  const std::int64_t across = kCols / 16;
  for (std::int64_t b = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; b < kCount / 256;
       b += std::int64_t{gridDim.x} * blockDim.x) {
    const std::int64_t first = b / across * 16 * kCols + b % across * 16;
    const auto at = [&](int r, int c) { return number(t, first + r * kCols + c); };
    float amax = 0.0F;
    for (int r = 0; r < 16; ++r)
      for (int c = 0; c < 16; ++c) amax = fmaxf(amax, fabsf(at(r, c)));
    const float encode = 2688.0F / __uint_as_float(*t.amax_bits);
    const std::uint8_t code =
        __nv_cvt_float_to_fp8(amax * (encode * (1.0F / 6.0F)), __NV_SATFINITE, __NV_E4M3);
    const float factor = 1.0F / (decode_ue4m3(code) * (1.0F / encode));
    unsigned long long differ = t.scales[t.index(b / across, b % across)] != code;
    for (int r = 0; r < 16; ++r)
      for (int c = 0; c < 16; c += 2)
        differ += t.codes[(first + r * kCols + c) / 2] !=
                  pair_of(at(r, c) * factor, at(r, c + 1) * factor);
    if (differ != 0) atomicAdd(wrong, differ);
  }
}

__global__ void check_4over6(QuantizeTask t, unsigned long long* wrong) {
  for (std::int64_t b = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; b < kCount / 16;
       b += std::int64_t{gridDim.x} * blockDim.x) {
    float amax = 0.0F;
    for (int i = 0; i < 16; ++i) amax = fmaxf(amax, fabsf(number(t, b * 16 + i)));
    const float encode = 1536.0F / __uint_as_float(*t.amax_bits);
    const float decode = 1.0F / encode;
    std::uint8_t code[2];
    std::uint8_t pairs[2][8];
    float missed[2] = {0.0F, 0.0F};
    for (int four = 0; four < 2; ++four) {
      const float target = four == 0 ? amax / 6.0F * encode : amax / 6.0F * encode * 1.5F;
      code[four] = __nv_cvt_float_to_fp8(target, __NV_SATFINITE, __NV_E4M3);
      const float scale = decode_ue4m3(code[four]);
      const float factor = 1.0F / (scale * decode);
      for (int i = 0; i < 16; i += 2) {
        const float x[2] = {number(t, b * 16 + i), number(t, b * 16 + i + 1)};
        pairs[four][i / 2] = pair_of(x[0] * factor, x[1] * factor);
        for (int e = 0; e < 2; ++e) {
          const float back = decode_e2m1(pairs[four][i / 2] >> 4 * e & 15) * scale * decode;
          const float error = fabsf(back - x[e]);
          missed[four] += error * error;
        }
      }
    }
    const int best = missed[1] < missed[0] ? 1 : 0;
    unsigned long long differ = t.scales[b] != code[best];
    for (int i = 0; i < 8; ++i) differ += t.codes[b * 8 + i] != pairs[best][i];
    if (differ != 0) atomicAdd(wrong, differ);
  }
}

// y = H D x / 4 in FP32, and in FP64 by the matrix's definition. The four levels of FP32 sums err
// by at most 4 2^-24 (1 + 2^-22) of the sum of magnitudes.
__global__ void plain_hadamard(QuantizeTask t, float* y, unsigned long long* wrong) {
  for (std::int64_t b = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; b < kCount / 16;
       b += std::int64_t{gridDim.x} * blockDim.x) {
    float x[16];
    double magnitude = 0;
    for (int i = 0; i < 16; ++i) {
      x[i] = number(t, b * 16 + i);
      magnitude += fabs(double{x[i]});
    }
    for (int i = 0; i < 16; ++i) {
      double exact = 0;
      for (int j = 0; j < 16; ++j) {
        const bool minus = (__popc(i & j) + (kNegative >> j & 1U)) % 2 != 0;
        exact += minus ? -double{x[j]} : double{x[j]};
      }
      y[b * 16 + i] = static_cast<float>(exact / 4);
    }
    hadamard16(x, kNegative);
    for (int i = 0; i < 16; ++i) {
      if (!(fabs(double{x[i]} - double{y[b * 16 + i]}) <= 1.01 * 5 * 0x1p-24 * magnitude / 4))
        atomicAdd(wrong, 1ULL);
      y[b * 16 + i] = x[i];
    }
  }
}

__global__ void count_differing(const std::uint8_t* a, const std::uint8_t* b, std::int64_t count,
                                unsigned long long* wrong) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x)
    if (a[i] != b[i]) atomicAdd(wrong, 1ULL);
}

void bench_numbers(const BenchContext& context, bool bf16) {
  const std::int64_t bytes = kCount * (bf16 ? 2 : 4);
  DeviceBuffer<std::uint8_t> x(static_cast<std::size_t>(bytes));
  fill_words(x.data(), bytes, context.options.seed,
             bf16 ? WordKind::gaussian_bf16 : WordKind::gaussian_f32);
  DeviceBuffer<std::uint8_t> codes(kCount / 2);
  DeviceBuffer<std::uint8_t> scales(kCount / 16);
  DeviceBuffer<std::uint8_t> other_codes(kCount / 2);
  DeviceBuffer<std::uint8_t> other_scales(kCount / 16);
  DeviceBuffer<float> tensor_scale(1);
  DeviceBuffer<unsigned> amax(1);
  DeviceBuffer<unsigned long long> wrong(1);
  DeviceBuffer<float> transformed(kCount);
  wrong.fill(0);
  const QuantizeTask task{x.data(),
                          bf16,
                          kRows,
                          kCols,
                          {kCols / 16, false},
                          codes.data(),
                          scales.data(),
                          tensor_scale.data(),
                          amax.data()};
  const auto add = [&](const char* what, double moved, std::int64_t checked, auto&& run) {
    BenchRow row{
        .suite = "quantize",
        .kernel = std::string(what) + (bf16 ? " from bf16" : " from fp32") + ", amax known",
        .m = kRows,
        .k = kCols};
    unsigned long long differ = 0;
    wrong.copy_to({&differ, 1});
    wrong.fill(0);
    row.checked = checked;
    row.wrong = static_cast<std::int64_t>(differ);
    const Times t =
        time_launches(context.options.repeats, 4, [&](int, cudaStream_t stream) { run(stream); });
    row.microseconds = t.median;
    row.best = t.best;
    row.bytes = moved;
    row.baseline = "device copy";
    row.ratio = moved / (t.median * 1e-6) / context.result.machine.copy_bytes_per_second;
    row.goal = 0.85;
    context.result.rows.push_back(row);
  };
  const double in = static_cast<double>(bytes);
  const auto n = static_cast<double>(kCount);
  launch_amax(task, nullptr);
  const auto poison = [&] {
    codes.fill(0xFF);
    scales.fill(0xFF);
  };
  poison();
  launch_quantize_2d(task, nullptr);
  check_2d<<<2048, 128>>>(task, wrong.data());
  check_kernel("quantize_2d");
  add("nvfp4-2d", in + n * (0.5 + 1.0 / 256), kCount / 2 + kCount / 256,
      [&](cudaStream_t stream) { launch_quantize_2d(task, stream); });
  poison();
  launch_quantize_4over6(QuantizeOrder::nvfp4_4over6, task, nullptr);
  check_4over6<<<4096, 128>>>(task, wrong.data());
  check_kernel("quantize_4over6");
  add("nvfp4-4over6", in + n * (0.5 + 1.0 / 16), kCount / 2 + kCount / 16,
      [&](cudaStream_t stream) {
        launch_quantize_4over6(QuantizeOrder::nvfp4_4over6, task, stream);
      });
  // The Hadamard transform: against the quantizer of its separately computed result.
  plain_hadamard<<<4096, 128>>>(task, transformed.data(), wrong.data());
  check_kernel("plain_hadamard");
  QuantizeTask after = task;
  after.x = transformed.data();
  after.bf16 = false;
  after.codes = other_codes.data();
  after.scales = other_scales.data();
  launch_amax(after, nullptr);
  launch_quantize(QuantizeOrder::nvfp4_te, after, nullptr);
  poison();
  amax.fill(0);
  launch_amax_hadamard(task, kNegative, nullptr);
  launch_quantize_hadamard(task, kNegative, nullptr);
  count_differing<<<2048, 256>>>(codes.data(), other_codes.data(), kCount / 2, wrong.data());
  count_differing<<<2048, 256>>>(scales.data(), other_scales.data(), kCount / 16, wrong.data());
  check_kernel("quantize_hadamard");
  add("nvfp4 of a 16-point Hadamard transform", in + n * (0.5 + 1.0 / 16),
      kCount + kCount / 2 + kCount / 16,
      [&](cudaStream_t stream) { launch_quantize_hadamard(task, kNegative, stream); });
}

}  // namespace

void bench_wide(const BenchContext& context) {
  for (const bool bf16 : {true, false}) bench_numbers(context, bf16);
}

}  // namespace assay::kernels::cuda
