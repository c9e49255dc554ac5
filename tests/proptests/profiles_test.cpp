// SPDX-License-Identifier: Apache-2.0
// Profiles are promises: their lists exist, are about something, and do not change.
#include "proptests/profiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "kernels/cpu/cpu_device.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

/// A change here is a new version of the profile, not a new hash of this one.
const std::map<std::string_view, std::string> frozen{
    {"gemm-mxfp4-1.0", "4a26897ab038fdf6"}, {"gemm-nvfp4-1.0", "23d615ba783731f6"},
    {"layout-1.0", "79f5f63352b01c18"},     {"qat-1.0", "889066f5a4e588ab"},
    {"quantize-1.0", "0eaa8297a30eaaf0"},   {"w4a16-1.0", "caa6e1fc9b809a27"},
    {"w4a8-1.0", "0ffb39379813e55c"}};

TEST(Profiles, AreFrozen) {
  EXPECT_EQ(all_profiles().size(), frozen.size());
  for (const Profile& profile : all_profiles()) {
    ASSERT_TRUE(frozen.contains(profile.name)) << profile.name;
    EXPECT_EQ(hash_of(profile), frozen.at(profile.name)) << profile.name;
  }
}

TEST(Profiles, EveryIdIsAPropertyAboutAClaimOfTheProfile) {
  std::map<std::string, Property> properties;
  for (Property& p : catalogue()) properties.emplace(p.id, p);
  const std::vector<kernels::Claim> claims = kernels::make_cpu_device()->claims();
  for (const Profile& profile : all_profiles()) {
    std::set<std::string_view> seen;
    EXPECT_FALSE(profile.ids.empty()) << profile.name;
    for (const std::string_view id : profile.ids) {
      EXPECT_TRUE(seen.insert(id).second) << profile.name << " lists " << id << " twice";
      const auto found = properties.find(std::string(id));
      ASSERT_NE(found, properties.end()) << profile.name << ": " << id;
      ASSERT_TRUE(found->second.applies) << id << " is about no device";
      EXPECT_TRUE(std::any_of(
          claims.begin(), claims.end(),
          [&](const kernels::Claim& c) { return profile.about(c) && found->second.applies(c); }))
          << profile.name << ": " << id << " is about no claim of the profile";
    }
  }
}

TEST(Profiles, UnknownNamesSuggestTheNearest) {
  EXPECT_EQ(find_profile("qat-1.0").name, "qat-1.0");
  try {
    (void)find_profile("gemm-nvfp4-1.1");
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'gemm-nvfp4-1.0'"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace assay::proptests
