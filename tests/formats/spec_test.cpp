// SPDX-License-Identifier: Apache-2.0
#include "formats/spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace assay::formats {
namespace {

TEST(Spec, RowsAreConsistent) {
  std::set<std::string_view> names;
  for (const FormatSpec* spec : all_formats) {
    EXPECT_TRUE(names.insert(spec->name).second) << spec->name;
    EXPECT_LE(spec->sign_bits + spec->exponent_bits + spec->mantissa_bits, spec->storage_bits)
        << spec->name;
    EXPECT_FALSE(spec->source.empty()) << spec->name;
  }
}

TEST(Spec, ProfilesHaveOneRowPerFormatThatTheyName) {
  for (const Profile* profile : all_profiles) {
    std::set<const FormatSpec*> named;
    for (const ProfileRow& row : profile->rows) {
      EXPECT_TRUE(named.insert(row.format).second) << profile->name << ' ' << row.format->name;
      EXPECT_NE(std::find(all_formats.begin(), all_formats.end(), row.format), all_formats.end());
    }
    EXPECT_FALSE(named.empty()) << profile->name;
    EXPECT_FALSE(profile->source.empty()) << profile->name;
  }
}

TEST(Spec, TheFourProfilesOfThisProjectAndCudaCoverEveryFormat) {
  for (const Profile* profile : {&saturating, &ieee, &cuda13, &cuda13_nosat})
    EXPECT_EQ(profile->rows.size(), all_formats.size()) << profile->name;
}

}  // namespace
}  // namespace assay::formats
