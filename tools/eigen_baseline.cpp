// SPDX-License-Identifier: Apache-2.0
// Compiled once for each baseline: ASSAY_EIGEN_ENTRY is its function, Eigen the name of its Eigen.
#define EIGEN_DONT_PARALLELIZE
#include "tools/eigen_baseline.h"

#include <Eigen/Core>

namespace assay::tools {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void gemm(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n,
          std::int64_t k) {
  const Eigen::Map<const RowMajor> left(a, m, k);
  const Eigen::Map<const RowMajor> right(b, n, k);
  Eigen::Map<RowMajor> d(c, m, n);
  d.noalias() = left * right.transpose();
}

}  // namespace

EigenBaseline ASSAY_EIGEN_ENTRY() { return {ASSAY_EIGEN_FLAGS, gemm}; }

}  // namespace assay::tools
