// SPDX-License-Identifier: Apache-2.0
// Profiles are promises: their lists exist, are about something, and do not change.
#include "proptests/profiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "kernels/cpu/cpu_device.h"
#include "proptests/certify.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

/// A change here is a new version of the profile, not a new hash of this one.
const std::map<std::string_view, std::string> frozen{
    {"gemm-mxfp4-1.0", "26c481086e0652cb"}, {"gemm-nvfp4-1.0", "988e370ac3fe3a3b"},
    {"layout-1.0", "ed7846c6c793eea1"},     {"qat-1.0", "a472db227c4ffb38"},
    {"qat-1.1", "7badaff2c956b60d"},        {"quantize-1.0", "72d08e34d31c0d69"},
    {"w4a16-1.0", "795b10595810cdc5"},      {"w4a16-1.1", "2f6223cec6de6e36"},
    {"w4a8-1.0", "d5d7fb1b5f08c0cf"},       {"gemm-nvfp4-1.1", "258b2c787cde105d"},
    {"gemm-mxfp4-1.1", "e2217b6483632519"}, {"w4a16-1.2", "8efac41b1e2b4141"},
    {"quantize-1.1", "e737aa0b5be6ce07"},   {"quantize-1.2", "c02ae1d74a081ff2"}};

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

TEST(Profiles, MisspelledPropertiesSuggestTheNearest) {
  for (const auto& [wrong, right] :
       {std::pair{"gemm.nvfp4_nvfp4.epilog", "'gemm.nvfp4_nvfp4.epilogue'"},
        std::pair{"quantise.nvfp4", "'quantize.nvfp4'"}}) {
    Selection selection;
    selection.property = wrong;
    try {
      (void)select(selection);
      FAIL() << wrong;
    } catch (const std::invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find(right), std::string::npos) << e.what();
    }
  }
}

TEST(Profiles, UnknownNamesSuggestTheNearest) {
  EXPECT_EQ(find_profile("qat-1.0").name, "qat-1.0");
  try {
    (void)find_profile("gemm-nvfp-1.0");
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'gemm-nvfp4-1.0'"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace assay::proptests
