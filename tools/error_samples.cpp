// SPDX-License-Identifier: Apache-2.0
#include "tools/error_samples.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "formats/array.h"
#include "formats/block.h"
#include "formats/learned_scale.h"

namespace assay::tools {

using formats::BlockFormat;

// From two Philox words for two of them.
std::vector<float> draw(Density density, std::int64_t count, std::uint64_t seed) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>(count));
  formats::philox_words(seed, 0, words);
  std::vector<float> x(words.size());
  const auto uniform = [&](std::size_t i) { return (words[i] + 0.5) * 0x1p-32; };
  for (std::size_t i = 0; i < x.size(); i += 2) {
    const double u = uniform(i);
    const double v = uniform(i + 1);
    if (density == Density::normal) {  // Box and Muller
      const double radius = std::sqrt(-2 * std::log(u));
      x[i] = static_cast<float>(radius * std::cos(2 * std::numbers::pi * v));
      x[i + 1] = static_cast<float>(radius * std::sin(2 * std::numbers::pi * v));
    } else {
      const auto inverse = [](double p) {
        const double magnitude = -std::log(p < 0.5 ? 2 * p : 2 - 2 * p) / std::numbers::sqrt2;
        return static_cast<float>(p < 0.5 ? -magnitude : magnitude);
      };
      x[i] = inverse(u);
      x[i + 1] = inverse(v);
    }
  }
  return x;
}

namespace {

/// Scale factors for the blocks of x by rows.
std::vector<float> given_scales(std::span<const float> x, const BlockFormat& format,
                                GivenScale given) {
  if (given == GivenScale::none) return {};
  if (given == GivenScale::least_squares)
    return {static_cast<float>(formats::least_squares_scale(x, *format.element))};
  constexpr double clip = 2.92247856;
  const auto size = static_cast<std::size_t>(format.block.cols);
  std::vector<float> scales;
  for (std::size_t first = 0; first < x.size(); first += size) {
    double power = 0;
    double sum = 0;
    for (const float v : x.subspan(first, size)) {
      power += static_cast<double>(v) * v;
      sum += v;
    }
    const auto n = static_cast<double>(size);
    const bool rms = given == GivenScale::clipped_rms;
    const double mean = rms ? 0 : sum / n;
    const double exponent = std::log2(clip / 6 * std::sqrt(power / n - mean * mean));
    scales.push_back(
        static_cast<float>(std::exp2(rms ? std::round(exponent) : std::floor(exponent))));
  }
  return scales;
}

}  // namespace

Sampled sample(std::span<const float> x, const BlockFormat& format, formats::RoundingMode rounding,
               GivenScale given, std::uint64_t seed) {
  const auto cols = std::min(sample_columns, static_cast<std::int64_t>(x.size()));
  const auto rows = static_cast<std::int64_t>(x.size()) / cols;
  const std::vector<float> scales = given_scales(x, format, given);
  const auto tensor = formats::quantize(x, rows, cols, format,
                                        {.rounding = rounding, .seed = seed + 1, .scales = scales});
  std::vector<float> y(x.size());
  formats::dequantize(tensor, y);
  const double factor = value_factor(format);
  Sampled result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = x[i];
    const double w = factor * y[i];
    result.sums.error += (w - v) * (w - v);
    result.sums.product += w * v;
    result.sums.power += v * v;
  }
  result.sums.count = static_cast<double>(x.size());
  result.scale = given == GivenScale::least_squares ? scales.front()
                                                    : static_cast<double>(tensor.tensor_scale);
  return result;
}

}  // namespace assay::tools
