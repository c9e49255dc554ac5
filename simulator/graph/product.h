// SPDX-License-Identifier: Apache-2.0
#pragma once
// Products in FP32 for derivatives: Eigen's are compiled for the least machine, these for the one
// at hand. A sum over k goes in ascending order in one accumulator, fused where the machine fuses.

#include <cstdint>

#include "simulator/graph/ops.h"

namespace assay::simulator {

/// Rows of floats, `stride` apart.
template <class T>
struct Rows {
  T* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;
};

inline Rows<const float> rows_of(const MatrixF& m) {
  return {m.data(), m.rows(), m.cols(), m.cols()};
}
inline Rows<float> rows_of(MatrixF& m) { return {m.data(), m.rows(), m.cols(), m.cols()}; }
template <class T>
Rows<T> part(const Rows<T>& m, std::int64_t row, std::int64_t col, std::int64_t rows,
             std::int64_t cols) {
  return {m.data + row * m.stride + col, rows, cols, m.stride};
}

/// y += a b, or y = a b; a of y.rows x b.rows, b of b.rows x y.cols.
void add_product(Rows<float> y, Rows<const float> a, Rows<const float> b);
void set_product(Rows<float> y, Rows<const float> a, Rows<const float> b);

}  // namespace assay::simulator
