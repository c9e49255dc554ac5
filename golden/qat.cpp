// SPDX-License-Identifier: Apache-2.0
#include "golden/qat.h"

#include <functional>
#include <stdexcept>
#include <string>

#include "golden/layout.h"
#include "golden/quantize.h"

namespace assay::golden {
namespace {

void require_size(const char* name, std::size_t size, std::int64_t expected) {
  if (size != static_cast<std::size_t>(expected)) {
    throw std::invalid_argument(std::string("The QAT step's ") + name + " has " +
                                std::to_string(size) + " elements; its shape needs " +
                                std::to_string(expected) + ".");
  }
}

void validate(const QatLayer& layer) {
  if (layer.m < 1 || layer.n < 1 || layer.k < 1) {
    throw std::invalid_argument("A QAT step needs m, n and k of at least 1.");
  }
  if (layer.weight_format == nullptr) {
    throw std::invalid_argument("A QAT step needs a block format for its weights.");
  }
  if (layer.rounding == RoundingMode::stochastic) {
    throw std::invalid_argument("A QAT step rounds its weights in a deterministic mode.");
  }
  require_size("x", layer.x.size(), layer.m * layer.k);
  require_size("w", layer.w.size(), layer.n * layer.k);
  if (!layer.bias.empty()) require_size("bias", layer.bias.size(), layer.n);
}

formats::BlockScaledTensor quantize_weights(const QatLayer& layer) {
  QuantizeOptions options;
  options.rounding = layer.rounding;
  options.scales = layer.scales;
  return quantize(layer.w, layer.n, layer.k, *layer.weight_format, options);
}

std::vector<Value> input_values(const QatLayer& layer) {
  if (layer.input_format != nullptr) {
    QuantizeOptions options;
    options.rounding = layer.rounding;
    return dequantize(quantize(layer.x, layer.m, layer.k, *layer.input_format, options));
  }
  std::vector<Value> values;
  for (const float x : layer.x) values.push_back(value_of(x));
  return values;
}

// Sum over i < count of a(i) * b(i); +0 to begin with, as an accumulator is.
Value dot(std::int64_t count, const std::function<Value(std::int64_t)>& a,
          const std::function<Value(std::int64_t)>& b) {
  Value sum = Value::zero(false);
  for (std::int64_t i = 0; i < count; ++i) sum = sum + a(i) * b(i);
  return sum;
}

// One weight in the block that holds it: what the estimators look at.
struct Weight {
  Value w;     // master
  Value q;     // decoded element code
  Value s;     // stored scale factor * tensor scale
  Value clip;  // Q |s|

