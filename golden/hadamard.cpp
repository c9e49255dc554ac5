// SPDX-License-Identifier: Apache-2.0
#include "golden/hadamard.h"

#include <bit>
#include <stdexcept>

namespace assay::golden {

int hadamard_entry(std::uint32_t row, std::uint32_t col) {
  return std::popcount(row & col) % 2 == 0 ? 1 : -1;
}

std::vector<Radical> hadamard(std::span<const Value> x, const std::vector<bool>& negative) {
  const std::size_t n = x.size();
  if (!std::has_single_bit(n) || n > (std::size_t{1} << 16) ||
      (!negative.empty() && negative.size() != n)) {
    throw std::invalid_argument(
        "A Hadamard transform takes a power of two of elements, and as many signs or none.");
  }
  std::vector<Radical> result;
  for (std::uint32_t row = 0; row < n; ++row) {
    Value sum = Value::zero(false);
    for (std::uint32_t col = 0; col < n; ++col) {
      const bool minus = (hadamard_entry(row, col) < 0) != (!negative.empty() && negative[col]);
      sum = sum + (minus ? -x[col] : x[col]);
    }
    result.push_back({to_rational(sum), Rational(static_cast<std::int64_t>(n)), 2});
  }
  return result;
}

}  // namespace assay::golden
