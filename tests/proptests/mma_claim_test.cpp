// SPDX-License-Identifier: Apache-2.0
// A GEMM that claims a matrix unit is held to its bits. The kernel here multiplies by golden's
// definition of the unit (tests/simulator/mma/golden_dot.h), the judge by the simulator.
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <memory>

#include "golden/layout.h"
#include "kernels/abi/claim.h"
#include "kernels/abi/claim_text.h"
#include "kernels/typed_device.h"
#include "proptests/certify.h"
#include "tests/simulator/mma/golden_dot.h"

namespace assay::proptests {
namespace {

using formats::BlockScaledTensor;
using kernels::Claim;
using simulator::MmaModel;

/// How the kernel of a test differs from what it claims.
struct Fault {
  std::string unit;         ///< multiplies on this one; empty: the claimed one
  bool promotes = true;     ///< or leaves the unit's accumulator alone
  bool descending = false;  ///< takes its steps from the last k to the first
};

std::uint32_t encoded(const formats::FormatSpec& format, const golden::Value& x) {
  return golden::encode(format, x, formats::RoundingMode::nearest_even,
                        golden::policy_of(formats::ieee, format));
}

class UnitKernel final : public kernels::TypedDevice {
 public:
  UnitKernel(Claim claim, Fault fault)
      : claim_(std::move(claim)),
        fault_(std::move(fault)),
        model_(simulator::find_mma_model(fault_.unit.empty() ? claim_.mma_model : fault_.unit)),
        dot_(model_) {}
  [[nodiscard]] std::string name() const override { return "unit"; }
  [[nodiscard]] std::vector<Claim> claims() const override { return {claim_}; }

  kernels::Status gemm(const Claim& claim, const kernels::GemmCall& call) const override {
    const float s = call.alpha * (call.a != nullptr ? call.a->tensor_scale : 1.0F);
    const float scale = s * call.b->tensor_scale;
    for (std::int64_t i = 0; i < call.m; ++i)
      for (std::int64_t j = 0; j < call.n; ++j) {
        float d = sum(call, i, j) * scale;
        if (call.beta != 0.0F) d += call.beta * call.c[i * call.n + j];
        if (!call.bias.empty()) d += call.bias[j];
        call.d[i * call.n + j] =
            claim.output == &formats::fp32
                ? d
                : std::bit_cast<float>(encoded(formats::bf16, golden::value_of(d)) << 16U);
      }
    return kernels::Status::ok;
  }

 private:
  struct Row {
    std::vector<std::uint32_t> codes, scales;
  };
  /// Codes and scale factors where the unit takes them, dequantized codes elsewhere.
  [[nodiscard]] Row row(const BlockScaledTensor& t, std::int64_t r,
                        const formats::FormatSpec& input, std::int64_t padded) const {
    Row out;
    const std::int64_t block = t.format->block.cols;
    for (std::int64_t p = 0; p < padded; ++p) {
      const bool inside = p < t.cols;
      const std::uint32_t code = inside ? golden::load_code(t, r, p) : 0;
      if (model_.scale != nullptr) {
        out.codes.push_back(code);
        if (p % block == 0) out.scales.push_back(inside ? golden::load_scale(t, r, p / block) : 1);
      } else {
        out.codes.push_back(
            inside ? encoded(input, golden::decode(*t.format->element, code) *
                                        golden::decode(*t.format->scale,
                                                       golden::load_scale(t, r, p / block)))
                   : 0);
      }
    }
    return out;
  }

  [[nodiscard]] float sum(const kernels::GemmCall& call, std::int64_t i, std::int64_t j) const {
    const std::int64_t padded = (call.k + 63) / 64 * 64;
    Row a;
    if (call.a != nullptr) {
      a = row(*call.a, i, *model_.a, padded);
    } else {
      for (std::int64_t p = 0; p < padded; ++p)
        a.codes.push_back(p < call.k ? call.a_bf16[i * call.k + p] : 0);
    }
    const Row b = row(*call.b, j, *model_.b, padded);
    const std::int64_t step = std::max<std::int64_t>(model_.step, model_.scale_block);
    const std::int64_t steps = padded / step;
    const bool promotes = fault_.promotes && claim_.promotion > 0;
    float promoted = 0.0F;
    std::uint32_t acc = 0;
    for (std::int64_t n = 0; n < steps; ++n) {
      const auto first = static_cast<std::size_t>((fault_.descending ? steps - 1 - n : n) * step);
      const auto part = [&](const std::vector<std::uint32_t>& x, std::size_t per) {
        return x.empty() ? std::span<const std::uint32_t>()
                         : std::span(x).subspan(first / per, static_cast<std::size_t>(step) / per);
      };
      const auto block = static_cast<std::size_t>(std::max(model_.scale_block, 1));
      acc = dot_(
          {part(a.codes, 1), part(b.codes, 1), acc, part(a.scales, block), part(b.scales, block)});
      if (!promotes || (n + 1) * step % claim_.promotion != 0) continue;
      promoted += std::bit_cast<float>(acc);
      acc = 0;
    }
    return promotes ? promoted + std::bit_cast<float>(acc) : std::bit_cast<float>(acc);
  }

