// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an element format does to one magnitude r = |x| / amax at the scale ratio t = scale / amax.
// Private to the block statistics.

#include <utility>
#include <vector>

#include "formats/spec.h"

namespace assay::simulator {

/// The values of an element format from 0 to its largest finite one, ascending.
[[nodiscard]] std::vector<double> positive_values(const formats::FormatSpec& element);

class KeptRounding {
 public:
  KeptRounding(const formats::FormatSpec& element, bool stochastic);

  /// (t q(r/t) - r)^2 and r (t q(r/t) - r); t = 0: the block becomes zero.
  [[nodiscard]] std::pair<double, double> terms(double r, double t) const {
    if (!(t > 0)) return {r * r, -r * r};
    const double u = r / t;
    const Neighbours n = around(u);
    double q = u - n.low <= n.high - u ? n.low : n.high;
    double spread = 0;
    if (stochastic_ && n.inside) {
      q = u;  // unbiased between its neighbours
      spread = (n.high - u) * (u - n.low);
    }
    return {t * t * ((q - u) * (q - u) + spread), t * r * (q - u)};
  }

 private:
  struct Neighbours {
    double low, high;
    bool inside;
  };
  /// By arithmetic: a step is 2^(exponent - mantissa bits), and constant below the normal numbers.
  [[nodiscard]] Neighbours around(double u) const;

  std::vector<double> values_;
  bool stochastic_;
  bool floating_;
  int mantissa_bits_, smallest_exponent_;
  double largest_;
};

}  // namespace assay::simulator