  // 1[|w| <= Q |s|] by IEEE comparison.
  [[nodiscard]] bool inside() const {
    if (w.is_nan() || clip.is_nan()) return false;
    Value magnitude = w;
    if (magnitude.negative) magnitude = -magnitude;
    return !less(clip, magnitude);
  }
  // dv/ds of qat.h.
  [[nodiscard]] RationalValue scale_derivative(const Exact& largest) const {
    if (q.is_nan() || s.is_nan()) return RationalValue::nan();
    if (!inside()) {
      const bool negative = w.negative != s.negative;
      const Value bound = Value::finite(largest);
      return to_rational(negative ? -bound : bound);
    }
    if (w.is_zero()) return to_rational(q);  // also at s = 0, where w / s is no number
    return to_rational(q) + -(to_rational(w) / to_rational(s));
  }
};

Weight weight_at(const QatLayer& layer, const formats::BlockScaledTensor& t, const BlockGrid& grid,
                 std::int64_t row, std::int64_t col) {
  const formats::BlockFormat& format = *t.format;
  Weight result;
  result.w = value_of(layer.w[row * layer.k + col]);
  result.s = decode(*format.scale, load_scale(t, row / grid.block_rows, col / grid.block_cols)) *
             value_of(t.tensor_scale);
  // A block whose scale factor is NaN is NaN throughout, whatever its codes.
  result.q = result.s.is_nan() ? Value::nan() : decode(*format.element, load_code(t, row, col));
  Value s_magnitude = result.s;
  if (s_magnitude.negative) s_magnitude = -s_magnitude;
  result.clip = Value::finite(max_finite(*format.element)) * s_magnitude;
  return result;
}

std::vector<ScaleGradient> scale_gradients(const QatLayer& layer,
                                           const formats::BlockScaledTensor& t,
                                           const std::vector<Value>& g) {
  const BlockGrid grid = block_grid(*t.format, layer.n, layer.k);
  const Exact largest = max_finite(*t.format->element);
  std::vector<ScaleGradient> result;
  for (std::int64_t row = 0; row < layer.n; row += grid.block_rows) {
    for (std::int64_t col = 0; col < layer.k; col += grid.block_cols) {
      RationalValue sum = RationalValue::zero(false);
      std::int64_t count = 0;
      for (std::int64_t r = row; r < std::min(row + grid.block_rows, layer.n); ++r) {
        for (std::int64_t c = col; c < std::min(col + grid.block_cols, layer.k); ++c) {
          const Weight weight = weight_at(layer, t, grid, r, c);
          sum = sum + to_rational(g[r * layer.k + c]) * weight.scale_derivative(largest);
          ++count;
        }
      }
      const Rational radicand = count * largest.rational();
      result.push_back({sum * to_rational(value_of(t.tensor_scale)),
                        static_cast<std::int64_t>(numerator(radicand))});
    }
  }
  return result;
}

}  // namespace

QatForward qat_forward(const QatLayer& layer) {
  validate(layer);
  QatForward result;
  result.w_codes = quantize_weights(layer);
  result.w_hat = dequantize(result.w_codes);
  result.x_hat = input_values(layer);
  for (std::int64_t i = 0; i < layer.m; ++i) {
    for (std::int64_t j = 0; j < layer.n; ++j) {
      Value y = dot(
          layer.k, [&](std::int64_t p) { return result.x_hat[i * layer.k + p]; },
          [&](std::int64_t p) { return result.w_hat[j * layer.k + p]; });
      if (!layer.bias.empty()) y = y + value_of(layer.bias[j]);
      result.y.push_back(y);
    }
  }
  return result;
}

QatGradients qat_backward(const QatLayer& layer, std::span<const float> dy) {
  validate(layer);
  require_size("dy", dy.size(), layer.m * layer.n);
  const formats::BlockScaledTensor t = quantize_weights(layer);
  const std::vector<Value> w_hat = dequantize(t);
  const std::vector<Value> x_hat = input_values(layer);
  const auto dy_at = [&](std::int64_t i, std::int64_t j) { return value_of(dy[i * layer.n + j]); };
  QatGradients result;
  for (std::int64_t i = 0; i < layer.m; ++i) {
    for (std::int64_t p = 0; p < layer.k; ++p) {
      result.dx.push_back(dot(
          layer.n, [&](std::int64_t j) { return dy_at(i, j); },
          [&](std::int64_t j) { return w_hat[j * layer.k + p]; }));
    }
  }
  std::vector<Value> g;  // the gradient with respect to W_hat
  for (std::int64_t j = 0; j < layer.n; ++j) {
    for (std::int64_t p = 0; p < layer.k; ++p) {
      g.push_back(dot(
          layer.m, [&](std::int64_t i) { return dy_at(i, j); },
          [&](std::int64_t i) { return x_hat[i * layer.k + p]; }));
    }
    Value sum = Value::zero(false);
    for (std::int64_t i = 0; i < layer.m; ++i) sum = sum + dy_at(i, j);
    result.dbias.push_back(sum);
  }
  if (layer.estimator == Estimator::lsq) result.dscale = scale_gradients(layer, t, g);
  result.dw_passes.assign(g.size(), true);
  if (layer.estimator != Estimator::identity) {
    const BlockGrid grid = block_grid(*t.format, layer.n, layer.k);
    for (std::int64_t j = 0; j < layer.n; ++j) {
      for (std::int64_t p = 0; p < layer.k; ++p) {
        if (weight_at(layer, t, grid, j, p).inside()) continue;
        g[j * layer.k + p] = Value::zero(false);
        result.dw_passes[j * layer.k + p] = false;
      }
    }
  }
  result.dw = std::move(g);
  return result;
}

// |sum| = a/b. With x = a^2 / (b^2 radicand) and t large enough, r = floor(sqrt(x 4^t)) has r 2^-t
// <= sqrt(x) < (r + 1) 2^-t, and the relative width is at most 1/r <= 2^-bits once r >= 2^bits.
std::pair<Rational, Rational> magnitude_enclosure(const ScaleGradient& x, int bits) {
  if (!x.sum.is_finite() || x.radicand < 1) {
    throw std::invalid_argument("Only a finite sum over a positive radicand has an enclosure.");
  }
  const Rational square = x.sum.number * x.sum.number / x.radicand;
  if (square == 0) return {0, 0};
  const Integer a = boost::multiprecision::sqrt(numerator(square));
  const Integer b = boost::multiprecision::sqrt(denominator(square));
  if (a * a == numerator(square) && b * b == denominator(square)) {
    return {Rational(a, b), Rational(a, b)};
  }
  const std::int64_t log2_of_square = floor_log2(numerator(square), denominator(square));
  const std::int64_t t = bits + 1 + std::max<std::int64_t>(0, -log2_of_square);
  const Integer scaled = (numerator(square) << (2 * t)) / denominator(square);
  const Integer r = boost::multiprecision::sqrt(scaled);
  const Rational grid = Exact::power_of_two(-t).rational();
  return {Rational(r) * grid, Rational(r + 1) * grid};
}

std::uint32_t encode(const FormatSpec& spec, const ScaleGradient& x, RoundingMode mode,
                     const Policy& policy, Random random) {
  if (!x.sum.is_finite() || x.sum.is_zero()) return encode(spec, x.sum, mode, policy, random);
  for (int bits = 64;; bits *= 2) {
    auto [lower, upper] = magnitude_enclosure(x, bits);
    if (x.sum.negative) {
      lower = -lower;
      upper = -upper;
    }
    const std::uint32_t code = encode(spec, RationalValue::finite(lower), mode, policy, random);
    if (encode(spec, RationalValue::finite(upper), mode, policy, random) == code) return code;
  }
}

}  // namespace assay::golden
