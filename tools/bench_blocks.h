// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench blocks`: the quantizer of every block format beside a plain loop over the CUDA
// headers' host functions, one thread, on the same data in one run, by
// the processor time of the thread. The bits are compared inside.

#include <cstdint>
#include <string>

namespace assay::tools {

struct BenchBlocksOptions {
  std::int64_t elements = std::int64_t{1} << 22;  ///< N(0, 2) deviates; rounded up to 128 x 4096
  int repeats = 5;                                ///< medians are of that many runs after a warm-up
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the table
};

/// Prints the table: rows of 4096 elements, and rows of 32. Returns 0, or 1 where the codes, scale
/// factors or tensor scale differ in any bit. Throws std::invalid_argument for options out of range
/// or a file that cannot be written.
int bench_blocks(const BenchBlocksOptions& options);

}  // namespace assay::tools
