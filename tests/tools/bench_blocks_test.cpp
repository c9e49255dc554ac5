// SPDX-License-Identifier: Apache-2.0
// The benchmark compares bits before it reports rates: those of every block format must be equal.
#include "tools/bench_blocks.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "formats/rule_matrix.h"
#include "tools/cuda_baseline.h"
#include "tools/cuda_blocks.h"

namespace assay::tools {
namespace {

TEST(BenchBlocks, BitsAreEqualToTheBaselines) {
  testing::internal::CaptureStdout();
  BenchBlocksOptions options;
  options.elements = 1;  // rounded up
  options.repeats = 1;
  const int result = bench_blocks(options);
  const std::string table = testing::internal::GetCapturedStdout();
  EXPECT_EQ(result, 0) << table;
  EXPECT_EQ(table.find("DIFFER"), std::string::npos) << table;
}

TEST(BenchBlocks, EveryFormatHasABaseline) {
  if (cuda_baseline::flags() == nullptr) GTEST_SKIP() << "no CUDA headers";
  for (const formats::BlockFormat* format : formats::every_block_format)
    EXPECT_NE(cuda_baseline::block_loop(format->name.data()), nullptr) << format->name;
}

TEST(BenchBlocks, RejectsNonsense) {
  BenchBlocksOptions options;
  options.repeats = 0;
  EXPECT_THROW(bench_blocks(options), std::invalid_argument);
}

}  // namespace
}  // namespace assay::tools
