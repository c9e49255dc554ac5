// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench golden`: the exact GEMM beside Eigen's float GEMM on the dequantized operands, from
// packed codes to rounded outputs, B packed ahead and the packing of A counted. Bits are held
// against the definitional golden GEMM inside: all of a small shape, a sample of each large one.

#include <cstdint>
#include <string>

namespace assay::tools {

struct BenchGoldenOptions {
  std::string shape;  ///< "MxNxK"; empty: several
  int repeats = 5;    ///< medians are of that many runs after a warm-up
  int threads = 1;    ///< of the exact GEMM; Eigen's has one
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the table
};

/// Prints the table. Returns 0, or 1 where any bit differs. Throws std::invalid_argument for
/// options out of range or a file that cannot be written.
int bench_golden(const BenchGoldenOptions& options);

}  // namespace assay::tools
