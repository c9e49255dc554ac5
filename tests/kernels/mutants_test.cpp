// SPDX-License-Identifier: Apache-2.0
#include "kernels/mutants/mutants.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>

namespace assay::kernels::mutants {
namespace {

TEST(Mutants, RowsHaveUniqueSlugsAndSaySourceAndFault) {
  std::set<std::string_view> ids;
  for (const Mutant& mutant : all_mutants()) {
    EXPECT_TRUE(ids.insert(mutant.id).second) << mutant.id;
    EXPECT_FALSE(mutant.description.empty()) << mutant.id;
    EXPECT_FALSE(mutant.source.empty()) << mutant.id;
    EXPECT_NE(mutant.spoil == nullptr, mutant.make == nullptr) << mutant.id;
    EXPECT_EQ(make_mutant(mutant.id)->name(), "mutants." + std::string(mutant.id));
  }
  EXPECT_GE(ids.size(), 24U);
}

TEST(Mutants, AnUnknownIdIsAnError) {
  EXPECT_THROW(static_cast<void>(make_mutant("no_such_fault")), std::invalid_argument);
}

}  // namespace
}  // namespace assay::kernels::mutants
