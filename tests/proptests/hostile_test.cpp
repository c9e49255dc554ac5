// SPDX-License-Identifier: Apache-2.0
// Devices that crash, hang, write where they must not, or cheat: each ends with the right status,
// and the run goes on.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <thread>

#include "kernels/abi/plugin.h"
#include "proptests/certify.h"
#include "proptests/devices/process.h"

namespace assay::proptests {
namespace {

using std::chrono::milliseconds;

/// For calls that never end; the others may wait on a busy machine as long as it takes.
ProcessOptions impatient() {
  ProcessOptions options;
  options.call_limit = milliseconds(300);
  return options;
}
std::unique_ptr<Device> hostile(const ProcessOptions& options = {}) {
  return in_own_process({ASSAY_RUNNER, ASSAY_HOSTILE}, options);
}

/// One entry of a device, which is asked about nothing else.
class OneEntry final : public Device {
 public:
  OneEntry(Device& device, std::string entry) : device_(device), entry_(std::move(entry)) {}
  [[nodiscard]] std::string name() const override { return device_.name(); }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override {
    std::vector<kernels::Claim> claims = device_.claims();
    std::erase_if(claims, [&](const kernels::Claim& c) { return c.name != entry_; });
    return claims;
  }
  std::vector<Trial> ask(std::span<const Call> calls) override { return device_.ask(calls); }

 private:
  Device& device_;
  std::string entry_;
};

/// Random MXFP4 codes to dequantize, with scales whose products are exact.
class Dequantize {
 public:
  Dequantize(std::int64_t rows, std::int64_t cols) {
    tensor_.format = &formats::mxfp4_floor;
    tensor_.rows = rows;
    tensor_.cols = cols;
    tensor_.codes.resize(static_cast<std::size_t>(rows * ((cols + 1) / 2)));
    tensor_.scales.resize(static_cast<std::size_t>(rows * ((cols + 31) / 32)));
    std::uint32_t state = 12345;
    for (std::vector<std::uint8_t>* bytes : {&tensor_.codes, &tensor_.scales})
      for (std::uint8_t& byte : *bytes)
        byte = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24U);
    for (std::uint8_t& scale : tensor_.scales) scale = static_cast<std::uint8_t>(100 + scale % 50);
  }
  [[nodiscard]] Call call(const Device& device, std::string_view entry) const {
    Call call;
    for (const kernels::Claim& claim : device.claims())
      if (claim.name == entry) call.claim = claim;
    EXPECT_EQ(call.claim.name, entry);
    call.m = tensor_.rows;
    call.k = tensor_.cols;
    call.in = {operand(ASSAY_DUT_Q, ASSAY_DUT_VALUES, formats::e2m1, {tensor_.rows, tensor_.cols},
                       tensor_.codes),
               operand(ASSAY_DUT_Q, ASSAY_DUT_SCALES, formats::e8m0,
                       {tensor_.rows, (tensor_.cols + 31) / 32}, tensor_.scales)};
    call.out.push_back(
        operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {tensor_.rows, tensor_.cols}));
    return call;
  }
  [[nodiscard]] std::vector<float> expected() const {
    constexpr float values[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    std::vector<float> x;
    for (std::int64_t i = 0; i < tensor_.rows; ++i)
      for (std::int64_t j = 0; j < tensor_.cols; ++j) {
        const int code = tensor_.codes[i * ((tensor_.cols + 1) / 2) + j / 2] >> (j % 2 * 4);
        const int scale = tensor_.scales[i * ((tensor_.cols + 31) / 32) + j / 32] - 127;
        x.push_back(std::ldexp((code & 8) != 0 ? -values[code & 7] : values[code & 7], scale));
      }
    return x;
  }
  [[nodiscard]] bool is_expected(const Answer& answer) const {
    const std::vector<float> x = expected();
    return answer.outcome == Outcome::answered && !answer.inputs_changed &&
           answer.overrun.empty() &&
           std::ranges::equal(answer.outputs.at(0), bytes_of(std::span(x)));
  }

 private:
  formats::BlockScaledTensor tensor_;
};

struct Behaviour {
  const char* entry;
  Status status;
  const char* observed;  ///< part of what the counterexample shows
};
std::string name_of_test(const testing::TestParamInfo<Behaviour>& info) { return info.param.entry; }

class Certified : public testing::TestWithParam<Behaviour> {};

TEST_P(Certified, EndsWithTheRightStatus) {
  const auto device = hostile();
  OneEntry one(*device, GetParam().entry);
  CertifyOptions options;
  options.property = "dequantize.mxfp4-floor";
  options.cases = 6;
  options.shrink_trials = 20;
  const Report report = run_certification(one, options);
  ASSERT_FALSE(report.verdicts.empty());
  int concerned = 0;
  for (const Verdict& verdict : report.verdicts) {
    if (verdict.cases == 0) continue;  // about something that it does not claim
    ++concerned;
    EXPECT_EQ(verdict.status, GetParam().status) << show(verdict);
    const std::string observed =
        verdict.counterexample ? verdict.counterexample->mismatch.observed : "";
    EXPECT_NE(observed.find(GetParam().observed), std::string::npos) << observed;
  }
  EXPECT_GE(concerned, 3);
  // And the device is as good as new.
  const Dequantize operands(3, 40);
  const Call call = operands.call(*device, "is_right");
  EXPECT_TRUE(operands.is_expected(device->ask(std::span(&call, 1)).front().first));
}

INSTANTIATE_TEST_SUITE_P(
    Hostile, Certified,
    testing::Values(Behaviour{"is_right", Status::pass, ""},
                    Behaviour{"segfaults", Status::crash, "SIGSEGV"},
                    Behaviour{"exhausts_its_stack", Status::crash, "SIGSEGV"},
                    Behaviour{"exits", Status::crash, "exit status 3"},
                    Behaviour{"exits_with_success", Status::crash, "exit status 0"},
                    Behaviour{"aborts", Status::crash, "SIGABRT; it printed: an invariant"},
                    Behaviour{"is_killed", Status::crash, "SIGKILL"},
                    Behaviour{"answers_nan", Status::fail, ""},
                    Behaviour{"modifies_inputs", Status::fail, "inputs"},
                    Behaviour{"leaves_one_out", Status::fail, ""},
                    Behaviour{"answers_as_before", Status::fail, ""},
                    Behaviour{"declines", Status::not_supported, ""},
                    Behaviour{"reports_an_error", Status::fail, "misaligned address"},
                    Behaviour{"prints_a_megabyte", Status::pass, ""},
                    Behaviour{"closes_descriptors", Status::crash, ""},
                    Behaviour{"closes_its_output", Status::pass, ""},
                    Behaviour{"forks", Status::pass, ""},
                    Behaviour{"leaves_a_child_spinning", Status::pass, ""},
                    Behaviour{"crashes_beside_its_twin", Status::crash, "SIGABRT"},
                    Behaviour{"peeks", Status::fail, ""}),
    name_of_test);

/// The middle one of three calls misbehaves; its neighbours are answered.
Trial between_right_ones(const char* entry, std::int64_t gap, const ProcessOptions& options) {
  const auto device = hostile(options);
  const Dequantize operands(3, 34);
  std::vector<Call> calls;
  for (const char* name : {"is_right", entry, "is_right"}) {
    calls.push_back(operands.call(*device, name));
    calls.back().row_gap = gap;
    calls.back().pad = 0x7F;
  }
  const std::vector<Trial> trials = device->ask(calls);
  for (const std::size_t i : {0U, 2U}) {
    EXPECT_TRUE(operands.is_expected(trials[i].first)) << trials[i].first.message;
    EXPECT_TRUE(operands.is_expected(trials[i].second)) << trials[i].second.message;
  }
  return trials[1];
}

TEST(Hostile, ASpinningCallIsATimeOutAndItsNeighboursAreAnswered) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(between_right_ones("spins", 0, impatient()).first.outcome, Outcome::timeout);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(300));
}

