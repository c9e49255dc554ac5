// SPDX-License-Identifier: Apache-2.0
// The benchmark compares bits before it reports rates: on a small array, all of them must be equal.
#include "tools/bench_codec.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace assay::tools {
namespace {

TEST(BenchCodec, BitsAreEqualToTheBaselines) {
  testing::internal::CaptureStdout();
  const int result = bench_codec({.elements = 10000, .repeats = 1, .threads = 2});
  const std::string table = testing::internal::GetCapturedStdout();
  EXPECT_EQ(result, 0) << table;
  EXPECT_NE(table.find("NVFP4 true division"), std::string::npos);
  EXPECT_EQ(table.find("DIFFER"), std::string::npos) << table;
}

TEST(BenchCodec, RejectsNonsense) {
  EXPECT_THROW(bench_codec({.repeats = 0}), std::invalid_argument);
}

}  // namespace
}  // namespace assay::tools
