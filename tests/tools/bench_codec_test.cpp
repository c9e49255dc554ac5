// SPDX-License-Identifier: Apache-2.0
// The benchmark compares bits before it reports rates: on a small array, all of them must be equal.
#include "tools/bench_codec.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace assay::tools {
namespace {

TEST(BenchCodec, BitsAreEqualToTheBaselines) {
  testing::internal::CaptureStdout();
  BenchCodecOptions options;
  options.elements = 10000;
  options.repeats = 1;
  const int result = bench_codec(options);
  const std::string table = testing::internal::GetCapturedStdout();
  EXPECT_EQ(result, 0) << table;
  EXPECT_NE(table.find("NVFP4 true division"), std::string::npos);
  EXPECT_EQ(table.find("DIFFER"), std::string::npos) << table;
}

TEST(BenchCodec, RejectsNonsense) {
  BenchCodecOptions options;
  options.repeats = 0;
  EXPECT_THROW(bench_codec(options), std::invalid_argument);
}

}  // namespace
}  // namespace assay::tools
