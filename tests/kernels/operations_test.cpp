// SPDX-License-Identifier: Apache-2.0
// The operations behind the C call: their claims, and what they decline. Certification holds their
// answers.
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "kernels/abi/claim.h"
#include "kernels/cpu/cpu_device.h"

namespace assay::kernels {
namespace {

TEST(Operations, EveryEntryOfTheCpuDeviceCrossesTheInterfaceAndHasItsOwnName) {
  std::set<std::string> names;
  for (const Claim& claim : make_cpu_device()->claims()) {
    EXPECT_TRUE(names.insert(name_of(claim)).second) << name_of(claim);
    const Claim back = abi::from_abi(abi::to_abi(claim));
    EXPECT_EQ(name_of(back), name_of(claim));
    EXPECT_EQ(back.operation, claim.operation);
    EXPECT_EQ(back.a, claim.a);
    EXPECT_EQ(back.b, claim.b);
    EXPECT_EQ(back.code, claim.code);
    EXPECT_EQ(back.output, claim.output);
    EXPECT_EQ(back.rounding, claim.rounding);
    EXPECT_EQ(back.profile, claim.profile);
    EXPECT_EQ(back.flags, claim.flags);
  }
}

TEST(Operations, ConvertsRowByRowWhateverTheStrides) {
  const auto device = make_cpu_device();
  Claim claim;
  for (const Claim& own : device->claims())
    if (own.operation == "convert" && own.code == &formats::e2m1 && own.output == &formats::fp32 &&
        claim.operation.empty())
      claim = own;
  ASSERT_EQ(claim.rounding, formats::RoundingMode::nearest_even);
  // Two rows of three numbers, a number of padding between them; codes likewise.
  std::array<float, 7> x{0.25F, 0.75F, -6.0F, 99.0F, 5.0F, -0.0F, 1.0F};
  std::array<std::uint8_t, 6> q{};
  q.fill(0xEE);
  assay_dut_tensor in{};
  in.data = x.data();
  in.role = ASSAY_DUT_X;
  in.type_code = ASSAY_DUT_FLOAT;
  in.type_bits = 32;
  in.ndim = 2;
  in.shape[0] = 2;
  in.shape[1] = 3;
  in.strides[0] = 4;
  in.strides[1] = 1;
  assay_dut_tensor out = in;
  out.data = q.data();
  out.role = ASSAY_DUT_Q;
  out.type_code = ASSAY_DUT_FLOAT4_E2M1FN;
  out.type_bits = 4;
  out.strides[0] = 6;
  assay_dut_call call{};
  call.operation = ASSAY_DUT_CONVERT;
  call.n_in = call.n_out = 1;
  call.in = &in;
  call.out = &out;
  ASSERT_EQ(device->run(claim, call), Status::ok);
  EXPECT_EQ(q, (std::array<std::uint8_t, 6>{0x20, 0x0F, 0xEE, 0x86, 0x02, 0xEE}));
  in.strides[1] = 2;
  EXPECT_EQ(device->run(claim, call), Status::not_supported);
}

}  // namespace
}  // namespace assay::kernels
