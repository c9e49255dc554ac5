// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/kept_rounding.h"

#include <algorithm>
#include <cmath>

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

KeptRounding::KeptRounding(const formats::FormatSpec& element, bool stochastic)
    : stochastic_(stochastic),
      floating_(element.storage_bits > 4),
      mantissa_bits_(element.mantissa_bits),
      smallest_exponent_(0),
      largest_(formats::decode(element, formats::fields_of(element).max_finite())) {
  if (!floating_) {
    values_ = positive_values(element);  // few: searched one by one
  } else {
    // The subnormal numbers' step, 2^(smallest exponent - mantissa bits), is the smallest value.
    smallest_exponent_ = std::ilogb(formats::decode(element, 1)) + mantissa_bits_;
  }
}

KeptRounding::Neighbours KeptRounding::around(double u) const {
  if (u >= largest_) return {largest_, largest_, false};
  if (!floating_) {
    std::size_t i = 1;
    while (values_[i] <= u) ++i;
    return {values_[i - 1], values_[i], true};
  }
  const int exponent = u > 0 ? std::max(std::ilogb(u), smallest_exponent_) : smallest_exponent_;
  const double step = std::ldexp(1.0, exponent - mantissa_bits_);
  const double low = std::floor(u / step) * step;
  return {low, std::min(low + step, largest_), true};
}

}  // namespace assay::simulator
