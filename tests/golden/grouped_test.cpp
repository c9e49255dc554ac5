// SPDX-License-Identifier: Apache-2.0
// Grouped GEMMs against the plain ones that they consist of.
#include "golden/grouped.h"

#include <gtest/gtest.h>

#include <random>

#include "golden/quantize.h"

namespace assay::golden {
namespace {

using Groups = std::vector<std::int64_t>;

FactoredMatrix random_matrix(std::int64_t rows, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * 32);
  for (float& v : x) v = normal(random);
  return factor(quantize(x, rows, 32, formats::nvfp4));
}

TEST(GoldenGrouped, ContiguousRowsBelongToTheirGroup) {
  const Groups ragged{1, 3, 3, 6};
  EXPECT_EQ(contiguous_groups(ragged, 7), (Groups{no_group, 0, 0, 2, 2, 2, no_group}));
  EXPECT_EQ(contiguous_groups(Groups{0}, 2), (Groups{no_group, no_group}));
  for (const Groups& bad : {Groups{}, Groups{0, 3, 2}, Groups{-1, 2}, Groups{0, 8}}) {
    EXPECT_THROW((void)contiguous_groups(bad, 7), std::invalid_argument);
  }
}

TEST(GoldenGrouped, MaskedRowsBeyondTheCountHaveNone) {
  EXPECT_EQ(masked_groups(Groups{2, 0, 3}, 3),
            (Groups{0, 0, no_group, no_group, no_group, no_group, 2, 2, 2}));
  EXPECT_TRUE(masked_groups(Groups{}, 3).empty());
  EXPECT_THROW((void)masked_groups(Groups{4}, 3), std::invalid_argument);
  EXPECT_THROW((void)masked_groups(Groups{-1}, 3), std::invalid_argument);
}

TEST(GoldenGrouped, EveryRowIsThePlainGemmWithItsB) {
  const FactoredMatrix a = random_matrix(6, 1);
  const std::vector<FactoredMatrix> b{random_matrix(5, 2), random_matrix(5, 3),
                                      random_matrix(5, 4)};
  const Groups groups = contiguous_groups(Groups{0, 2, 2, 5}, 6);
  const float alpha = 0.3F;
  const GroupedOracle result = grouped_gemm_oracle(a, b, groups, alpha, {});
  ASSERT_EQ(result.oracle.reference.size(), 30U);
  EXPECT_EQ(result.written, (std::vector<bool>{true, true, true, true, true, false}));
  int different = 0;
  for (std::size_t g = 0; g < b.size(); ++g) {
    const GemmOracle plain = gemm_oracle(a, b[g], {alpha, 0.0F, {}, {}}, {});
    for (std::size_t i = 0; i < 30; ++i) {
      if (groups[i / 5] != static_cast<std::int64_t>(g)) {
        different += plain.reference[i] == result.oracle.reference[i] ? 0 : 1;
        continue;
      }
      EXPECT_TRUE(plain.reference[i] == result.oracle.reference[i]) << i;
      EXPECT_TRUE(plain.bounds[i].error == result.oracle.bounds[i].error) << i;
      EXPECT_TRUE(result.oracle.bounds[i].error > 0) << i;
    }
  }
  EXPECT_GT(different, 50) << "the B matrices must tell the groups apart";
}

TEST(GoldenGrouped, WrongShapesAreErrors) {
  const FactoredMatrix a = random_matrix(2, 1);
  const std::vector<FactoredMatrix> b{random_matrix(5, 2), random_matrix(4, 3)};
  EXPECT_THROW((void)grouped_gemm_oracle(a, b, Groups{0, 1}, 1, {}), std::invalid_argument);
  const std::span<const FactoredMatrix> one = std::span(b).first(1);
  EXPECT_THROW((void)grouped_gemm_oracle(a, one, Groups{0, 1}, 1, {}), std::invalid_argument);
  EXPECT_THROW((void)grouped_gemm_oracle(a, one, Groups{0}, 1, {}), std::invalid_argument);
  EXPECT_THROW((void)grouped_gemm_oracle(a, {}, Groups{0, 0}, 1, {}), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden
