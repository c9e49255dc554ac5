// SPDX-License-Identifier: Apache-2.0
#include "formats/spec.h"

#include <gtest/gtest.h>

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

TEST(Spec, EveryProfileHasARowForEveryFormatInOrder) {
  for (const Profile* profile : all_profiles)
    for (std::size_t i = 0; i < all_formats.size(); ++i)
      EXPECT_EQ(profile->rows[i].format, all_formats[i]) << profile->name;
}

}  // namespace
}  // namespace assay::formats
