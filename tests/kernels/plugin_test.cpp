// SPDX-License-Identifier: Apache-2.0
// What keeps a plugin from being called is one sentence that names the file and the fix; what does
// not is called as the interface says.
#include "kernels/abi/plugin.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "kernels/abi/claim.h"
#include "kernels/open_device.h"

namespace assay::kernels::abi {
namespace {

std::string path_of(const std::string& plugin) {
  return std::string(ASSAY_PLUGINS) + "/libplugin_" + plugin + ".so";
}

struct Refused {
  const char* plugin;
  const char* why;
};
class Refusals : public testing::TestWithParam<Refused> {};

TEST_P(Refusals, AreOneSentence) {
  const std::string path = path_of(GetParam().plugin);
  try {
    (void)open_plugin(path);
    FAIL() << path << " was opened";
  } catch (const std::invalid_argument& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find(path), std::string::npos) << text;
    EXPECT_NE(text.find(GetParam().why), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Refusals,
                         testing::Values(Refused{"absent", "is not a file"},
                                         Refused{"NULL_API", "returned NULL"},
                                         Refused{"NEWER", "answers in version 2"},
                                         Refused{"SHORT_API", "of 8 bytes"},
                                         Refused{"NO_RUN", "has no function describe or run"},
                                         Refused{"NO_ENTRIES", "has 0 entries"},
                                         Refused{"SAME_NAMES", "two entries called 'entry0'"},
                                         Refused{"UNKNOWN_FORMAT", "unknown block format 'nvfp5'"},
                                         Refused{"CLEARED_CLAIM", "entry 'entry0'"},
                                         Refused{"DESCRIBE_FAILS", "describe returned 7"},
                                         Refused{"NO_ALLOCATE", "without allocate"},
                                         Refused{"GRAPH_WITHOUT_DEVICE", "ASSAY_DUT_GRAPH"}),
                         [](const auto& info) { return std::string(info.param.plugin); });

TEST(Plugin, AnObjectWithoutTheFunctionIsRefused) {
  EXPECT_THROW((void)open_plugin(ASSAY_NO_PLUGIN), std::invalid_argument);
  EXPECT_THROW((void)open_plugin("/proc/self/exe"), std::invalid_argument);
  std::string reason;
  EXPECT_THROW((void)open_device("mutant.none", reason), std::invalid_argument);
  EXPECT_EQ(open_device("mutants.none", reason)->name(), "mutants.none");
}

/// Runs an entry on one input of 3 bytes; the output's 6 bytes.
struct Result {
  Status status;
  std::vector<std::uint8_t> input, output;
};
Result run(const DeviceUnderTest& device, const Claim& claim) {
  Result result{Status::failed, {1, 2, 3}, std::vector<std::uint8_t>(6, 0xEE)};
  assay_dut_tensor in{}, out{};
  in.data = result.input.data();
  in.bytes = result.input.size();
  out.data = result.output.data();
  out.bytes = result.output.size();
  assay_dut_call call{};
  call.n_in = call.n_out = 1;
  call.in = &in;
  call.out = &out;
  result.status = device.run(claim, call);
  return result;
}

TEST(Plugin, EveryTacticIsAClaimOfItsOwn) {
  const auto device = open_plugin(path_of("TACTICS"));
  const std::vector<Claim> claims = device->claims();
  ASSERT_EQ(claims.size(), 4U);
  const std::vector<std::vector<int>> expected{{0, 0}, {0, 1}, {0, 2}, {1, 0}};
  for (std::size_t i = 0; i < claims.size(); ++i) {
    EXPECT_EQ(claims[i].entry, expected[i][0]);
    EXPECT_EQ(claims[i].tactic, expected[i][1]);
    EXPECT_EQ(numbered_claims(*device)[i].entry, expected[i][0]);
    const Result result = run(*device, claims[i]);
    EXPECT_EQ(result.status, Status::ok);
    EXPECT_EQ(result.output[0], 16 * expected[i][0] + expected[i][1]);
  }
  EXPECT_EQ(name_of(claims[3]), "entry1");
  EXPECT_EQ(device->name(), "libplugin_TACTICS.so");
}

TEST(Plugin, FieldsThatAnOlderStructLacksAreAbsent) {
  const auto device = open_plugin(path_of("OLDER"));
  EXPECT_EQ(run(*device, device->claims()[0]).status, Status::ok);
  EXPECT_EQ(device->last_error(), "");
}

TEST(Plugin, MemoryOfADeviceIsCopiedThereAndBack) {
  const auto device = open_plugin(path_of("DEVICE"));
  const std::vector<Claim> claims = device->claims();
  const Result right = run(*device, claims[0]);
  EXPECT_EQ(right.status, Status::ok);
  EXPECT_EQ(right.output, (std::vector<std::uint8_t>{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(run(*device, claims[1]).status, Status::failed);
  EXPECT_NE(device->last_error().find("wrote outside a tensor of 6 bytes"), std::string::npos);
}

TEST(Plugin, AGraphIsReplayedAndCompared) {
  const auto device = open_plugin(path_of("DEVICE"));
  const std::vector<Claim> claims = device->claims();
  const Result right = run(*device, claims[2]);
  EXPECT_EQ(right.status, Status::ok) << device->last_error();
  EXPECT_EQ(right.output, (std::vector<std::uint8_t>{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(run(*device, claims[3]).status, Status::failed);
  EXPECT_EQ(device->last_error(), "the captured graph gives other bits than the launch");
}

}  // namespace
}  // namespace assay::kernels::abi
