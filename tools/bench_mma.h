// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench mma`: multiply-adds per second of the fast models of matrix units, on the CPU or on
// a GPU. The bits are held against the interpreter inside the benchmark.

#include <cstdint>
#include <string>

namespace assay::tools {

struct BenchMmaOptions {
  int repeats = 5;  ///< medians are of that many runs after a warm-up
  int threads = 2;  ///< of the second column
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the table
};

/// The models on a GPU.
struct BenchDeviceMmaOptions {
  int device = 0;
  int repeats = 5;
  int threads = 2;  ///< of the CPU, which computes some rows
  std::int64_t m = 8192, n = 8192, k = 4096;
  std::uint64_t seed = 1;
  std::string json;
};

/// Prints the table. Returns 0, 1 where any bit differs, 77 where there is no GPU. Throws
/// std::invalid_argument for options out of range or a file that cannot be written.
int bench_device_mma(const BenchDeviceMmaOptions& options);

/// Prints the table. Returns 0, or 1 where any bit differs. Throws std::invalid_argument for
/// options out of range or a file that cannot be written.
int bench_mma(const BenchMmaOptions& options);

}  // namespace assay::tools
