// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a quantizer loses on independent symmetric deviates of variance 1, as integrals instead of
// samples: closed forms where the scale factor is fixed, one integral over the largest magnitude
// where a block's scale factor follows from it. Knows the values of the element format and the rule
// of the scale factor, nothing of the quantizers.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "formats/spec.h"
#include "formats/tensor.h"

namespace assay::tools {

enum class Density : std::uint8_t { normal, laplace };

/// Expectations of (x - y)^2 and of x y, y what x becomes.
struct Expected {
  double error = 0;
  double product = 0;
};

/// 0 and the positive finite values of a format of at most 8 bits, ascending.
[[nodiscard]] std::vector<double> positive_values(const formats::FormatSpec& element);

/// One scale factor for all x: y = +-scale * (the value that |x| / scale rounds to). `rounding` is
/// nearest_even, or stochastic with endless random words; both saturate. Only |x| < limit counts.
class FixedScale {
 public:
  FixedScale(Density density, std::span<const double> values, double scale,
             formats::RoundingMode rounding);
  [[nodiscard]] Expected upto(double limit = std::numeric_limits<double>::infinity()) const;
  /// Of an element that is x.
  [[nodiscard]] Expected at(double x) const;
  /// Where y changes, or its distribution: 0 and what follows, ascending.
  [[nodiscard]] std::span<const double> cells() const { return from_; }

 private:
  [[nodiscard]] Expected part(std::size_t cell, double from, double to) const;

  Density density_;
  bool stochastic_;
  std::vector<double> values_;    // times the scale factor
  std::vector<double> from_;      // where each cell begins
  std::vector<Expected> before_;  // the integral up to there
};

/// The scale factor of least squared error, to nearest.
[[nodiscard]] double best_scale(Density density, std::span<const double> values);

/// Scale factors of blocks with `from` < amax <= `to`: fixed + per_amax * amax.
struct ScalePiece {
  double from = 0;
  double to = 0;
  double fixed = 0;
  double per_amax = 0;
};

/// ScaleRule floor, ceil, rceil or even for an element format: a piece an octave, from 2^-8 to 2^7.
[[nodiscard]] std::vector<ScalePiece> power_of_two_pieces(formats::ScaleRule rule,
                                                          const formats::FormatSpec& element);
/// amax / top, from 2^-8 to 2^7.
[[nodiscard]] std::vector<ScalePiece> linear_pieces(double top);
/// (amax / top) / unit rounded to the nearest code of `scale`, times unit.
[[nodiscard]] std::vector<ScalePiece> rounded_pieces(double top, double unit,
                                                     const formats::FormatSpec& scale);

/// Per element of a block of `size` independent deviates of standard deviation sigma, over sigma^2.
/// With P(a) = P(|x| < a), f the density, T(a) the integrals over |x| < a and e(a) the element that
/// is the largest, the density of amax is size P^(size-1) 2 f, and given amax = a the others are
/// independent with density f / P on |x| < a. Hence
///   expectation = integral of 2 f(a) [P^(size-1) e(a) + (size-1) P^(size-2) T(a)] da.
[[nodiscard]] Expected expected_in_blocks(Density density, std::span<const double> values,
                                          std::int64_t size, std::span<const ScalePiece> pieces,
                                          formats::RoundingMode rounding, double sigma = 1);

}  // namespace assay::tools
