// SPDX-License-Identifier: Apache-2.0
#pragma once
// Eigen's float GEMM, as a reference is usually computed: compiled alone, -O3 -march=native, and
// once more for AVX2 and FMA only. Plain arrays and no standard containers, and Eigen under a name
// of its own in each: nothing inline from here may be merged with other code of the program.

#include <cstdint>

namespace assay::tools {

/// c = a b^T, all row-major: a is m x k, b is n x k. One thread.
struct EigenBaseline {
  const char* flags;
  void (*gemm)(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n,
               std::int64_t k);
};

[[nodiscard]] EigenBaseline eigen_native();
[[nodiscard]] EigenBaseline eigen_avx2();

}  // namespace assay::tools
