// SPDX-License-Identifier: Apache-2.0
// The GPU kernels as a device under test: operands are copied to fresh, poisoned device memory, the
// kernel runs to completion, results are copied back. Nothing of the judge is here.
#include "kernels/cuda/cuda_device.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_products.h"
#include "kernels/cuda/fp4_device.h"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/gemm_w4a16_packed.cuh"
#include "kernels/cuda/qat.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/typed_device.h"

namespace assay::kernels {
namespace {

using cuda::DeviceBuffer;
using formats::ScaleLayout;

/// The formats that the quantizers and dequantizers know.
struct Quantized {
  const formats::BlockFormat* format;
  cuda::QuantizeOrder order;
};
constexpr std::array quantized{Quantized{&formats::nvfp4, cuda::QuantizeOrder::nvfp4_te},
                               Quantized{&formats::nvfp4_divide, cuda::QuantizeOrder::nvfp4_divide},
                               Quantized{&formats::mxfp4_floor, cuda::QuantizeOrder::mxfp4_floor},
                               Quantized{&formats::mxfp4_rceil, cuda::QuantizeOrder::mxfp4_rceil},
                               Quantized{&formats::deepseek_v4, cuda::QuantizeOrder::deepseek_v4}};
const Quantized* find_quantized(const formats::BlockFormat* format) {
  const auto* row = std::find_if(quantized.begin(), quantized.end(),
                                 [&](const Quantized& q) { return q.format == format; });
  return row == quantized.end() ? nullptr : row;
}

cuda::ScaleIndex scale_index(const formats::BlockScaledTensor& t) {
  const std::int64_t block = t.format->block.cols;
  return {(t.cols + block - 1) / block, t.scale_layout == ScaleLayout::swizzled_128x4};
}

std::size_t scale_bytes(const formats::BlockScaledTensor& t) {
  const std::int64_t blocks = scale_index(t).blocks_per_row;
  if (t.scale_layout == ScaleLayout::row_major) return static_cast<std::size_t>(t.rows * blocks);
  return static_cast<std::size_t>((t.rows + 127) / 128 * 128 * ((blocks + 3) / 4 * 4));
}

/// The weights of a QAT step on the device: the raw matrix, its dequantized value, and its scales.
struct FakeQuantized {
  DeviceBuffer<float> raw, value, scales, tensor_scale;

  FakeQuantized(const formats::BlockFormat& format, const QatCall& call)
      : raw(call.w),
        value(call.w.size()),
        scales(static_cast<std::size_t>(call.n * ((call.k + 15) / 16))),
        tensor_scale(1) {
    value.fill(0xFF);
    const std::int64_t blocks = (call.k + 15) / 16;
    if (format.rule == formats::ScaleRule::given) {
      check_given(call, blocks);
      cuda::check(cudaMemcpy(scales.data(), call.scales.data(), call.scales.size_bytes(),
                             cudaMemcpyHostToDevice),
                  "cudaMemcpy of scales");
      const float one = 1.0F;
      cuda::check(cudaMemcpy(tensor_scale.data(), &one, sizeof one, cudaMemcpyHostToDevice),
                  "cudaMemcpy");
      cuda::poison_scales(raw.data(), call.n, call.k, 16, scales.data());
      cuda::fake_quantize_given(raw.data(), scales.data(), call.n, call.k, 16, value.data());
      return;
    }
    DeviceBuffer<std::uint8_t> codes(static_cast<std::size_t>(call.n * ((call.k + 1) / 2)));
    DeviceBuffer<std::uint8_t> scale_codes(static_cast<std::size_t>(call.n * blocks));
    const cuda::ScaleIndex index{blocks, false};
    cuda::quantize(cuda::QuantizeOrder::nvfp4_te,
                   {raw.data(), false, call.n, call.k, index, codes.data(), scale_codes.data(),
                    tensor_scale.data()});
    cuda::dequantize(codes.data(), scale_codes.data(), tensor_scale.data(), call.n, call.k, index,
                     value.data());
    cuda::decode_scales(scale_codes.data(), call.n * blocks, scales.data());
  }

  static void check_given(const QatCall& call, std::int64_t blocks) {
    if (static_cast<std::int64_t>(call.scales.size()) != call.n * blocks)
      throw std::invalid_argument(
          "a learned-scale QAT step needs one scale per block of 16 weights");
  }
};

class CudaDevice final : public TypedDevice {
 public:
  CudaDevice(std::string name, int major) : name_(std::move(name)), major_(major) {}

