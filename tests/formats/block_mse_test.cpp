// SPDX-License-Identifier: Apache-2.0
// Relative mean squared error of the presets on N(0,1), 2^24 samples, against the reference values
// of the literature and of independent Monte Carlo runs (within 1 %).

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

#include "formats/array.h"
#include "formats/block.h"
#include "formats/learned_scale.h"
#include "formats/presets.h"

namespace assay::tests {
namespace {

using namespace formats;

constexpr std::int64_t kRows = 4096;
constexpr std::int64_t kCols = 4096;

/// Box and Muller (1958) on Philox words: deterministic everywhere that libm rounds well.
std::vector<float> normal_deviates() {
  std::vector<float> x(static_cast<std::size_t>(kRows * kCols));
  std::vector<std::uint32_t> words(x.size());
  philox_words(20260101, 0, words);
  for (std::size_t i = 0; i < x.size(); i += 2) {
    const double u = (static_cast<double>(words[i]) + 0.5) * 0x1p-32;  // in (0, 1)
    const double v = static_cast<double>(words[i + 1]) * 0x1p-32 * 2 * std::numbers::pi;
    const double radius = std::sqrt(-2 * std::log(u));
    x[i] = static_cast<float>(radius * std::cos(v));
    x[i + 1] = static_cast<float>(radius * std::sin(v));
  }
  return x;
}

TEST(RelativeMse, OfPresetsOnNormalDeviates) {
  struct Row {
    const BlockFormat* format;
    double reference;
  };
  const std::vector<float> x = normal_deviates();
  std::vector<float> y(x.size());
  for (const Row& row :
       {Row{&nvfp4, 9.05e-3}, Row{&nvfp4_divide, 9.05e-3}, Row{&mxfp4_rceil, 1.331e-2},
        Row{&mxfp4_floor, 1.321e-2}, Row{&fp8_deepseek_v3, 6.61e-4}}) {
    dequantize(quantize(x, kRows, kCols, *row.format), y);
    double error = 0;
    double energy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double value = static_cast<double>(x[i]);
      error += (static_cast<double>(y[i]) - value) * (static_cast<double>(y[i]) - value);
      energy += value * value;
    }
    const double mse = error / energy;
    std::printf("%-16s relative MSE %.4e, reference %.3e, %+.2f %%\n", row.format->name.data(), mse,
                row.reference, (mse / row.reference - 1) * 100);
    EXPECT_NEAR(mse / row.reference, 1.0, 0.01) << row.format->name;
  }
}

}  // namespace
}  // namespace assay::tests
