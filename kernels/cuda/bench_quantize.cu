// SPDX-License-Identifier: Apache-2.0
// The quantizers against the bandwidth of a device copy. Their bits are compared with those of a
// plain kernel, a thread a block, that converts by CUDA's own headers.
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

__global__ void plain_amax(const void* x, bool bf16, std::int64_t count, unsigned* amax) {
  unsigned largest = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const float v = bf16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(x)[i])
                         : static_cast<const float*>(x)[i];
    if (isfinite(v)) largest = max(largest, __float_as_uint(fabsf(v)));
  }
  atomicMax(amax, largest);
}

/// Counts the bytes of codes and scales that differ. Rows are whole blocks.
__global__ void compare(QuantizeOrder order, QuantizeTask task, unsigned long long* wrong) {
  const int block = block_of(order);
  const std::int64_t count = task.rows * task.cols / block;
  for (std::int64_t b = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; b < count;
       b += std::int64_t{gridDim.x} * blockDim.x) {
    const auto at = [&](int i) {
      return task.bf16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(task.x)[b * block + i])
                       : static_cast<const float*>(task.x)[b * block + i];
    };
    float amax = 0.0F;
    for (int i = 0; i < block; ++i) amax = fmaxf(amax, fabsf(at(i)));
    std::uint8_t code = 0;
    float factor = 0.0F;
    if (order == QuantizeOrder::nvfp4_te) {
      const float encode = 2688.0F / __uint_as_float(*task.amax_bits);
      code = __nv_cvt_float_to_fp8(amax * (encode * (1.0F / 6.0F)), __NV_SATFINITE, __NV_E4M3);
      factor = 1.0F / (decode_ue4m3(code) * (1.0F / encode));
    } else if (order == QuantizeOrder::nvfp4_divide) {
      const float decode = __uint_as_float(*task.amax_bits) / 2688.0F;
      code = __nv_cvt_float_to_fp8(amax / 6.0F / decode, __NV_SATFINITE, __NV_E4M3);
      factor = decode_ue4m3(code) * decode;
    } else if (order == QuantizeOrder::mxfp4_floor) {
      code = __nv_cvt_float_to_e8m0(amax / 4.0F, __NV_SATFINITE, cudaRoundZero);
    } else if (order == QuantizeOrder::mxfp4_rceil) {
      code = __nv_cvt_float_to_e8m0(amax / 6.0F, __NV_SATFINITE, cudaRoundPosInf);
    } else {
      code = __nv_cvt_float_to_e8m0(amax * (1.0F / 6.0F), __NV_SATFINITE, cudaRoundPosInf);
    }
    const std::int64_t across = task.cols / block;
    unsigned differ = task.scales[task.index(b / across, b % across)] != code;
    for (int i = 0; i < block; i += 2) {
      float2 v = make_float2(at(i), at(i + 1));
      if (order == QuantizeOrder::nvfp4_te)
        v = make_float2(v.x * factor, v.y * factor);
      else if (order == QuantizeOrder::nvfp4_divide)
        v = make_float2(v.x / factor, v.y / factor);
      else
        v = make_float2(v.x / decode_e8m0(code), v.y / decode_e8m0(code));
      differ += task.codes[(b * block + i) / 2] !=
                __nv_cvt_float2_to_fp4x2(v, __NV_E2M1, cudaRoundNearest);
    }
    if (differ != 0) atomicAdd(wrong, differ);
  }
}

}  // namespace

void bench_quantize(const BenchContext& context) {
  constexpr std::int64_t rows = 16384;
  constexpr std::int64_t cols = 8192;
  constexpr std::int64_t count = rows * cols;
  const double copy = context.result.machine.copy_bytes_per_second;
  DeviceBuffer<std::uint8_t> codes(count / 2);
  DeviceBuffer<std::uint8_t> scales(count / 16);
  DeviceBuffer<float> tensor_scale(1);
  DeviceBuffer<unsigned> amax(1);
  DeviceBuffer<unsigned long long> wrong(1);
  struct Named {
    QuantizeOrder order;
    const char* name;
  };
  constexpr Named orders[] = {{QuantizeOrder::nvfp4_te, "nvfp4"},
                              {QuantizeOrder::nvfp4_divide, "nvfp4-divide"},
                              {QuantizeOrder::mxfp4_floor, "mxfp4-floor"},
                              {QuantizeOrder::mxfp4_rceil, "mxfp4-rceil"},
                              {QuantizeOrder::deepseek_v4, "deepseek-v4"}};
  for (const bool bf16 : {true, false}) {
    const std::int64_t bytes = count * (bf16 ? 2 : 4);
    DeviceBuffer<std::uint8_t> x(static_cast<std::size_t>(bytes));
    fill_words(x.data(), bytes, context.options.seed,
               bf16 ? WordKind::gaussian_bf16 : WordKind::gaussian_f32);
    for (const auto& [order, name] : orders) {
      const int block = block_of(order);
      for (const bool swizzled : {false, true}) {
        QuantizeTask task{x.data(),
                          bf16,
                          rows,
                          cols,
                          {cols / block, swizzled},
                          codes.data(),
                          scales.data(),
                          tensor_scale.data(),
                          amax.data()};
        BenchRow row{.suite = "quantize",
                     .kernel = std::string(name) + (bf16 ? " from bf16" : " from fp32") +
                               (swizzled ? ", 128x4 scales" : ""),
                     .m = rows,
                     .k = cols};
        {
          codes.fill(0xFF);
          scales.fill(0xFF);
          wrong.fill(0);
          amax.fill(0);
          launch_amax(task, nullptr);
          launch_quantize(order, task, nullptr);
          check_kernel("quantize");
          amax.fill(0);  // the comparison finds its own
          plain_amax<<<2048, 256>>>(x.data(), bf16, count, amax.data());
          compare<<<4096, 256>>>(order, task, wrong.data());
          check_kernel("compare");
          unsigned long long differ = 0;
          wrong.copy_to({&differ, 1});
          row.checked = count / 2 + count / block;
          row.wrong = static_cast<std::int64_t>(differ);
        }
        const double out = static_cast<double>(count) * (0.5 + 1.0 / block);
        const auto time = [&](const char* what, bool with_amax, double moved, double goal) {
          const Times t = time_launches(context.options.repeats, 4, [&](int, cudaStream_t stream) {
            if (with_amax) launch_amax(task, stream);
            launch_quantize(order, task, stream);
          });
          BenchRow timed = row;
          timed.kernel += what;
          timed.microseconds = t.median;
          timed.best = t.best;
          timed.bytes = moved;
          timed.baseline = "device copy";
          timed.ratio = moved / (t.median * 1e-6) / copy;
          timed.goal = goal;
          context.result.rows.push_back(timed);
        };
        time(has_tensor_scale(order) ? ", amax known" : "", false, bytes + out, 0.85);
        if (!swizzled && order == QuantizeOrder::nvfp4_te)
          for (const int passes : {1, 2, 8, 16}) {  // beside the kernel's own choice
            task.passes = passes;
            time((", amax known, rows a block: " + std::to_string(passes)).c_str(), false,
                 bytes + out, 0);
          }
        task.passes = 0;
        // The tensor's maximum has to be known before the first block: x is read twice.
        if (has_tensor_scale(order)) time(", amax too", true, 2.0 * bytes + out, 0.85);
      }
    }
  }
}

}  // namespace assay::kernels::cuda
