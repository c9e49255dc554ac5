// SPDX-License-Identifier: Apache-2.0
#include "formats/spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "formats/rule_matrix.h"

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

// OCP Microscaling Formats (MX) v1.0, section 5.2: k = 32 and E8M0 scales in every concrete format.
TEST(Spec, MxFormatsHaveBlocksOf32AndE8m0Scales) {
  int count = 0;
  for (const BlockFormat* format : every_block_format) {
    if (!format->name.starts_with("mx")) continue;
    ++count;
    EXPECT_EQ(format->block.rows, 1) << format->name;
    EXPECT_EQ(format->block.cols, 32) << format->name;
    EXPECT_EQ(format->scale, &e8m0) << format->name;
    EXPECT_EQ(format->tensor_scale, TensorScale::none) << format->name;
  }
  EXPECT_GE(count, 20);
}

// NVIDIA's NVFP4: 16 along a row, or 16 x 16 for weights; E4M3 scale factors without a sign.
TEST(Spec, NvFormatsHaveBlocksOf16AndUe4m3Scales) {
  int count = 0;
  for (const BlockFormat* format : every_block_format) {
    if (!format->name.starts_with("nvfp4")) continue;
    ++count;
    const bool square = format->name == "nvfp4-2d" || format->name == "nvfp4-pretraining";
    EXPECT_EQ(format->block.rows, square ? 16 : 1) << format->name;
    EXPECT_EQ(format->block.cols, 16) << format->name;
    EXPECT_EQ(format->scale, &ue4m3) << format->name;
    EXPECT_EQ(format->element, &e2m1) << format->name;
  }
  EXPECT_GE(count, 15);
}

}  // namespace
}  // namespace assay::formats
