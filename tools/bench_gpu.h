// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench gpu`: the GPU kernels beside the machine's limits and cuBLAS, checked in the same
// run.

#include <cstdint>
#include <string>
#include <vector>

#include "tools/exit_code.h"

namespace assay::tools {

struct BenchGpuOptions {
  int repeats = 5;
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the table
  std::vector<std::string> only = {};  ///< suites of kernels/cuda/bench.h; empty: all
};

/// Prints the table. `absent` without a GPU, `fail` where a result is wrong.
ExitCode bench_gpu(const BenchGpuOptions& options);

struct BitsRow {
  std::string claim;
  std::int64_t cases = 0, compared = 0, different = 0;  ///< compared, different: values
};

/// Quantizers, dequantizers and QAT steps of the CPU device and of the CUDA device on the same
/// random operands: codes, scale codes, tensor scales and FP32 results as bits (a NaN is a NaN).
std::vector<BitsRow> compare_bits(std::uint64_t seed);

}  // namespace assay::tools
