// SPDX-License-Identifier: Apache-2.0
#include "tools/exit_code.h"

#include <gtest/gtest.h>

#include <set>

namespace assay::tools {
namespace {

TEST(ExitCode, TheTableIsTheAgreedOne) {
  std::set<int> values;
  for (const ExitCodeRow& row : exit_codes) {
    values.insert(static_cast<int>(row.code));
    EXPECT_FALSE(row.meaning.empty());
  }
  EXPECT_EQ(values, (std::set<int>{0, 1, 2, 3, 4, 5, 6, 77}));
}

TEST(ExitCode, PrecedenceOfMixedOutcomes) {
  // 3 > 6 > 1 > 5 > 77 > 0, in every order of arrival.
  const int order[] = {3, 6, 1, 5, 77, 0};
  for (std::size_t i = 0; i < std::size(order); ++i)
    for (std::size_t j = i; j < std::size(order); ++j) {
      EXPECT_EQ(static_cast<int>(combine(ExitCode{order[i]}, ExitCode{order[j]})), order[i]);
      EXPECT_EQ(static_cast<int>(combine(ExitCode{order[j]}, ExitCode{order[i]})), order[i]);
    }
}

}  // namespace
}  // namespace assay::tools