TEST(Hostile, APropertyOfASpinningDeviceEndsAsATimeOut) {
  ProcessOptions options;
  options.call_limit = milliseconds(50);
  const auto device = hostile(options);
  OneEntry one(*device, "spins");
  CertifyOptions certify;
  certify.property = "dequantize.mxfp4-floor.not_a_number";
  certify.cases = 500;
  for (const Verdict& verdict : run_certification(one, certify).verdicts)
    EXPECT_EQ(verdict.status, Status::timeout) << show(verdict);
}

TEST(Hostile, WhatIsWrittenOutsideAnOutputIsNamed) {
  ProcessOptions without_guards;
  without_guards.guard_pages = false;
  for (const char* entry : {"writes_before", "writes_after"}) {
    const Trial trial = between_right_ones(entry, 0, without_guards);
    EXPECT_EQ(trial.first.outcome, Outcome::answered) << trial.first.message;
    EXPECT_NE(trial.first.overrun.find("output 0"), std::string::npos) << trial.first.overrun;
  }
  // With them, whichever comes first: the page next to the tensor, or the bytes up to it.
  for (const char* entry : {"writes_before", "writes_after"}) {
    const Trial trial = between_right_ones(entry, 0, {});
    const Answer& second = trial.second;
    EXPECT_NE((trial.first.overrun + trial.first.message + second.overrun + second.message)
                  .find("output 0"),
              std::string::npos)
        << trial.first.message << second.message;
  }
  for (const ProcessOptions& options : {ProcessOptions{}, without_guards}) {
    const Trial trial = between_right_ones("writes_between_rows", 6, options);
    EXPECT_NE(trial.first.overrun.find("output 0"), std::string::npos) << trial.first.message;
  }
}

TEST(Hostile, AReadBesideATensorMeetsAGuardPage) {
  const Trial trial = between_right_ones("reads_after", 0, {});
  EXPECT_EQ(trial.first.outcome, Outcome::crash);
  EXPECT_NE(trial.first.message.find("behind the end of input 0"), std::string::npos)
      << trial.first.message;
}

TEST(Hostile, AnErrorThatSticksEndsWithTheCallThatMadeIt) {
  const Trial trial = between_right_ones("breaks_for_good", 0, {});
  EXPECT_EQ(trial.first.outcome, Outcome::failed);
  EXPECT_NE(trial.first.message.find("unspecified launch failure"), std::string::npos);
  // 34 columns break it. The same entry answers the next call with 36, in a new process.
  const auto device = hostile();
  const Dequantize breaks(2, 34), works(2, 36);
  const std::vector<Call> calls{breaks.call(*device, "breaks_for_good"),
                                works.call(*device, "breaks_for_good")};
  const std::vector<Trial> trials = device->ask(calls);
  EXPECT_EQ(trials[0].first.outcome, Outcome::failed);
  EXPECT_TRUE(works.is_expected(trials[1].first)) << trials[1].first.message;
}

TEST(Hostile, AfterThreeBadCallsInARowTheRestOfAListIsNotCalled) {
  const auto device = hostile();
  const Dequantize operands(1, 32);
  const std::vector<Call> calls(40, operands.call(*device, "segfaults"));
  const std::vector<Trial> trials = device->ask(calls);
  ASSERT_EQ(trials.size(), calls.size());
  for (const Trial& trial : trials) EXPECT_EQ(trial.first.outcome, Outcome::crash);
  EXPECT_NE(trials[2].first.message.find("SIGSEGV"), std::string::npos);
  EXPECT_NE(trials[3].first.message.find("not called"), std::string::npos);
}

TEST(Hostile, TheAnswerIsInThisProcessAndNotInTheDevices) {
  const Dequantize operands(8, 64);
  const std::vector<float> expected = operands.expected();  // what a cheat would look for
  const auto here = in_process(kernels::abi::open_plugin(ASSAY_HOSTILE));
  const Call asked_here = operands.call(*here, "peeks");
  EXPECT_TRUE(operands.is_expected(here->ask(std::span(&asked_here, 1)).front().first))
      << "the cheat does not find what is there to be found";
  const auto apart = hostile();
  const Call asked_apart = operands.call(*apart, "peeks");
  const Answer answer = apart->ask(std::span(&asked_apart, 1)).front().first;
  ASSERT_EQ(answer.outcome, Outcome::answered) << answer.message;
  EXPECT_FALSE(operands.is_expected(answer));
  EXPECT_EQ(expected.size(), 8U * 64U);
}

TEST(Hostile, AnExceptionIsAnErrorOfTheCall) {
  for (const bool apart : {false, true}) {
    const auto device = apart ? in_own_process({ASSAY_RUNNER, ASSAY_THROWS}, {})
                              : in_process(kernels::abi::open_plugin(ASSAY_THROWS));
    const Dequantize operands(1, 32);
    const std::vector<Call> calls{operands.call(*device, "throws_an_exception"),
                                  operands.call(*device, "throws_a_number")};
    const std::vector<Trial> trials = device->ask(calls);
    EXPECT_EQ(trials[0].first.outcome, Outcome::failed);
    EXPECT_EQ(trials[0].first.message, "threw an exception: no such tile");
    EXPECT_EQ(trials[1].first.outcome, Outcome::failed);
  }
}

TEST(Hostile, LargeAndEmptyTensorsAreAnswered) {
  const auto device = hostile();
  // The second list is larger than the memory that the first one needed.
  for (const auto& [rows, cols] : {std::pair{1, 1}, std::pair{3000, 4000}, std::pair{2, 3}}) {
    const Dequantize operands(rows, cols);
    const Call call = operands.call(*device, "is_right");
    const Trial trial = device->ask(std::span(&call, 1)).front();
    EXPECT_TRUE(operands.is_expected(trial.first)) << trial.first.message;
    EXPECT_TRUE(operands.is_expected(trial.second)) << trial.second.message;
  }
  for (const auto& [rows, cols] : {std::pair{0, 5}, std::pair{4, 0}}) {
    const Dequantize operands(rows, cols);
    const Call call = operands.call(*device, "is_right");
    const Trial trial = device->ask(std::span(&call, 1)).front();
    EXPECT_TRUE(operands.is_expected(trial.first)) << trial.first.message;
    EXPECT_TRUE(operands.is_expected(trial.second)) << trial.second.message;
  }
}

}  // namespace
}  // namespace assay::proptests
