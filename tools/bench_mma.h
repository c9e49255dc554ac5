// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench mma`: multiply-adds per second of the fast models of matrix units. The bits are held
// against the interpreter inside the benchmark.

#include <cstdint>
#include <string>

namespace assay::tools {

struct BenchMmaOptions {
  int repeats = 5;  ///< medians are of that many runs after a warm-up
  int threads = 2;  ///< of the second column
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the table
};

/// Prints the table. Returns 0, or 1 where any bit differs. Throws std::invalid_argument for
/// options out of range or a file that cannot be written.
int bench_mma(const BenchMmaOptions& options);

}  // namespace assay::tools
