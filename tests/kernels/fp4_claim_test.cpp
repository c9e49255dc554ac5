// SPDX-License-Identifier: Apache-2.0
// What the Blackwell FP4 kernels claim is true of the published arithmetic: devices that compute
// with its bits pass certification as those kernels.
#include <gtest/gtest.h>

#include <bit>
#include <memory>

#include "kernels/cuda/fp4_device.h"
#include "proptests/certify.h"
#include "simulator/gemm.h"

namespace assay::proptests {
namespace {

using Words = std::vector<std::uint32_t>;

class Published final : public kernels::TypedDevice {
 public:
  Published(kernels::Claim claim, const char* model, int tile_k) : claim_(std::move(claim)) {
    using simulator::Addend;
    using simulator::EpilogueStep;
    using simulator::Factor;
    plan_.model = simulator::find_mma_model(model);
    plan_.instruction_k = 64;
    plan_.tile_k = tile_k;
    plan_.epilogue = {
        {EpilogueStep::Op::multiply, {Factor::alpha, Factor::scale_a, Factor::scale_b}},
        {EpilogueStep::Op::add, {}, Addend::c},
        {EpilogueStep::Op::add, {}, Addend::bias}};
  }
  [[nodiscard]] std::string name() const override { return plan_.model.name; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override { return {claim_}; }

  kernels::Status gemm(const kernels::Claim& /*claim*/,
                       const kernels::GemmCall& call) const override {
    const Words a = codes(*call.a), b = codes(*call.b);
    const Words scale_a = scales(*call.a), scale_b = scales(*call.b);
    const Words c = bits(call.c), bias = bits(call.bias);
    const simulator::GemmOperands operands{.m = call.m,
                                           .n = call.n,
                                           .k = call.k,
                                           .a = a,
                                           .b = b,
                                           .scale_a = scale_a,
                                           .scale_b = scale_b,
                                           .c = c,
                                           .bias = bias,
                                           .alpha = call.alpha,
                                           .beta = call.beta,
                                           .tensor_scale_a = call.a->tensor_scale,
                                           .tensor_scale_b = call.b->tensor_scale};
    const bool empty = call.m == 0 || call.n == 0 || call.k == 0;
    const Words d = empty ? Words{} : simulator::gemm(plan_, operands);
    for (std::size_t i = 0; i < call.d.size(); ++i)
      call.d[i] = std::bit_cast<float>(
          empty ? simulator::finish(plan_, operands, static_cast<std::int64_t>(i), 0.0F) : d[i]);
    return kernels::Status::ok;
  }

 private:
  static Words codes(const formats::BlockScaledTensor& t) {
    Words all;
    for (std::int64_t i = 0; i < t.rows * t.cols; ++i)  // k is even
      all.push_back(t.codes[static_cast<std::size_t>(i / 2)] >> i % 2 * 4 & 15U);
    return all;
  }
  static Words scales(const formats::BlockScaledTensor& t) {
    Words all;
    const std::int64_t count = t.cols / t.format->block.cols;
    for (std::int64_t r = 0; r < t.rows; ++r)  // formats/tensor.h, swizzled_128x4
      for (std::int64_t i = 0; i < count; ++i)
        all.push_back(t.scales[static_cast<std::size_t>(
            (r / 128 * ((count + 3) / 4) + i / 4) * 512 + r % 32 * 16 + r % 128 / 32 * 4 + i % 4)]);
    return all;
  }
  static Words bits(std::span<const float> x) {
    Words all;
    for (const float value : x) all.push_back(std::bit_cast<std::uint32_t>(value));
    return all;
  }

  kernels::Claim claim_;
  simulator::GemmPlan plan_;
};

TEST(Fp4Claim, HoldsOfThePublishedArithmetic) {
  const std::vector<kernels::Claim> claims = kernels::cuda::fp4_claims();
  ASSERT_EQ(claims.size(), 2U);
  struct Row {
    std::size_t claim;
    const char* model;
    int tile_k;
  };
  for (const Row& row :
       {Row{0, "sm120.mma.nvfp4.f32", 128}, Row{1, "sm120.mma.mxfp4.f32", 128},
        Row{0, "blackwell.tcgen05.nvfp4.f32", 64}, Row{1, "blackwell.tcgen05.mxfp4.f32", 64}}) {
    CertifyOptions options;
    options.cases = 100;
    options.property = "gemm.";
    options.shrink_trials = 0;
    const std::unique_ptr<Device> device =
        in_process(std::make_shared<Published>(claims[row.claim], row.model, row.tile_k));
    const Report report = run_certification(*device, options);
    EXPECT_EQ(report.count(Status::fail) + report.count(Status::error), 0) << row.model << "\n"
                                                                           << summary(report);
    EXPECT_GE(report.count(Status::pass), 15) << row.model << "\n" << summary(report);
  }
}

}  // namespace
}  // namespace assay::proptests
