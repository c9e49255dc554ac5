// SPDX-License-Identifier: Apache-2.0
// What the whole-catalogue tests do not show of the operations around products and quantizers: the
// right kernels meet the weaker claim that their wrong ones are judged by, and faults shrink.
#include <gtest/gtest.h>

#include "kernels/cpu/cpu_device.h"
#include "kernels/mutants/mutants.h"
#include "proptests/certify.h"

namespace assay::proptests {
namespace {

/// The CPU kernels, claiming FP32 in any order.
class AnyOrder final : public kernels::DeviceUnderTest {
 public:
  [[nodiscard]] std::string name() const override { return "any_order"; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override {
    std::vector<kernels::Claim> claims = right_->claims();
    for (kernels::Claim& claim : claims) claim.accumulator = kernels::Accumulator::fp32_any_order;
    return claims;
  }
  kernels::Status run(const kernels::Claim& claim, const assay_dut_call& call) const override {
    return right_->run(claim, call);
  }

 private:
  std::shared_ptr<const kernels::DeviceUnderTest> right_ = kernels::make_cpu_device();
};

CertifyOptions options(std::int64_t cases) {
  CertifyOptions o;
  o.cases = cases;
  o.target = "cpu";
  return o;
}

TEST(Operations, TheRightKernelsMeetTheClaimOfTheirMutants) {
  const auto device = in_process(std::make_shared<AnyOrder>());
  for (const Property& property : catalogue()) {
    if (!property.id.starts_with("grouped_gemm.") && !property.id.starts_with("gated_gemm.") &&
        !property.id.starts_with("quantize_gemm."))
      continue;
    const Verdict verdict = run_property(property, *device, options(32));
    EXPECT_EQ(verdict.status, Status::pass) << show(verdict);
  }
}

TEST(Operations, AFaultShrinksToAFewElements) {
  const auto mutant = in_process(kernels::mutants::make_mutant("group_offset_off_by_one"));
  const Verdict verdict = run_certification(*mutant,
                                            [] {
                                              CertifyOptions o = options(64);
                                              o.property = "grouped_gemm.nvfp4_nvfp4.exact_sums";
                                              return o;
                                            }())
                              .verdicts.at(0);
  ASSERT_EQ(verdict.status, Status::fail);
  // Two groups and a row are what the fault needs: the row that the second group takes.
  EXPECT_NE(verdict.counterexample->operands.at(0).text.find("2 groups, contiguous, m 1 n 1 k 1,"),
            std::string::npos)
      << verdict.counterexample->operands.at(0).text;
}

}  // namespace
}  // namespace assay::proptests
