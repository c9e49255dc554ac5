// SPDX-License-Identifier: Apache-2.0
#include "tools/expected_error.h"

#include <algorithm>
#include <boost/math/quadrature/gauss.hpp>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <numbers>

#include "formats/codec.h"
#include "formats/fields.h"

namespace assay::tools {
namespace {

using formats::ScaleRule;

// Largest magnitudes that a block of 16 or more deviates of standard deviation 1..2 has.
constexpr int first_octave = -8;
constexpr int last_octave = 7;

/// Integrals of f(x), x f(x) and x^2 f(x).
struct Moments {
  double zeroth = 0;
  double first = 0;
  double second = 0;
};

double density_at(Density density, double x) {
  return density == Density::normal
             ? std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi)
             : std::exp(-std::numbers::sqrt2 * x) / std::numbers::sqrt2;  // variance 1
}

/// From x >= 0 to infinity.
Moments tail(Density density, double x) {
  if (std::isinf(x)) return {};
  const double f = density_at(density, x);
  if (density == Density::normal) {
    const double q = std::erfc(x / std::numbers::sqrt2) / 2;
    return {q, f, q + x * f};
  }
  // With b = 1/sqrt2: integrals of x^k e^(-x/b) / 2b.
  const double b = 1 / std::numbers::sqrt2;
  const double half = b * f;
  return {half, half * (x + b), half * (x * x + 2 * b * x + 2 * b * b)};
}

Moments between(Density density, double from, double to) {
  const Moments a = tail(density, from);
  const Moments b = tail(density, to);
  return {a.zeroth - b.zeroth, a.first - b.first, a.second - b.second};
}

Expected operator+(Expected a, const Expected& b) {
  return {a.error + b.error, a.product + b.product};
}
Expected operator*(double c, const Expected& a) { return {c * a.error, c * a.product}; }

/// Gauss' rule on small panels: inside them T has corners, in its second derivative.
template <class Integrand>
Expected integral(const Integrand& integrand, double from, double to) {
  using Gauss = boost::math::quadrature::gauss<double, 15>;
  constexpr int panels = 6;
  Expected sum;
  for (int i = 0; i < panels; ++i) {
    const double middle = from + (to - from) * (i + 0.5) / panels;
    const double half = (to - from) / (2 * panels);
    for (std::size_t k = 0; k < Gauss::abscissa().size(); ++k) {
      const double step = Gauss::abscissa()[k] * half;
      const double weight = Gauss::weights()[k] * half;
      sum = sum + weight * integrand(middle + step);
      if (step != 0) sum = sum + weight * integrand(middle - step);
    }
  }
  return sum;
}

}  // namespace

std::vector<double> positive_values(const formats::FormatSpec& element) {
  std::vector<double> values;
  for (std::uint32_t code = 0; code <= formats::fields_of(element).max_finite(); ++code)
    values.push_back(static_cast<double>(formats::decode(element, code)));
  return values;
}

FixedScale::FixedScale(Density density, std::span<const double> values, double scale,
                       formats::RoundingMode rounding)
    : density_(density), stochastic_(rounding == formats::RoundingMode::stochastic) {
  for (const double value : values) values_.push_back(value * scale);
  Expected sum;
  for (std::size_t cell = 0; cell < values_.size(); ++cell) {
    from_.push_back(stochastic_ ? values_[cell]
                    : cell == 0 ? 0
                                : (values_[cell - 1] + values_[cell]) / 2);
    if (cell > 0) sum = sum + part(cell - 1, from_[cell - 1], from_[cell]);
    before_.push_back(sum);
  }
}

// To nearest, cell i is what rounds to value i. Stochastically it is what lies between values i and
// i + 1, l and h: of squared error (h - x)(x - l) and mean x. The last cell saturates.
Expected FixedScale::part(std::size_t cell, double from, double to) const {
  const Moments m = between(density_, from, to);
  const double v = values_[cell];
  if (stochastic_ && cell + 1 < values_.size()) {
    const double h = values_[cell + 1];
    return {(h + v) * m.first - m.second - h * v * m.zeroth, m.second};
  }
  return {m.second - 2 * v * m.first + v * v * m.zeroth, v * m.first};
}

