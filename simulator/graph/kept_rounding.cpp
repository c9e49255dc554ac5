// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/kept_rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "formats/codec.h"
#include "formats/fields.h"

namespace assay::simulator {

std::vector<double> positive_values(const formats::FormatSpec& element) {
  std::vector<double> values;
  for (std::uint32_t c = 0; c <= formats::fields_of(element).max_finite(); ++c) {
    values.push_back(formats::decode(element, c));
  }
  return values;
}

// The step of subnormal numbers, 2^(smallest exponent - mantissa bits), is the smallest value.
KeptRounding::KeptRounding(const formats::FormatSpec& element, bool stochastic)
    : stochastic_(stochastic),
      mantissa_bits_(element.mantissa_bits),
      smallest_exponent_(std::ilogb(formats::decode(element, 1)) + element.mantissa_bits),
      largest_(formats::decode(element, formats::fields_of(element).max_finite())) {}

std::pair<double, double> KeptRounding::one(double u) const {
  if (u >= largest_) return {(largest_ - u) * (largest_ - u), u * (largest_ - u)};
  const int exponent = u > 0 ? std::max(std::ilogb(u), smallest_exponent_) : smallest_exponent_;
  const double step = std::ldexp(1.0, exponent - mantissa_bits_);
  const double low = std::floor(u / step) * step;
  const double high = low + step;
  if (stochastic_) return {(high - u) * (u - low), 0};  // unbiased between its neighbours
  const double q = std::min(u - low <= high - u ? low : high, largest_);
  return {(q - u) * (q - u), u * (q - u)};
}

void KeptRounding::terms(std::span<const float> r, double t, Chunk& noise, Chunk& cross) const {
  const std::size_t n = r.size();
  if (!(t > kNothing)) {
    for (std::size_t i = 0; i < n; ++i) {
      noise[i] = r[i] * r[i];
      cross[i] = -noise[i];
    }
    return;
  }
  // FP32 holds u, its step and the number of steps (to 2^11) with room; wider formats take double.
  if (stochastic_ || mantissa_bits_ > 10 || smallest_exponent_ - mantissa_bits_ < -100) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto [square, product] = one(r[i] / t);
      noise[i] = static_cast<float>(square);
      cross[i] = static_cast<float>(product);
    }
    return;
  }
  constexpr float kRound = 0x1.8p23F;  // adding and subtracting it rounds to an integer
  const auto scale = static_cast<float>(1 / t);
  const auto largest = static_cast<float>(largest_);
  const std::int32_t smallest = (smallest_exponent_ + 127) << 23;
  const std::int32_t mantissa = mantissa_bits_ << 23;
  for (std::size_t i = 0; i < n; ++i) {
    const float u = r[i] * scale;
    const std::int32_t exponent = std::bit_cast<std::int32_t>(u) & 0x7f800000;
    const std::int32_t step = (exponent > smallest ? exponent : smallest) - mantissa;
    const float steps = u * std::bit_cast<float>((254 << 23) - step);
    const float q = (steps + kRound - kRound) * std::bit_cast<float>(step);
    const float d = (q < largest ? q : largest) - u;
    noise[i] = d * d;
    cross[i] = u * d;
  }
}

}  // namespace assay::simulator
