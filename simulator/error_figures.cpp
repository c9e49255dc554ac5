// SPDX-License-Identifier: Apache-2.0
#include "simulator/error_figures.h"

#include <algorithm>
#include <cmath>

#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"

namespace assay::simulator {
namespace {

void count_error(double normalised, ErrorHistogram& histogram) {
  if (normalised < -kErrorRange) {
    ++histogram.below;
  } else if (normalised >= kErrorRange) {
    ++histogram.above;
  } else {
    const auto bin = static_cast<int>((normalised + kErrorRange) / (2 * kErrorRange) * kErrorBins);
    ++histogram.bins[static_cast<std::size_t>(std::clamp(bin, 0, kErrorBins - 1))];
  }
}

void measure_blocks(std::span<const float> x, const FakeQuantized& quantized,
                    const OperandFormat& operand, TensorReplay& out) {
  const formats::FormatSpec& element = *operand.block->element;
  const double largest = formats::decode(element, formats::fields_of(element).max_finite());
  const auto grid = formats::block_grid(quantized.block, out.rows, out.cols);
  std::vector<double> error(static_cast<std::size_t>(grid.count()));
  std::vector<double> power(error.size());
  for (std::int64_t r = 0; r < out.rows; ++r) {
    for (std::int64_t c = 0; c < out.cols; ++c) {
      const auto i = static_cast<std::size_t>(r * out.cols + c);
      const auto b = static_cast<std::size_t>(grid.block_of(r, c));
      const double v = x[i];
      const double e = quantized.values(r, c) - v;
      error[b] += e * e;
      power[b] += v * v;
      out.clipped += std::fabs(v) > largest * quantized.scales[b] ? 1 : 0;
      if (element.storage_bits == 4) ++out.codes[quantized.codes[i]];
    }
  }
  for (std::size_t b = 0; b < error.size(); ++b) {
    const double relative = power[b] > 0 ? error[b] / power[b] : 0;
    if (relative > out.worst_block_error) {
      out.worst_block_error = relative;
      out.worst_block = static_cast<std::int64_t>(b);
    }
  }
}

}  // namespace

ErrorFigures error_figures(std::span<const double> x, std::span<const double> y) {
  double xx = 0;
  double xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += x[i] * x[i];
    xy += x[i] * y[i];
  }
  if (xx == 0) return {};
  ErrorFigures f;
  f.gain = xy / xx;
  double noise = 0;
  double total = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double n = y[i] - f.gain * x[i];
    const double e = y[i] - x[i];
    noise += n * n;
    total += e * e;
  }
  f.nsr = noise / xx;
  f.relative_mse = total / xx;
  return f;
}

void measure_tensor(std::span<const float> x, const FakeQuantized& quantized,
                    const OperandFormat& operand, TensorReplay& out) {
  const std::vector<double> exact(x.begin(), x.end());
  const std::span<const double> values(quantized.values.data(), x.size());
  out.error = error_figures(exact, values);
  double xx = 0;
  for (const double v : exact) xx += v * v;
  const double rms = std::sqrt(xx / static_cast<double>(std::max<std::size_t>(1, x.size())));
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (rms > 0) count_error((values[i] - exact[i]) / rms, out.histogram);
    out.flushed += exact[i] != 0 && values[i] == 0 ? 1 : 0;
  }
  out.reencode_changed = quantized.reencode_changed;
  if (operand.block) measure_blocks(x, quantized, operand, out);
}

}  // namespace assay::simulator
