// SPDX-License-Identifier: Apache-2.0
// Products in FP32 against sums in double.
#include "simulator/graph/product.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <random>

namespace assay::simulator {
namespace {

MatrixF gaussian(std::int64_t rows, std::int64_t cols, std::mt19937_64& random) {
  std::normal_distribution<float> n;
  MatrixF m(rows, cols);
  for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = n(random);
  return m;
}

// Every number of rows left over by six and of columns left over by vectors of any machine. A sum
// of n products in FP32 errs by less than (n + 1) 2^-24 of the sum of magnitudes (Higham, Accuracy
// and Stability of Numerical Algorithms, section 3.1), fused or not.
void hold_to_sums() {
  std::mt19937_64 random(3);
  for (const std::int64_t rows : {1, 5, 6, 7, 13}) {
    for (std::int64_t cols = 1; cols <= 70; cols += cols < 34 ? 1 : 9) {
      for (const std::int64_t depth : {0, 1, 9, 40}) {
        const MatrixF a = gaussian(rows, depth, random);
        const MatrixF wide = gaussian(depth + 1, cols + 3, random);
        const auto b = part(rows_of(wide), 1, 2, depth, cols);  // rows a stride apart
        const MatrixF before = gaussian(rows, cols, random);
        MatrixF sum = before;
        MatrixF alone = before;
        add_product(rows_of(sum), rows_of(a), b);
        set_product(rows_of(alone), rows_of(a), b);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < cols; ++c) {
            double exact = 0;
            double size = std::fabs(before(r, c));
            for (std::int64_t k = 0; k < depth; ++k) {
              const double term = static_cast<double>(a(r, k)) * wide(k + 1, c + 2);
              exact += term;
              size += std::fabs(term);
            }
            const double bound = static_cast<double>(depth + 2) * std::exp2(-24) * size;
            ASSERT_NEAR(alone(r, c), exact, bound) << rows << " " << cols << " " << depth;
            ASSERT_NEAR(sum(r, c), exact + before(r, c), bound) << rows << " " << cols;
          }
        }
      }
    }
  }
}

TEST(Product, OfEveryRestOfRowsAndColumns) {
  hold_to_sums();
  for (const std::int64_t target : {HWY_AVX2, HWY_SSE4, HWY_SCALAR}) {
    hwy::SetSupportedTargetsForTest(target);
    hold_to_sums();
    hwy::SetSupportedTargetsForTest(0);
  }
}

}  // namespace
}  // namespace assay::simulator
