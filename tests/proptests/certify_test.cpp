// SPDX-License-Identifier: Apache-2.0
// The right kernels pass, reports repeat, failures replay, and what did not run is not a pass.
#include "proptests/certify.h"

#include <gtest/gtest.h>

#include <set>

#include "kernels/cpu/cpu_device.h"
#include "kernels/mutants/mutants.h"
#include "kernels/typed_device.h"

namespace assay::proptests {
namespace {

class NoClaims final : public kernels::TypedDevice {
 public:
  [[nodiscard]] std::string name() const override { return "none"; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override { return {}; }
};
class DeclinesAll final : public kernels::TypedDevice {
 public:
  [[nodiscard]] std::string name() const override { return "declines"; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override {
    return kernels::make_cpu_device()->claims();
  }
};

template <class Kernels>
Report certify(Kernels kernels, const CertifyOptions& options) {
  return run_certification(*in_process(std::move(kernels)), options);
}

CertifyOptions options(std::int64_t cases, std::string property = "") {
  CertifyOptions o;
  o.cases = cases;
  o.property = std::move(property);
  o.target = "cpu";
  return o;
}

TEST(Certify, CatalogueHasUniqueIdsEachWithItsSection) {
  std::set<std::string> ids;
  for (const Property& p : catalogue()) {
    EXPECT_TRUE(ids.insert(p.id).second) << p.id;
    EXPECT_FALSE(p.section.empty()) << p.id;
    EXPECT_FALSE(p.statement.empty()) << p.id;
  }
}

TEST(Certify, TheCpuKernelsPassEveryProperty) {
  const Report report = certify(kernels::make_cpu_device(), options(100));
  for (const Verdict& v : report.verdicts) EXPECT_EQ(v.status, Status::pass) << show(v);
}

TEST(Certify, TheUnmutatedScalarKernelPassesWhatItClaims) {
  const Report report = certify(kernels::mutants::make_unmutated(), options(100));
  for (const Verdict& v : report.verdicts)
    EXPECT_TRUE(v.status == Status::pass || v.status == Status::not_supported) << show(v);
  EXPECT_GT(report.count(Status::pass), 0);
}

TEST(Certify, AFailureShrinksAndItsTokenReplaysExactly) {
  const auto mutant = in_process(kernels::mutants::make_mutant("ties_away"));
  CertifyOptions o = options(100, "quantize.mxfp4-floor.ties_to_even");
  const Verdict failed = run_certification(*mutant, o).verdicts.at(0);
  ASSERT_EQ(failed.status, Status::fail);
  ASSERT_TRUE(failed.counterexample);
  EXPECT_GT(failed.counterexample->shrink_steps, 0);
  o.token = failed.counterexample->token;
  const Verdict again = run_certification(*mutant, o).verdicts.at(0);
  ASSERT_EQ(again.status, Status::fail);
  EXPECT_EQ(again.counterexample->token, failed.counterexample->token);
  EXPECT_EQ(again.counterexample->mismatch.where, failed.counterexample->mismatch.where);
  EXPECT_EQ(again.counterexample->mismatch.observed, failed.counterexample->mismatch.observed);
  for (std::size_t i = 0; i < again.counterexample->operands.size(); ++i)
    EXPECT_EQ(again.counterexample->operands[i].text, failed.counterexample->operands[i].text);
  // The same case on the right kernel passes: the token names operands, not a failure.
  EXPECT_EQ(certify(kernels::mutants::make_unmutated(), o).verdicts.at(0).status, Status::pass);
}

TEST(Certify, EqualRunsGiveEqualReports) {
  const auto mutant = in_process(kernels::mutants::make_mutant("truncating_13_bits"));
  const CertifyOptions o = options(60, "gemm.bf16_nvfp4");
  const Report one = run_certification(*mutant, o);
  const Report two = run_certification(*mutant, o);
  EXPECT_EQ(summary(one), summary(two));
  for (std::size_t i = 0; i < one.verdicts.size(); ++i)
    EXPECT_EQ(show(one.verdicts[i]), show(two.verdicts[i]));
}

TEST(Certify, WhatDidNotRunIsNotAPass) {
  for (const Verdict& v : certify(std::make_shared<NoClaims>(), options(2)).verdicts)
    EXPECT_EQ(v.status, Status::not_supported) << v.property;
  for (const Verdict& v : certify(std::make_shared<DeclinesAll>(), options(2)).verdicts)
    EXPECT_EQ(v.status, Status::not_supported) << v.property;
}

TEST(Certify, WrongRequestsAreOneSentence) {
  const auto device = in_process(kernels::make_cpu_device());
  EXPECT_THROW((void)run_certification(*device, options(0)), std::invalid_argument);
  EXPECT_THROW((void)run_certification(*device, options(1, "quantize.no_such_format")),
               std::invalid_argument);
  CertifyOptions o = options(1, "quantize.nvfp4");
  o.token = "1";
  EXPECT_THROW((void)run_certification(*device, o), std::invalid_argument);
  o.property = "quantize.nvfp4.ties_to_even";
  o.token = "1/99999999";
  EXPECT_THROW((void)run_certification(*device, o), std::invalid_argument);
}

}  // namespace
}  // namespace assay::proptests
