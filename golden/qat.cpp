// SPDX-License-Identifier: Apache-2.0
#include "golden/qat.h"

#include <algorithm>
#include <cmath>
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
  if (!(layer.parameter >= 0) || std::isinf(layer.parameter)) {
    throw std::invalid_argument("The parameter of an estimator must be finite and at least 0.");
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

std::vector<Radical> scale_gradients(const QatLayer& layer, const formats::BlockScaledTensor& t,
                                     const std::vector<EstimatedWeight>& weights,
                                     const std::vector<Value>& g) {
  const ScaleDerivative derivative = rule_of(layer.estimator).scale;
  const BlockGrid grid = block_grid(*t.format, layer.n, layer.k);
  std::vector<Radical> result;
  for (std::int64_t row = 0; row < layer.n; row += grid.block_rows) {
    for (std::int64_t col = 0; col < layer.k; col += grid.block_cols) {
      RationalValue sum = RationalValue::zero(false);
      std::int64_t count = 0;
      for (std::int64_t r = row; r < std::min(row + grid.block_rows, layer.n); ++r) {
        for (std::int64_t c = col; c < std::min(col + grid.block_cols, layer.k); ++c) {
          const ScaleTerm term = scale_term(weights[r * layer.k + c], derivative);
          if (term.counts) sum = sum + to_rational(g[r * layer.k + c]) * term.derivative;
          ++count;
        }
      }
      const Rational largest = max_finite(*t.format->element).rational();
      result.push_back({sum * to_rational(value_of(t.tensor_scale)),
                        derivative == ScaleDerivative::lsq ? Rational(count * largest) : 1});
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
  for (std::int64_t j = 0; j < layer.n; ++j) {
    for (std::int64_t p = 0; p < layer.k; ++p) {
      result.g.push_back(dot(
          layer.m, [&](std::int64_t i) { return dy_at(i, j); },
          [&](std::int64_t i) { return x_hat[i * layer.k + p]; }));
    }
    Value sum = Value::zero(false);
    for (std::int64_t i = 0; i < layer.m; ++i) sum = sum + dy_at(i, j);
    result.dbias.push_back(sum);
  }
  const EstimatorRule& rule = rule_of(layer.estimator);
  const std::vector<EstimatedWeight> weights = estimated_weights(layer, t);
  if (rule.scale != ScaleDerivative::none) {
    result.dscale = scale_gradients(layer, t, weights, result.g);
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const bool kept = passes(weights[i], rule.mask, layer.parameter);
    result.dw_passes.push_back(kept);
    result.dw.push_back(kept ? estimate(weights[i], rule.factor, result.g[i], layer.parameter)
                             : Radical{RationalValue::zero(false)});
  }
  return result;
}

std::vector<EstimatedWeight> estimated_weights(const QatLayer& layer,
                                               const formats::BlockScaledTensor& t) {
  const formats::BlockFormat& format = *t.format;
  const BlockGrid grid = block_grid(format, layer.n, layer.k);
  std::vector<EstimatedWeight> result;
  for (std::int64_t r = 0; r < layer.n; ++r) {
    for (std::int64_t c = 0; c < layer.k; ++c) {
      EstimatedWeight weight;
      weight.element = format.element;
      weight.w = value_of(layer.w[r * layer.k + c]);
      weight.s = decode(*format.scale, load_scale(t, r / grid.block_rows, c / grid.block_cols)) *
                 value_of(t.tensor_scale);
      // A block whose scale factor is NaN is NaN throughout, whatever its codes.
      weight.q = weight.s.is_nan() ? Value::nan() : decode(*format.element, load_code(t, r, c));
      result.push_back(weight);
    }
  }
  return result;
}

}  // namespace assay::golden
