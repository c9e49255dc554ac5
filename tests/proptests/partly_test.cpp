// SPDX-License-Identifier: Apache-2.0
// Answers that are right in some places and wrong in one way in the others.
#include "proptests/diagnosis/partly.h"

#include <gtest/gtest.h>

#include "formats/presets.h"
#include "golden/layout.h"
#include "golden/quantize.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

std::vector<RationalValue> numbers(std::initializer_list<int> values) {
  std::vector<RationalValue> out;
  for (const int v : values) out.push_back(RationalValue::finite(v));
  return out;
}

TEST(Partly, EachNumberIsRightOrWrongInOneWay) {
  const std::vector<RationalValue> right = numbers({1, 2, 3, 4});
  const std::vector<RationalValue> wrong = numbers({1, -2, -3, -4});
  const std::vector<golden::Bound> exact(4);
  const std::vector<float> in_the_second = {1, -2, 3, 4};
  const auto spread = spread_of(formats::fp32, in_the_second, {wrong, exact}, {right, exact});
  ASSERT_TRUE(spread);
  EXPECT_EQ(spread->possible, 3);
  EXPECT_EQ(spread->shown, 1);
  const std::vector<float> neither = {1, -2, 3, 5};
  EXPECT_FALSE(spread_of(formats::fp32, neither, {wrong, exact}, {right, exact}));
  const std::vector<float> shorter = {1, -2, 3};
  EXPECT_FALSE(spread_of(formats::fp32, shorter, {wrong, exact}, {right, exact}));
}

TEST(Partly, AScaleFactorComesWithTheElementsOfItsBlock) {
  std::vector<float> x(2 * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 6.0F;
  const auto right = golden::quantize(x, 2, 64, formats::mxfp4_rceil);
  for (float& v : x) v *= 4.0F;
  const auto larger = golden::quantize(x, 2, 64, formats::mxfp4_rceil);
  // Codes that differ too, so that a scale factor alone is neither.
  auto wrong = larger;
  golden::store_code(wrong, 1, 32, golden::load_code(wrong, 1, 32) ^ 1U);
  auto observed = right;
  golden::store_scale(observed, 1, 1, golden::load_scale(wrong, 1, 1));
  EXPECT_FALSE(spread_of(observed, wrong, right));
  for (std::int64_t c = 32; c < 64; ++c)
    golden::store_code(observed, 1, c, golden::load_code(wrong, 1, c));
  const auto spread = spread_of(observed, wrong, right);
  ASSERT_TRUE(spread);
  EXPECT_EQ(spread->possible, 2 * 64);
  EXPECT_EQ(spread->shown, 32);
  // An error that lays scale factors out otherwise leaves fewer of them: another array, not a
  // mixture.
  wrong.scales.resize(2);
  EXPECT_FALSE(spread_of(observed, wrong, right));
}

}  // namespace
}  // namespace assay::proptests::diagnosis
