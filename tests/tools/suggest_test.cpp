// SPDX-License-Identifier: Apache-2.0
#include "tools/suggest.h"

#include <gtest/gtest.h>

#include <array>

namespace assay::tools {
namespace {

constexpr std::array<std::string_view, 4> known{"certify", "convert", "quantize", "replay"};

TEST(Suggest, DistanceCountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("certify", "cretify"), 1) << "a swap of neighbours is one edit";
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(Suggest, FindsTheNearestAndKeepsQuietOtherwise) {
  EXPECT_EQ(nearest("certfy", known), "certify");
  EXPECT_EQ(nearest("quant", known), "quantize") << "a prefix is near";
  EXPECT_EQ(nearest("zebra", known), "");
}

TEST(Suggest, SentenceNamesTheWordAndTheWayOut) {
  EXPECT_EQ(unknown_name("verb", "repaly", known), "unknown verb 'repaly'; did you mean 'replay'?");
  EXPECT_EQ(unknown_name("verb", "zebra", known),
            "unknown verb 'zebra'; there are certify, convert, quantize, replay");
}

}  // namespace
}  // namespace assay::tools
