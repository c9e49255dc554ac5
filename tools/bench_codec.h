// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench codec`: the array codec and the block quantizers beside the CUDA headers' host
// functions and memcpy, on the same data in one run. The bits are compared inside the benchmark.

#include <cstdint>
#include <string>

namespace assay::tools {

struct BenchCodecOptions {
  std::int64_t elements = std::int64_t{1} << 24;  ///< N(0, 2) deviates; rounded up to rows of 4096
  int repeats = 5;                                ///< medians are of that many runs after a warm-up
  int threads = 2;                                ///< of the second column
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the table
};

/// Prints the table. Returns 0, or 1 where the codec and a baseline differ in any bit. Throws
/// std::invalid_argument for options out of range or a file that cannot be written.
int bench_codec(const BenchCodecOptions& options);

}  // namespace assay::tools
