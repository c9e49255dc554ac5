// SPDX-License-Identifier: Apache-2.0
// A process of its own changes where a kernel runs and nothing else: same reports, same
// counterexamples. And the plugin to copy is right.
#include "proptests/devices/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "kernels/abi/plugin.h"
#include "kernels/open_device.h"
#include "proptests/certify.h"
#include "proptests/devices/child.h"

namespace assay::proptests {
namespace {

std::unique_ptr<Device> here(const std::string& target) {
  std::string reason;
  return in_process(kernels::open_device(target, reason));
}
std::unique_ptr<Device> apart(const std::string& target) {
  return in_own_process({ASSAY_RUNNER, target});
}
Report certified(Device& device, std::int64_t cases, const std::string& property = "") {
  CertifyOptions options;
  options.cases = cases;
  options.property = property;
  return run_certification(device, options);
}

TEST(Process, TheCpuKernelsGiveTheSameReport) {
  const auto one = here("cpu"), two = apart("cpu");
  EXPECT_EQ(one->name(), two->name());
  ASSERT_EQ(one->claims().size(), two->claims().size());
  for (std::size_t i = 0; i < one->claims().size(); ++i)
    EXPECT_EQ(name_of(one->claims()[i]), name_of(two->claims()[i]));
  EXPECT_EQ(summary(certified(*one, 8)), summary(certified(*two, 8)));
}

TEST(Process, AWrongKernelGivesTheSameCounterexample) {
  for (const auto& [mutant, property] :
       {std::pair{"mutants.ties_away", "quantize.mxfp4-floor"},
        std::pair{"mutants.truncating_13_bits", "gemm.bf16_nvfp4"}}) {
    const auto one = here(mutant), two = apart(mutant);
    const Report in_one = certified(*one, 60, property), in_two = certified(*two, 60, property);
    EXPECT_GT(in_one.count(Status::fail), 0) << mutant;
    ASSERT_EQ(in_one.verdicts.size(), in_two.verdicts.size());
    for (std::size_t i = 0; i < in_one.verdicts.size(); ++i)
      EXPECT_EQ(show(in_one.verdicts[i]), show(in_two.verdicts[i]));
  }
}

TEST(Process, TheTemplateIsRight) {
  const auto one = in_process(kernels::abi::open_plugin(ASSAY_TEMPLATE));
  const auto two = apart(ASSAY_TEMPLATE);
  for (Device* device : {one.get(), two.get()}) {
    EXPECT_EQ(device->name(), "template");
    const Report report = certified(*device, 100);
    std::int64_t quantizer = 0, gemm = 0;
    for (const Verdict& verdict : report.verdicts) {
      EXPECT_TRUE(verdict.status == Status::pass || verdict.status == Status::not_supported ||
                  verdict.status == Status::skipped)
          << show(verdict);
      if (verdict.status != Status::pass) continue;
      quantizer += verdict.property.starts_with("quantize.mxfp4-floor.") ? 1 : 0;
      gemm += verdict.property.starts_with("gemm.") ? 1 : 0;
    }
    EXPECT_GE(quantizer, 8);
    EXPECT_GE(gemm, 4);
  }
}

TEST(Process, WhatDoesNotStartIsOneSentence) {
  const auto why = [](const std::vector<std::string>& command, int limit = 60'000) {
    try {
      ProcessOptions options;
      options.start_limit = std::chrono::milliseconds(limit);
      (void)in_own_process(command, options);
      return std::string("it started");
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_NE(why({"/no/such/program"}).find("cannot run /no/such/program: No such file"),
            std::string::npos);
  EXPECT_NE(why({"/bin/sh", "-c", "echo out of tape; exit 9"})
                .find("exit status 9; it printed: out of tape"),
            std::string::npos);
  EXPECT_NE(why({"/bin/sh", "-c", "sleep 60"}, 100).find("did not start within 100 ms"),
            std::string::npos);
  EXPECT_NE(why({ASSAY_RUNNER, "gpu"}).find("unknown device 'gpu'"), std::string::npos);
  EXPECT_NE(why({ASSAY_RUNNER, "./no_such.so"}).find("is not a file"), std::string::npos);
}

TEST(Process, TheDeviceInheritsNoDescriptors) {
  // It lists what it has; the last one is the folder that it lists.
  const Descriptor ours(::open("/dev/null", O_RDONLY));
  ASSERT_GE(ours.get(), 0);
  try {
    (void)in_own_process({"/bin/ls", "-x", "-w", "200", "/proc/self/fd"});
    FAIL();
  } catch (const std::runtime_error& e) {
    const std::string text = e.what();
    EXPECT_TRUE(text.ends_with("it printed: 0  1  2  3  4  5")) << text;
  }
}

/// One small call, again and again: what a transport costs.
double calls_per_second(Device& device) {
  const std::vector<std::uint8_t> codes(64, 0x21), scales(4, 127);
  Call call;
  for (const kernels::Claim& claim : device.claims())
    if (claim.operation == "dequantize" && claim.a == &formats::mxfp4_floor) call.claim = claim;
  call.m = 4;
  call.k = 32;
  call.in = {operand(ASSAY_DUT_Q, ASSAY_DUT_VALUES, formats::e2m1, {4, 32}, codes),
             operand(ASSAY_DUT_Q, ASSAY_DUT_SCALES, formats::e8m0, {4, 1}, scales)};
  call.out = {operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {4, 32})};
  const std::vector<Call> calls(256, call);
  (void)device.ask(calls);
  constexpr int lists = 20;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < lists; ++i)
    for (const Trial& trial : device.ask(calls)) EXPECT_EQ(trial.second.outcome, Outcome::answered);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  return 2.0 * lists * static_cast<double>(calls.size()) / spent.count();
}

TEST(Process, CallsPerSecond) {
  ProcessOptions without_guards;
  without_guards.guard_pages = false;
  std::cout << "in process: " << calls_per_second(*here("cpu"))
            << "\nin its own process, with guard pages: " << calls_per_second(*apart("cpu"))
            << "\nin its own process, without: "
            << calls_per_second(*in_own_process({ASSAY_RUNNER, "cpu"}, without_guards)) << "\n";
}

}  // namespace
}  // namespace assay::proptests
