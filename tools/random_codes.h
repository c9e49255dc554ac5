// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operands for benchmarks.

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "formats/spec.h"

namespace assay::tools {

/// Finite codes of everyday exponents, all mantissas and signs.
inline std::vector<std::uint32_t> random_codes(const formats::FormatSpec& spec, std::int64_t count,
                                               std::mt19937_64& random) {
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(count));
  const int m = spec.mantissa_bits;
  for (auto& code : codes) {
    const auto word = static_cast<std::uint32_t>(random() >> 32);
    const int fields = (1 << spec.exponent_bits) - 1;
    const int field = std::clamp(spec.bias + static_cast<int>(word >> 16) % 4 - 2, 0, fields - 1);
    const std::uint32_t sign = spec.sign_bits == 0 ? 0 : word >> 8 & 1U;
    code = (sign << (m + spec.exponent_bits) | static_cast<std::uint32_t>(field) << m |
            (word & ((1U << m) - 1)))
           << spec.storage_shift;
  }
  return codes;
}

}  // namespace assay::tools