  Claim claim_;
  Fault fault_;
  const MmaModel& model_;
  simulator::tests::GoldenDot dot_;
};

std::vector<Verdict> verdicts(const std::string& claim, const Fault& fault = {}) {
  const auto device =
      in_process(std::make_shared<UnitKernel>(kernels::abi::parse_claim(claim), fault));
  CertifyOptions options;
  options.cases = 24;
  options.shrink_trials = 0;
  options.diagnose = false;
  std::vector<Verdict> out;
  for (const Property& property : catalogue())
    if (property.id.starts_with("gemm."))
      if (Verdict v = run_property(property, *device, options); v.status != Status::not_supported)
        out.push_back(std::move(v));
  return out;
}

std::int64_t failures(const std::vector<Verdict>& verdicts) {
  return std::count_if(verdicts.begin(), verdicts.end(),
                       [](const Verdict& v) { return v.status == Status::fail; });
}

const std::string wgmma = "gemm a=bf16 b=nvfp4 mma_model=hopper.wgmma.bf16.f32";
const std::string promoted =
    "gemm a=bf16 b=mxfp4-rceil mma_model=hopper.wgmma.bf16.f32 promotion=32";

TEST(MmaClaim, AKernelWithTheBitsOfItsUnitPasses) {
  for (const std::string& claim :
       {wgmma, promoted, wgmma + " d=bf16",
        std::string("gemm a=bf16 b=nvfp4 "
                    "mma_model=cdna1.mfma.bf16.f32"),
        std::string("gemm a=nvfp4 b=nvfp4 mma_model=blackwell.tcgen05.nvfp4.f32 "
                    "scale_layout=128x4"),
        std::string("gemm a=mxfp4-rceil b=mxfp4-rceil mma_model=sm120.mma.mxfp4.f32"),
        std::string("gemm a=nvfp4 b=nvfp4 mma_model=hopper.mma.f16.f32")}) {
    const std::vector<Verdict> all = verdicts(claim);
    EXPECT_GT(all.size(), 15U) << claim;
    std::int64_t cases = 0;
    std::int64_t undecided = 0;
    for (const Verdict& v : all) {
      EXPECT_EQ(v.status, Status::pass) << claim << "\n" << show(v);
      cases += v.cases;
      undecided += v.undecided;
    }
    // What FP16 does not hold of dequantized operands is undecided; BF16 and FP4 hold nearly all.
    if (claim.find(".f16.f32") == std::string::npos) {
      EXPECT_LT(10 * undecided, cases) << claim;
    }
  }
}

TEST(MmaClaim, AKernelWithOtherBitsFails) {
  EXPECT_GT(failures(verdicts(wgmma, {.unit = "ampere.mma.bf16.f32"})), 1);
  EXPECT_GT(failures(verdicts(wgmma, {.unit = "cdna1.mfma.bf16.f32"})), 1);
  EXPECT_GT(failures(verdicts(promoted, {.unit = {}, .promotes = false})), 1);
  EXPECT_GT(failures(verdicts(wgmma, {.unit = {}, .descending = true})), 1);
}

/// The bound of the class holds for all of them: that is what the claim of a unit adds.
TEST(MmaClaim, TheBoundOfTheClassDoesNotSeeTheOrder) {
  Claim claim = kernels::abi::parse_claim(wgmma);
  claim.accumulator = kernels::Accumulator::truncating;
  claim.fraction_bits = 25;
  const auto unit = claim.mma_model;
  claim.mma_model.clear();
  const auto device =
      in_process(std::make_shared<UnitKernel>(claim, Fault{.unit = unit, .descending = true}));
  CertifyOptions options;
  options.cases = 24;
  for (const Property& property : catalogue())
    if (property.id.starts_with("gemm.bf16_nvfp4.") && !property.id.ends_with("batch_invariance")) {
      const Verdict verdict = run_property(property, *device, options);
      EXPECT_TRUE(verdict.status == Status::pass || verdict.status == Status::not_supported)
          << show(verdict);
    }
}

TEST(MmaClaim, WhatNoModelAnswersIsRefused) {
  const auto refused = [](const std::string& claim) {
    try {
      (void)verdicts(claim, {.unit = "hopper.wgmma.bf16.f32"});
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(refused("gemm a=bf16 b=nvfp4 mma_model=hopper.wgmma.bf16").find("did you mean"),
            std::string::npos);
  EXPECT_NE(refused("gemm a=mxfp4-rceil b=mxfp4-rceil mma_model=blackwell.tcgen05.nvfp4.f32")
                .find("ue4m3 per 16"),
            std::string::npos);
  EXPECT_NE(
      refused("gemm a=bf16 b=nvfp4 mma_model=hopper.wgmma.bf16.f32 promotion=24").find("multiple"),
      std::string::npos);
  EXPECT_THROW((void)kernels::abi::parse_claim(
                   "grouped_gemm a=bf16 b=nvfp4 mma_model=hopper.wgmma.bf16.f32"),
               std::invalid_argument);
}

TEST(MmaClaim, TextAndCKeepIt) {
  const Claim claim = kernels::abi::parse_claim(promoted + " flags=deterministic+batch_invariant");
  EXPECT_EQ(claim.mma_model, "hopper.wgmma.bf16.f32");
  EXPECT_EQ(kernels::abi::from_abi(kernels::abi::to_abi(claim)).mma_model, claim.mma_model);
  const Claim again = kernels::abi::parse_claim(kernels::abi::text_of(claim));
  EXPECT_EQ(again.mma_model, claim.mma_model);
  EXPECT_EQ(again.flags, claim.flags);
}

}  // namespace
}  // namespace assay::proptests
