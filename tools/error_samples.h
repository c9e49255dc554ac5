// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the quantizers here lose on deviates drawn for it.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"
#include "tools/error_rows.h"

namespace assay::tools {

inline constexpr std::int64_t sample_columns =
    4096;  ///< more numbers than that are rows of so many

/// `count` (even) deviates of variance 1.
std::vector<float> draw(Density density, std::int64_t count, std::uint64_t seed);

/// Over elements x that became y: sums of (x - y)^2, x y and x^2.
struct Sums {
  double error = 0;
  double product = 0;
  double power = 0;
  double count = 0;
};

struct Sampled {
  Sums sums;
  double scale = 0;  ///< the one scale factor of the format, or its tensor scale
};

Sampled sample(std::span<const float> x, const formats::BlockFormat& format,
               formats::RoundingMode rounding, GivenScale given, std::uint64_t seed);

}  // namespace assay::tools
