// SPDX-License-Identifier: Apache-2.0
// The GPU kernels as a device under test: operands are copied to fresh, poisoned device memory, the
// kernel runs to completion, results are copied back. Nothing of the judge is here.
#include "kernels/cuda/cuda_device.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_products.h"
#include "kernels/cuda/device_qat.h"
#include "kernels/cuda/device_quantizers.h"
#include "kernels/cuda/fp4_device.h"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/gemm_w4a16_mutants.cuh"
#include "kernels/cuda/gemm_w4a16_packed.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/typed_device.h"

namespace assay::kernels {
namespace {

using cuda::DeviceBuffer;
using cuda::Mutant;

class CudaDevice final : public TypedDevice {
 public:
  CudaDevice(std::string name, int major, const CudaMutant* mutant)
      : name_(std::move(name)),
        major_(major),
        row_(mutant),
        mutant_(mutant == nullptr ? Mutant::none : mutant->mutant) {}

  std::string name() const override {
    return (row_ == nullptr ? "cuda" : "cuda-mutants." + std::string(row_->id)) + " (" + name_ +
           ")";
  }

  std::vector<Claim> claims() const override {
    std::vector<Claim> all = cuda::quantizer_claims();
    // The bf16 tensor cores of sm_90, sm_100 and sm_120 keep 25 fraction bits and truncate, those
    // of sm_80 to sm_89 keep 24 (simulator/mma/table.h).
    for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil})
      all.push_back({.operation = "gemm",
                     .b = format,
                     .accumulator = Accumulator::truncating,
                     .fraction_bits = major_ < 9 ? 24 : 25,
                     .k_multiple = format->block.cols});
    for (const Claim& claim : cuda::fp4_claims()) all.push_back(claim);
    for (auto* more : {&cuda::w4a8_claims, &cuda::grouped_w4a16_claims})
      for (Claim& claim : more(major_)) all.push_back(std::move(claim));
    for (auto* more : {cuda::ordered_gemm_claims, cuda::requantizer_claims, cuda::qat_claims})
      for (Claim& claim : more()) all.push_back(std::move(claim));
    if (row_ != nullptr) std::erase_if(all, [this](const Claim& c) { return !row_->touches(c); });
    return all;
  }

  Status run(const Claim& claim, const assay_dut_call& call) const override {
    if (call.operation == ASSAY_DUT_GROUPED_GEMM) return cuda::run_grouped(claim, call, mutant_);
    if (cuda::is_requantizer(call.operation)) return cuda::run_requantizer(claim, call, mutant_);
    return TypedDevice::run(claim, call);
  }

  Status quantize(const Claim& claim, std::span<const float> x,
                  formats::BlockScaledTensor& out) const override {
    return cuda::run_quantize(claim, x, out, mutant_);
  }
  Status dequantize(const Claim& claim, const formats::BlockScaledTensor& in,
                    std::span<float> out) const override {
    return cuda::run_dequantize(claim, in, out);
  }

  Status gemm(const Claim& claim, const GemmCall& call) const override {
    if (claim.accumulator == Accumulator::fp32_fixed_order)
      return cuda::run_ordered_gemm(claim, call, mutant_);
    if (claim.a == claim.b) return cuda::run_fp4_gemm(claim, call);
    if (claim.a == &formats::fp8_deepseek_v4) return cuda::run_w4a8(claim, call, mutant_);
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
    if (cuda::launch_w4a16_mutant(mutant_, p, nullptr)) {
      cuda::check_kernel("gemm_w4a16");
      d.copy_to(call.d);
      return Status::ok;
    }
    // Small batches have a kernel of their own, of weights that are rearranged once.
    const cuda::PackedWeights packed(p);
    cuda::gemm_w4a16(packed.attached_to(p));
    d.copy_to(call.d);
    return Status::ok;
  }

  Status qat_forward(const Claim& claim, const QatCall& call) const override {
    return cuda::run_qat_forward(claim, call, mutant_);
  }
  Status qat_backward(const Claim& claim, const QatCall& call) const override {
    return cuda::run_qat_backward(claim, call, mutant_);
  }

 private:
  std::string name_;
  int major_;              ///< of the compute capability
  const CudaMutant* row_;  ///< null: the right kernels
  Mutant mutant_;
};

}  // namespace

std::unique_ptr<TypedDevice> make_cuda_device(std::string& reason, const CudaMutant* mutant) {
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
  return std::make_unique<CudaDevice>(properties.name, properties.major, mutant);
}

}  // namespace assay::kernels
