// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an element format does to magnitudes r = |x| / amax at the scale ratio t = scale / amax.
// Private to the block statistics.
//
// A magnitude u = r/t lies between neighbours of the format that are a step apart,
// 2^(max(exponent of u, smallest exponent) - mantissa bits): floating-point elements, and integers,
// whose smallest exponent is that of all.

#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "formats/spec.h"

namespace assay::simulator {

/// The values of an element format from 0 to its largest finite one, ascending.
[[nodiscard]] std::vector<double> positive_values(const formats::FormatSpec& element);

class KeptRounding {
 public:
  static constexpr std::size_t kChunk = 256;
  using Chunk = std::array<float, kChunk>;

  KeptRounding(const formats::FormatSpec& element, bool stochastic);

  /// Below this t a block's values are nothing beside its amax: no element format reaches 2^40.
  static constexpr double kNothing = 0x1p-80;

  /// Of at most kChunk magnitudes, by element: noise (q(u) - u)^2 and cross u (q(u) - u), both in
  /// units of t^2; stochastic: the mean of the former. t <= kNothing: the block becomes zero, in
  /// units of 1.
  void terms(std::span<const float> r, double t, Chunk& noise, Chunk& cross) const;

 private:
  [[nodiscard]] std::pair<double, double> one(double u) const;

  bool stochastic_;
  int mantissa_bits_, smallest_exponent_;
  double largest_;
};

}  // namespace assay::simulator
