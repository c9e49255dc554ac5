// SPDX-License-Identifier: Apache-2.0
#pragma once
// What `assay bench golden` multiplies, on the CPU and on the GPU.

#include <cstdint>
#include <random>
#include <span>
#include <string>

#include "formats/tensor.h"

namespace assay::tools {

struct BenchShape {
  std::int64_t m, n, k;
};

struct BenchPair {
  const formats::BlockFormat *a, *b;
};

/// NVFP4 by itself first.
[[nodiscard]] std::span<const BenchPair> bench_pairs();
[[nodiscard]] std::span<const BenchShape> bench_shapes();

/// "MxNxK". Throws std::invalid_argument.
[[nodiscard]] BenchShape parse_bench_shape(const std::string& text);

/// Normal deviates, quantized.
[[nodiscard]] formats::BlockScaledTensor draw_normal(const formats::BlockFormat& format,
                                                     std::int64_t rows, std::int64_t cols,
                                                     std::mt19937_64& random);

}  // namespace assay::tools
