// SPDX-License-Identifier: Apache-2.0
// A device whose GEMM has a plan, asked through the C interface.
#include "proptests/plan_probe.h"

#include <gtest/gtest.h>

#include <bit>
#include <stdexcept>

#include "formats/presets.h"
#include "golden/layout.h"
#include "kernels/typed_device.h"
#include "simulator/plan_additions.h"
#include "simulator/plan_inference.h"

namespace assay::proptests {
namespace {

using formats::BlockScaledTensor;
using simulator::GemmPlan;

class PlannedDevice : public kernels::TypedDevice {
 public:
  PlannedDevice(GemmPlan plan, kernels::Claim claim)
      : plan_(std::move(plan)), claim_(std::move(claim)) {}
  [[nodiscard]] std::string name() const override { return "planned"; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override { return {claim_}; }
  kernels::Status gemm(const kernels::Claim&, const kernels::GemmCall& call) const override {
    const auto codes = [](const BlockScaledTensor& t, std::vector<std::uint32_t>& scales) {
      std::vector<std::uint32_t> out;
      for (std::int64_t i = 0; i < t.rows; ++i) {
        for (std::int64_t j = 0; j < t.cols; ++j) out.push_back(golden::load_code(t, i, j));
        for (std::int64_t j = 0; j < t.cols / t.format->block.cols; ++j)
          scales.push_back(golden::load_scale(t, i, j));
      }
      return out;
    };
    std::vector<std::uint32_t> sa, sb;
    const auto a = codes(*call.a, sa);
    const auto b = codes(*call.b, sb);
    const auto d = simulator::gemm(plan_, {call.m, call.n, call.k, a, b, sa, sb}, 2);
    for (std::size_t i = 0; i < d.size(); ++i) call.d[i] = std::bit_cast<float>(d[i]);
    return kernels::Status::ok;
  }

 private:
  GemmPlan plan_;
  kernels::Claim claim_;
};

TEST(PlanProbe, APlanIsInferredThroughTheInterface) {
  GemmPlan plan;
  plan.name = "truth";
  plan.model = simulator::find_mma_model("blackwell.tcgen05.nvfp4.f32");
  plan.instruction_k = 64;
  plan.tile_k = 128;
  plan.split.count = 2;
  plan.split.tiles = simulator::SplitTiles::interleaved;
  const kernels::Claim claim{.operation = "gemm", .a = &formats::nvfp4, .b = &formats::nvfp4};
  const auto device = in_process(std::make_shared<PlannedDevice>(plan, claim));
  const auto task = plan_task(device->claims().at(0), 512);
  const auto questions = plan_questions(task);
  const auto d = ask_plan(*device, device->claims().at(0), questions);
  const auto inferred = simulator::infer_plan(task, questions, d);
  ASSERT_EQ(inferred.candidates.size(), 1U);
  EXPECT_TRUE(same_additions(inferred.candidates[0].plan, plan, task.k));
}

TEST(PlanProbe, OnlyOperandsOfModels) {
  kernels::Claim claim{.operation = "gemm", .a = &formats::nvfp4, .b = &formats::nvfp4};
  EXPECT_TRUE(can_infer_plan(claim));
  claim.b = &formats::mxfp4_rceil;
  EXPECT_FALSE(can_infer_plan(claim));
  EXPECT_THROW(static_cast<void>(plan_task(claim, 512)), std::invalid_argument);
  claim = {.operation = "quantize", .a = &formats::nvfp4, .b = &formats::nvfp4};
  EXPECT_FALSE(can_infer_plan(claim));
}

}  // namespace
}  // namespace assay::proptests
