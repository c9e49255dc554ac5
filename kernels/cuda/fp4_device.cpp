// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/fp4_device.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_fp4.cuh"

namespace assay::kernels::cuda {

Status run_fp4_gemm(const Claim& claim, const GemmCall& call) {
  const bool nvfp4 = claim.a == &formats::nvfp4;
  if (claim.a != claim.b || (!nvfp4 && claim.a != &formats::mxfp4_rceil) || call.k % 32 != 0 ||
      claim.scale_layout != formats::ScaleLayout::swizzled_128x4 || fp4_unit() == Fp4Unit::none)
    return Status::not_supported;
  const auto bytes = [](const std::vector<std::uint8_t>& host) {
    return DeviceBuffer<std::uint8_t>{std::span<const std::uint8_t>(host)};
  };
  auto a_codes = bytes(call.a->codes), a_scales = bytes(call.a->scales);
  auto b_codes = bytes(call.b->codes), b_scales = bytes(call.b->scales);
  DeviceBuffer<float> c(call.c), bias(call.bias), d(call.d.size());
  d.fill(0xFF);
  const bool done = gemm_fp4(nvfp4 ? Fp4Kind::nvfp4 : Fp4Kind::mxfp4,
                             {.a_codes = a_codes.data(),
                              .a_scales = a_scales.data(),
                              .b_codes = b_codes.data(),
                              .b_scales = b_scales.data(),
                              .m = call.m,
                              .n = call.n,
                              .k = call.k,
                              .alpha = call.alpha,
                              .tensor_scale_a = nvfp4 ? call.a->tensor_scale : 1.0F,
                              .tensor_scale_b = nvfp4 ? call.b->tensor_scale : 1.0F,
                              .beta = call.beta,
                              .c = call.beta == 0.0F ? nullptr : c.data(),
                              .bias = call.bias.empty() ? nullptr : bias.data(),
                              .d = d.data()});
  if (!done) return Status::not_supported;
  d.copy_to(call.d);
  return Status::ok;
}

}  // namespace assay::kernels::cuda
