// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_under_test.h"

namespace assay::kernels {

std::string name_of(const Claim& claim) {
  if (!claim.name.empty()) return claim.name;
  std::string name = claim.operation;
  const auto add = [&name](std::string_view part) { name.append(".").append(part); };
  if (claim.code != nullptr) add(claim.code->name);
  if (claim.a != nullptr) add(claim.a->name);
  if (claim.b != nullptr && claim.a == nullptr && claim.operation.find("gemm") != name.npos)
    add("bf16");
  if (claim.b != nullptr) add(claim.b->name);
  if (claim.output != nullptr && claim.operation.find("gemm") != name.npos) add(claim.output->name);
  if (claim.scale_layout == formats::ScaleLayout::swizzled_128x4) add("swizzled");
  return name;
}

std::vector<Claim> numbered_claims(const DeviceUnderTest& device) {
  std::vector<Claim> claims = device.claims();
  std::int32_t entry = -1;
  for (Claim& claim : claims) {
    if (claim.tactic == 0) ++entry;
    claim.entry = entry;
  }
  return claims;
}

}  // namespace assay::kernels
