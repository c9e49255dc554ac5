// SPDX-License-Identifier: Apache-2.0
// The kernels of kernels/blind through the C interface: the right ones pass certification, so that
// a wrong one fails of its fault and of nothing else.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kernels/abi/claim.h"
#include "proptests/certify.h"

namespace assay::proptests {
namespace {

const assay_dut_api* blind_api() {
  static void* const library = dlopen(ASSAY_BLIND_MUTANTS, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const auto get =
      reinterpret_cast<assay_dut_get_api_function>(dlsym(library, "assay_dut_get_api"));
  return get == nullptr ? nullptr : get(ASSAY_DUT_ABI_VERSION);
}

/// One entry of the plugin.
class Entry final : public kernels::DeviceUnderTest {
 public:
  explicit Entry(const kernels::Claim& claim) : claim_(claim), number_(claim.entry) {}
  [[nodiscard]] std::string name() const override { return "blind"; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override { return {claim_}; }
  kernels::Status run(const kernels::Claim& /*claim*/, const assay_dut_call& call) const override {
    assay_dut_call mine = call;
    mine.entry = number_;
    const std::int32_t status = blind_api()->run(&mine);
    if (status == ASSAY_DUT_DECLINED) return kernels::Status::not_supported;
    return status == ASSAY_DUT_OK ? kernels::Status::ok : kernels::Status::failed;
  }

 private:
  kernels::Claim claim_;
  std::int32_t number_;  ///< in the plugin; in this device it is the only entry
};

std::vector<kernels::Claim> claims() {
  std::vector<kernels::Claim> claims;
  for (std::int32_t i = 0; i < blind_api()->entries; ++i) {
    assay_dut_claim claim = kernels::abi::default_claim();
    EXPECT_EQ(blind_api()->describe(i, &claim), 0);
    claims.push_back(kernels::abi::from_abi(claim));
    claims.back().entry = i;
  }
  return claims;
}

Report certified(const kernels::Claim& claim, std::int64_t cases) {
  CertifyOptions options;
  options.cases = cases;
  options.property = claim.operation + ".";
  options.shrink_trials = 0;
  const std::unique_ptr<Device> device = in_process(std::make_shared<Entry>(claim));
  return run_certification(*device, options);
}

TEST(Blind, RightEntriesPass) {
  ASSERT_NE(blind_api(), nullptr) << dlerror();
  int right = 0;
  for (const kernels::Claim& claim : claims()) {
    if (claim.name.rfind("right.", 0) != 0) continue;
    ++right;
    const Report report = certified(claim, 100);
    EXPECT_EQ(report.count(Status::fail), 0) << claim.name << "\n" << summary(report);
    EXPECT_EQ(report.count(Status::error), 0) << claim.name << "\n" << summary(report);
    EXPECT_GT(report.count(Status::pass), 0) << claim.name << "\n" << summary(report);
  }
  EXPECT_GE(right, 10);
}

TEST(Blind, WrongEntriesAreRejected) {
  ASSERT_NE(blind_api(), nullptr) << dlerror();
  int wrong = 0;
  for (const kernels::Claim& claim : claims()) {
    if (claim.name.rfind("right.", 0) == 0) continue;
    ++wrong;
    const Report report = certified(claim, 300);
    // Known to survive: it flushes subnormal bf16 activations, and no case has one yet.
    EXPECT_GT(report.count(Status::fail), 0) << claim.name;
  }
  EXPECT_GE(wrong, 24);
}

}  // namespace
}  // namespace assay::proptests
