// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/training_range.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "formats/codec.h"
#include "formats/fields.h"

namespace assay::simulator {
namespace {

constexpr int kMostScale = 64;  // of log2 of a loss scale, both ways

double rounded(double v, const formats::FormatSpec& format) {
  const auto& policy = formats::profile_row(formats::saturating, format).policy;
  return formats::decode(format, formats::encode(format, static_cast<float>(v),
                                                 formats::RoundingMode::nearest_even, policy, {}));
}

}  // namespace

GradientRange gradient_range(std::vector<float> gradients, const formats::FormatSpec& format,
                             double scale) {
  if (!(scale > 0)) throw std::invalid_argument("a loss scale is positive.");
  for (float& g : gradients) g = std::fabs(g);
  std::erase(gradients, 0.0F);
  std::sort(gradients.begin(), gradients.end());
  GradientRange out;
  out.format = format.name;
  out.nonzero = gradients.size();
  out.scale = scale;
  if (gradients.empty()) return out;
  const std::uint32_t top = formats::fields_of(format).max_finite();
  const double smallest = formats::decode(format, 1);
  const double largest = formats::decode(format, top);
  const double overflow = largest + (largest - formats::decode(format, top - 1)) / 2;
  const auto share = [&](std::ptrdiff_t n) {
    return static_cast<double>(n) / static_cast<double>(gradients.size());
  };
  const auto flushed = [&](double s) {
    return std::upper_bound(gradients.begin(), gradients.end(), smallest / 2 / s,
                            [](double limit, float g) { return limit < g; }) -
           gradients.begin();
  };
  out.flushed_unscaled = share(flushed(1));
  out.flushed = share(flushed(scale));
  out.overflowed =
      share(gradients.end() - std::lower_bound(gradients.begin(), gradients.end(), overflow / scale,
                                               [](float g, double limit) { return g < limit; }));
  std::ptrdiff_t best = -1;
  for (int e = -kMostScale; e <= kMostScale; ++e) {
    const double s = std::exp2(e);
    if (gradients.back() * s >= overflow) break;
    const std::ptrdiff_t n = flushed(s);
    if (best >= 0 && n >= best) continue;
    best = n;
    out.best_scale = s;
  }
  out.best_flushed = best < 0 ? 1.0 : share(best);
  return out;
}

UpdateCount count_lost(const Matrix& weights, const Matrix& updates,
                       const formats::FormatSpec& master) {
  UpdateCount count;
  for (std::int64_t i = 0; i < weights.size(); ++i) {
    const double u = updates.data()[i];
    if (u == 0) continue;
    ++count.updates;
    const double w = rounded(weights.data()[i], master);
    count.lost += rounded(w + u, master) == w ? 1 : 0;
  }
  return count;
}

}  // namespace assay::simulator
