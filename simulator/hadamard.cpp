// SPDX-License-Identifier: Apache-2.0
#include "simulator/hadamard.h"

#include <cmath>
#include <vector>

#include "formats/philox.h"

namespace assay::simulator {
namespace {

/// H y of y.size() = 2^m elements, H the Sylvester matrix.
void butterflies(std::span<double> y) {
  for (std::size_t half = 1; half < y.size(); half *= 2) {
    for (std::size_t at = 0; at < y.size(); at += 2 * half) {
      for (std::size_t i = at; i < at + half; ++i) {
        const double a = y[i];
        const double b = y[i + half];
        y[i] = a + b;
        y[i + half] = a - b;
      }
    }
  }
}

template <typename T>
void transform(std::span<T> x, std::int64_t rows, std::int64_t cols, const OperandFormat& operand,
               bool forward) {
  const std::int64_t n = operand.hadamard;
  const auto size = static_cast<std::size_t>(n);
  const bool down = runs_down(operand);
  const double factor = 1 / std::sqrt(static_cast<double>(n));
  std::vector<double> sign(size, 1.0);
  if (operand.random_signs) {
    for (std::size_t i = 0; i < size; ++i)
      if (formats::philox_bits(0, i, 1) != 0) sign[i] = -1;
  }
  const std::int64_t stride = down ? cols : 1;
  const std::int64_t lines = down ? cols : rows;
  const std::int64_t groups = (down ? rows : cols) / n;
  std::vector<double> y(size);
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t g = 0; g < groups; ++g) {
      T* first = x.data() + (down ? g * n * cols + line : line * cols + g * n);
      for (std::size_t i = 0; i < size; ++i)
        y[i] = first[static_cast<std::int64_t>(i) * stride] * (forward ? sign[i] : 1.0);
      butterflies(y);
      for (std::size_t i = 0; i < size; ++i)
        first[static_cast<std::int64_t>(i) * stride] =
            static_cast<T>(y[i] * factor * (forward ? 1.0 : sign[i]));
    }
  }
}

}  // namespace

bool runs_down(const OperandFormat& operand) {
  if (!operand.block) return false;
  const formats::BlockShape& b = operand.block->block;
  return b.cols != 0 && (b.rows == 0 || b.rows > b.cols);  // 0: the whole extent
}

void hadamard(std::span<float> x, std::int64_t rows, std::int64_t cols,
              const OperandFormat& operand) {
  transform(x, rows, cols, operand, true);
}

void undo_hadamard(std::span<double> x, std::int64_t rows, std::int64_t cols,
                   const OperandFormat& operand) {
  transform(x, rows, cols, operand, false);
}

}  // namespace assay::simulator