  std::string name() const override { return "cuda (" + name_ + ")"; }

  std::vector<Claim> claims() const override {
    std::vector<Claim> all;
    for (const ScaleLayout layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4})
      for (const Quantized& row : quantized)
        for (const char* operation : {"quantize", "dequantize"})
          all.push_back({.operation = operation, .a = row.format, .scale_layout = layout});
    // The bf16 tensor cores of sm_90, sm_100 and sm_120 keep 25 fraction bits and truncate.
    for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil})
      all.push_back({.operation = "gemm",
                     .b = format,
                     .accumulator = Accumulator::truncating,
                     .fraction_bits = 25,
                     .k_multiple = format->block.cols});
    for (const Claim& claim : cuda::fp4_claims()) all.push_back(claim);
    for (auto* more : {&cuda::w4a8_claims, &cuda::grouped_w4a16_claims})
      for (Claim& claim : more(major_)) all.push_back(std::move(claim));
    for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::article_attention})
      for (const char* operation : {"qat_forward", "qat_backward"})
        all.push_back({.operation = operation,
                       .b = format,
                       .accumulator = Accumulator::fp32_any_order,
                       .estimators = (1U << ASSAY_DUT_IDENTITY) | (1U << ASSAY_DUT_CLIP_MASK) |
                                     (1U << ASSAY_DUT_LSQ)});
    return all;
  }

  Status run(const Claim& claim, const assay_dut_call& call) const override {
    return call.operation == ASSAY_DUT_GROUPED_GEMM ? cuda::run_grouped(claim, call)
                                                    : TypedDevice::run(claim, call);
  }

  Status quantize(const Claim& claim, std::span<const float> x,
                  formats::BlockScaledTensor& out) const override {
    const Quantized* row = find_quantized(claim.a);
    if (row == nullptr) return Status::not_supported;
    if (out.layout != formats::Layout::row_major) return Status::not_supported;
    out.codes.assign(static_cast<std::size_t>(out.rows * ((out.cols + 1) / 2)), 0);
    out.scales.assign(scale_bytes(out), 0);
    DeviceBuffer<float> input(x);
    DeviceBuffer<std::uint8_t> codes(out.codes.size());
    DeviceBuffer<std::uint8_t> scales(out.scales.size());
    DeviceBuffer<float> tensor_scale(1);
    codes.fill(0xFF);
    scales.fill(0);  // the padding of the swizzled layout is read by the hardware: zero, not poison
    tensor_scale.fill(0xFF);
    cuda::quantize(row->order, {input.data(), false, out.rows, out.cols, scale_index(out),
                                codes.data(), scales.data(), tensor_scale.data()});
    codes.copy_to(out.codes);
    scales.copy_to(out.scales);
    if (cuda::has_tensor_scale(row->order)) tensor_scale.copy_to({&out.tensor_scale, 1});
    return Status::ok;
  }

  Status dequantize(const Claim& claim, const formats::BlockScaledTensor& in,
                    std::span<float> out) const override {
    const Quantized* row = find_quantized(claim.a);
    if (row == nullptr) return Status::not_supported;
    if (in.layout != formats::Layout::row_major) return Status::not_supported;
    DeviceBuffer<std::uint8_t> codes{std::span<const std::uint8_t>(in.codes)};
    DeviceBuffer<std::uint8_t> scales{std::span<const std::uint8_t>(in.scales)};
    DeviceBuffer<float> tensor_scale{std::span<const float>(&in.tensor_scale, 1)};
    DeviceBuffer<float> result(out.size());
    result.fill(0xFF);
    cuda::dequantize(codes.data(), scales.data(),
                     cuda::has_tensor_scale(row->order) ? tensor_scale.data() : nullptr, in.rows,
                     in.cols, scale_index(in), result.data());
    result.copy_to(out);
    return Status::ok;
  }

  Status gemm(const Claim& claim, const GemmCall& call) const override {
    if (claim.a == claim.b) return cuda::run_fp4_gemm(claim, call);
    if (claim.a == &formats::fp8_deepseek_v4) return cuda::run_w4a8(claim, call);
    if (claim.a != nullptr || (claim.b != &formats::nvfp4 && claim.b != &formats::mxfp4_rceil) ||
        call.k % claim.b->block.cols != 0)
      return Status::not_supported;
    DeviceBuffer<std::uint16_t> a(call.a_bf16);
    DeviceBuffer<std::uint8_t> codes{std::span<const std::uint8_t>(call.b->codes)};
    DeviceBuffer<std::uint8_t> scales{std::span<const std::uint8_t>(call.b->scales)};
    DeviceBuffer<float> c(call.c);
    DeviceBuffer<float> bias(call.bias);
    DeviceBuffer<float> d(call.d.size());
    d.fill(0xFF);
    const cuda::GemmW4a16 p{
        .a = a.data(),
        .b_codes = codes.data(),
        .b_scales = scales.data(),
        .m = call.m,
        .n = call.n,
        .k = call.k,
        .alpha = call.alpha,
        .tensor_scale = claim.b == &formats::nvfp4 ? call.b->tensor_scale : 1.0F,
        .beta = call.beta,
        .c = call.beta == 0.0F ? nullptr : c.data(),
        .bias = call.bias.empty() ? nullptr : bias.data(),
        .d = d.data(),
        .weights = claim.b == &formats::nvfp4 ? cuda::Fp4Weights::nvfp4 : cuda::Fp4Weights::mxfp4};
    // Small batches have a kernel of their own, of weights that are rearranged once.
    const cuda::PackedWeights packed(p);
    cuda::gemm_w4a16(packed.attached_to(p));
    d.copy_to(call.d);
    return Status::ok;
  }

  Status qat_forward(const Claim& claim, const QatCall& call) const override {
    if (!supports(claim, call)) return Status::not_supported;
    FakeQuantized w(*claim.b, call);
    DeviceBuffer<float> x(call.x);
    DeviceBuffer<float> bias(call.bias);
    DeviceBuffer<float> y(call.y.size());
    y.fill(0xFF);
    cuda::ordered_gemm({x.data(), call.k, 1}, {w.value.data(), call.k, 1}, call.m, call.n, call.k,
                       call.bias.empty() ? nullptr : bias.data(), y.data());
    y.copy_to(call.y);
    return Status::ok;
  }

  Status qat_backward(const Claim& claim, const QatCall& call) const override {
    if (!supports(claim, call)) return Status::not_supported;
    FakeQuantized w(*claim.b, call);
    DeviceBuffer<float> x(call.x);
    DeviceBuffer<float> dy(call.dy);
    DeviceBuffer<float> dx(call.dx.size());
    DeviceBuffer<float> dw(call.dw.size());
    DeviceBuffer<float> dscale(call.dscale.size());
    DeviceBuffer<float> dbias(call.dbias.size());
    for (DeviceBuffer<float>* out : {&dx, &dw, &dscale, &dbias}) out->fill(0xFF);
    cuda::ordered_gemm({dy.data(), call.n, 1}, {w.value.data(), 1, call.k}, call.m, call.k, call.n,
                       nullptr, dx.data());
    cuda::ordered_gemm({dy.data(), 1, call.n}, {x.data(), 1, call.k}, call.n, call.k, call.m,
                       nullptr, dw.data());
    cuda::estimate(call.estimator, w.raw.data(), w.scales.data(), w.tensor_scale.data(), call.n,
                   call.k, 16, dw.data(), dscale.data());
    dx.copy_to(call.dx);
    dw.copy_to(call.dw);
    if (call.estimator == Estimator::lsq) dscale.copy_to(call.dscale);
    if (!call.dbias.empty()) {
      cuda::column_sums(dy.data(), call.m, call.n, dbias.data());
      dbias.copy_to(call.dbias);
    }
    return Status::ok;
  }

 private:
  /// NVFP4 takes its scales from amax, so it has no learned-scale gradient; the given rule needs
  /// scales.
  static bool supports(const Claim& claim, const QatCall& call) {
    if (claim.b == &formats::nvfp4) return call.estimator != Estimator::lsq && call.scales.empty();
    return claim.b == &formats::article_attention && !call.scales.empty();
  }

  std::string name_;
  int major_;  ///< of the compute capability
};

}  // namespace

std::unique_ptr<TypedDevice> make_cuda_device(std::string& reason) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0) {
    reason = std::string("no CUDA device: ") +
             (status == cudaSuccess ? "the driver reports none" : cudaGetErrorString(status));
    return nullptr;
  }
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  if (const cudaError_t status = cuda::machine_code_present(); status != cudaSuccess) {
    reason = std::string("this build carries no machine code for ") + properties.name +
             " (compute capability " + std::to_string(properties.major) + "." +
             std::to_string(properties.minor) + ")";
    return nullptr;
  }
  return std::make_unique<CudaDevice>(properties.name, properties.major);
}

}  // namespace assay::kernels
