// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/cpu_device.h"

#include <algorithm>
#include <array>

#include "formats/block.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/operations.h"

namespace assay::kernels {
namespace {

using formats::BlockFormat;
using formats::ScaleLayout;

constexpr std::array quantized{&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor,
                               &formats::mxfp4_rceil, &formats::deepseek_v4};
/// Quantized by the library itself (formats/block.h).
constexpr std::array library{&formats::nvfp4_2d, &formats::nvfp4_4over6, &formats::nvfp4_4over6_mae,
                             &formats::nvfp4_4over6_max};
/// A and B of the GEMMs; a null A is bf16. How the scales were chosen does not matter to a product,
/// so one row for each way of scaling stands for all of its rules.
constexpr std::array<std::array<const BlockFormat*, 2>, 5> products{
    {{&formats::nvfp4, &formats::nvfp4},
     {&formats::mxfp4_rceil, &formats::mxfp4_rceil},
     {nullptr, &formats::nvfp4},
     {nullptr, &formats::mxfp4_rceil},
     {&formats::fp8_deepseek_v4, &formats::mxfp4_rceil}}};
constexpr std::array trained{&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_rceil,
                             &formats::article, &formats::article_attention};

std::vector<Claim> all_claims() {
  std::vector<Claim> claims;
  for (const auto layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4}) {
    for (const BlockFormat* format : quantized)
      for (const char* operation : {"quantize", "dequantize"}) {
        Claim claim{operation, format};
        claim.scale_layout = layout;
        claims.push_back(claim);
      }
    for (const BlockFormat* format : library) {
      Claim claim{"quantize", format};
      claim.scale_layout = layout;
      claims.push_back(claim);
    }
    for (const auto& [a, b] : products)
      for (const formats::FormatSpec* output : {&formats::fp32, &formats::bf16}) {
        Claim claim{"gemm", a, b};
        claim.scale_layout = layout;
        claim.accumulator = Accumulator::fp32_fixed_order;
        claim.output = output;
        claims.push_back(claim);
      }
  }
  for (const BlockFormat* format : trained)
    for (const char* operation : {"qat_forward", "qat_backward"})
      claims.emplace_back(Claim{operation, nullptr, format}).estimators = every_estimator;
  for (Claim& claim : claims)
    claim.flags |=
        ASSAY_DUT_STRIDES | ASSAY_DUT_FAR_ROWS | ASSAY_DUT_ANY_PADDING | ASSAY_DUT_BATCH_INVARIANT;
  for (Claim& claim : cpu::operation_claims()) claims.push_back(std::move(claim));
  return claims;
}

bool same(const Claim& a, const Claim& b) {
  return a.operation == b.operation && a.a == b.a && a.b == b.b && a.rounding == b.rounding &&
         a.scale_layout == b.scale_layout && a.output == b.output && a.code == b.code &&
         a.profile == b.profile && a.gate_layout == b.gate_layout &&
         a.group_layout == b.group_layout && a.random == b.random && a.random_bits == b.random_bits;
}

class CpuDevice final : public TypedDevice {
 public:
  [[nodiscard]] std::string name() const override { return "cpu"; }
  [[nodiscard]] std::vector<Claim> claims() const override { return claims_; }

  Status run(const Claim& claim, const assay_dut_call& call) const override {
    const cpu::Operation* operation = cpu::find_operation(call.operation);
    if (operation == nullptr) return TypedDevice::run(claim, call);
    return has(claim) ? operation->run(claim, call) : Status::not_supported;
  }

  Status quantize(const Claim& claim, std::span<const float> x,
                  formats::BlockScaledTensor& out) const override {
    if (!has(claim) || out.layout != formats::Layout::row_major) return Status::not_supported;
    if (std::find(library.begin(), library.end(), claim.a) != library.end()) {
      formats::QuantizeOptions options;
      options.scale_layout = out.scale_layout;
      out = formats::quantize(x, out.rows, out.cols, *claim.a, options);
      return Status::ok;
    }
    return cpu::quantize(x, out) ? Status::ok : Status::not_supported;
  }

  Status dequantize(const Claim& claim, const formats::BlockScaledTensor& in,
                    std::span<float> out) const override {
    if (!has(claim) || in.layout != formats::Layout::row_major) return Status::not_supported;
    cpu::dequantize(in, out);
    return Status::ok;
  }

  Status gemm(const Claim& claim, const GemmCall& call) const override {
    if (!has(claim)) return Status::not_supported;
    cpu::Operand a;
    if (claim.a == nullptr) {
      a.values.resize(call.a_bf16.size());
      std::transform(call.a_bf16.begin(), call.a_bf16.end(), a.values.begin(), cpu::decode_bf16);
    } else {
      a = cpu::operand(*call.a);
    }
    cpu::gemm(a, cpu::operand(*call.b),
              {call.m, call.n, call.k, call.alpha, call.beta, call.c, call.bias}, *claim.output,
              call.d);
    return Status::ok;
  }

  Status qat_forward(const Claim& claim, const QatCall& call) const override {
    if (!has(claim)) return Status::not_supported;
    return cpu::qat_forward(claim, call);
  }
  Status qat_backward(const Claim& claim, const QatCall& call) const override {
    if (!has(claim)) return Status::not_supported;
    return cpu::qat_backward(claim, call);
  }

 private:
  [[nodiscard]] bool has(const Claim& claim) const {
    return std::any_of(claims_.begin(), claims_.end(),
                       [&](const Claim& own) { return same(own, claim); });
  }

  std::vector<Claim> claims_ = all_claims();
};

}  // namespace

std::unique_ptr<TypedDevice> make_cpu_device() { return std::make_unique<CpuDevice>(); }

}  // namespace assay::kernels