Expected FixedScale::upto(double limit) const {
  const auto cell = static_cast<std::size_t>(std::upper_bound(from_.begin(), from_.end(), limit) -
                                             from_.begin() - 1);
  return 2 * (before_[cell] + part(cell, from_[cell], limit));  // of both signs
}

Expected FixedScale::at(double x) const {
  const auto cell =
      static_cast<std::size_t>(std::upper_bound(from_.begin(), from_.end(), x) - from_.begin() - 1);
  const double v = values_[cell];
  if (stochastic_ && cell + 1 < values_.size()) return {(values_[cell + 1] - x) * (x - v), x * x};
  return {(x - v) * (x - v), x * v};
}

double best_scale(Density density, std::span<const double> values) {
  const auto error = [&](double scale) {
    return FixedScale(density, values, scale, formats::RoundingMode::nearest_even).upto().error;
  };
  // One minimum between these for the formats here; 26 bits is what a minimum can be told from.
  return boost::math::tools::brent_find_minima(error, 1 / values.back(), 8 / values.back(), 26)
      .first;
}

std::vector<ScalePiece> power_of_two_pieces(ScaleRule rule, const formats::FormatSpec& element) {
  const double max = positive_values(element).back();
  const double power = std::exp2(std::floor(std::log2(max)));  // 2^emax
  // The scale factor doubles at `first` and every octave from there; it is `scale` up to 2 first.
  // (The point itself has no weight.)
  double first = 1;
  if (rule == ScaleRule::rceil) first = max / power;
  if (rule == ScaleRule::even)  // amax, half up to m bits, reaches 2
    first = 2 - std::exp2(-(element.mantissa_bits + 1));
  const double scale = (rule == ScaleRule::floor ? 1 : 2) / power;
  std::vector<ScalePiece> pieces;
  for (int octave = first_octave; octave < last_octave; ++octave) {
    const double factor = std::exp2(octave);
    pieces.push_back({first * factor, 2 * first * factor, scale * factor, 0});
  }
  return pieces;
}

std::vector<ScalePiece> linear_pieces(double top) {
  std::vector<ScalePiece> pieces;
  for (int octave = first_octave; octave < last_octave; ++octave)
    pieces.push_back({std::exp2(octave), std::exp2(octave + 1), 0, 1 / top});
  return pieces;
}

std::vector<ScalePiece> rounded_pieces(double top, double unit, const formats::FormatSpec& scale) {
  const std::vector<double> codes = positive_values(scale);
  std::vector<ScalePiece> pieces;
  for (std::size_t i = 1; i < codes.size(); ++i) {
    const double low = (codes[i - 1] + codes[i]) / 2;
    const double high = i + 1 < codes.size() ? (codes[i] + codes[i + 1]) / 2 : 16 * codes[i];
    pieces.push_back({low * unit * top, high * unit * top, codes[i] * unit, 0});
  }
  return pieces;
}

Expected expected_in_blocks(Density density, std::span<const double> values, std::int64_t size,
                            std::span<const ScalePiece> pieces, formats::RoundingMode rounding,
                            double sigma) {
  constexpr double farthest = 24;  // standard deviations; beyond, nothing that a double could show
  const auto n = static_cast<double>(size);
  Expected sum;
  for (const ScalePiece& piece : pieces) {
    const double from = piece.from / sigma;
    const double to = std::min(piece.to / sigma, farthest);
    if (from >= to) continue;
    const FixedScale fixed(density, values, piece.fixed / sigma, rounding);
    const auto integrand = [&](double a) {
      const double p = 2 * between(density, 0, a).zeroth;
      const double weight = 2 * density_at(density, a) * std::pow(p, n - 2);
      const auto with = [&](const FixedScale& own) {
        return weight * (p * own.at(a) + (n - 1) * own.upto(a));
      };
      return piece.per_amax == 0 ? with(fixed)
                                 : with({density, values, piece.per_amax * a, rounding});
    };
    // Between the corners of the integrand: where amax itself rounds to the next value.
    std::vector<double> corners{from};
    for (const double corner : fixed.cells())
      if (from < corner && corner < to) corners.push_back(corner);
    corners.push_back(to);
    for (std::size_t i = 0; i + 1 < corners.size(); ++i)
      sum = sum + integral(integrand, corners[i], corners[i + 1]);
  }
  return sum;
}

}  // namespace assay::tools
