// SPDX-License-Identifier: Apache-2.0
// The QAT step of one linear layer. The estimators and their formulas are those of golden/qat.h;
// what is said here is how this kernel evaluates them in FP32.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"

namespace assay::kernels::cpu {
namespace {

constexpr float max_element = 6.0F;

/// The weights that multiply, and per block what the estimators need.
struct FakeQuantized {
  std::vector<float> w_hat;    ///< n x k: code value * scale * tensor scale, rounded once to FP32
  std::vector<float> q;        ///< n x k: code values
  std::vector<double> scales;  ///< n x blocks: stored scale * tensor scale; exact in FP64
  float tensor_scale = 1.0F;
  std::int64_t block = 0, blocks = 0;
};

FakeQuantized from_learned(const QatCall& call, const formats::BlockFormat& format) {
  FakeQuantized out;
  out.block = format.block.cols;
  out.blocks = blocks_per_row(call.k, out.block);
  out.w_hat.resize(call.n * call.k);
  out.q.resize(call.n * call.k);
  out.scales.assign(call.scales.begin(), call.scales.end());
#pragma omp parallel for if (call.n * call.k > 65536)
  for (std::int64_t r = 0; r < call.n; ++r)
    for (std::int64_t b = 0; b < out.blocks; ++b) {
      const std::int64_t first = r * call.k + b * out.block;
      const std::int64_t count = std::min(out.block, call.k - b * out.block);
      const float* w = &call.w[first];
      float scale = call.scales[r * out.blocks + b];
      // A block with a NaN or an infinity stores the NaN scale and is NaN throughout.
      if (!std::all_of(w, w + count, [](float x) { return std::isfinite(x); })) scale = NAN;
      out.scales[r * out.blocks + b] = scale;
      for (std::int64_t i = 0; i < count; ++i) {
        const float u = scale == 0.0F ? 0.0F : w[i] / scale;
        out.q[first + i] = std::isnan(scale) ? NAN : e2m1_values[encode_e2m1(u)];
        out.w_hat[first + i] = out.q[first + i] * scale;
      }
    }
  return out;
}

FakeQuantized from_amax(const QatCall& call, const formats::BlockFormat& format) {
  formats::BlockScaledTensor codes;
  codes.format = &format;
  codes.rows = call.n;
  codes.cols = call.k;
  quantize(call.w, codes);
  FakeQuantized out;
  out.block = format.block.cols;
  out.blocks = blocks_per_row(call.k, out.block);
  out.tensor_scale = codes.tensor_scale;
  out.w_hat.resize(call.n * call.k);
  dequantize(codes, out.w_hat);
  out.q = decode_elements(codes);
  out.scales.resize(codes.scales.size());
  for (std::size_t i = 0; i < out.scales.size(); ++i)
    out.scales[i] = (format.scale == &formats::e8m0 ? decode_e8m0(codes.scales[i])
                                                    : decode_ue4m3(codes.scales[i])) *
                    static_cast<double>(codes.tensor_scale);
  return out;
}

FakeQuantized fake_quantize(const Claim& claim, const QatCall& call) {
  return claim.b->rule == formats::ScaleRule::given ? from_learned(call, *claim.b)
                                                    : from_amax(call, *claim.b);
}

std::vector<float> transpose(std::span<const float> x, std::int64_t rows, std::int64_t cols) {
  std::vector<float> out(x.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) out[c * rows + r] = x[r * cols + c];
  return out;
}

/// dv/ds of one weight for the learned-scale estimator: q - u inside the clip range, +-6 outside.
double scale_derivative(double w, double q, double s, bool inside) {
  if (!inside) return std::copysign(max_element, std::signbit(s) ? -w : w);
  return s == 0.0 ? 0.0 : q - w / s;
}

}  // namespace

Status qat_forward(const Claim& claim, const QatCall& call) {
  const FakeQuantized weights = fake_quantize(claim, call);
  const std::vector<float> product = multiply(call.x, weights.w_hat, call.m, call.n, call.k);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      const float y = product[i * call.n + j];
      call.y[i * call.n + j] = call.bias.empty() ? y : y + call.bias[j];
    }
  return Status::ok;
}

Status qat_backward(const Claim& claim, const QatCall& call) {
  const FakeQuantized weights = fake_quantize(claim, call);
  const std::vector<float> dy_t = transpose(call.dy, call.m, call.n);
  const std::vector<float> dx =
      multiply(call.dy, transpose(weights.w_hat, call.n, call.k), call.m, call.k, call.n);
  const std::vector<float> g =
      multiply(dy_t, transpose(call.x, call.m, call.k), call.n, call.k, call.m);
  std::copy(dx.begin(), dx.end(), call.dx.begin());
  for (std::int64_t j = 0; j < call.n; ++j) {
    float sum = 0.0F;
    for (std::int64_t i = 0; i < call.m; ++i) sum += call.dy[i * call.n + j];
    call.dbias[j] = sum;
  }
#pragma omp parallel for if (call.n * call.k > 65536)
  for (std::int64_t r = 0; r < call.n; ++r)
    for (std::int64_t b = 0; b < weights.blocks; ++b) {
      const double s = weights.scales[r * weights.blocks + b];
      const std::int64_t count = std::min(weights.block, call.k - b * weights.block);
      double sum = 0.0;
      for (std::int64_t l = 0; l < count; ++l) {
        const std::int64_t i = r * call.k + b * weights.block + l;
        // The unrounded weight against the stored scale; 6 s is exact in FP64. False for a NaN
        // block.
        const bool inside = std::fabs(static_cast<double>(call.w[i])) <= max_element * std::fabs(s);
        const bool passes = inside || call.estimator == Estimator::identity;
        call.dw[i] = passes ? g[i] : 0.0F;
        if (call.estimator == Estimator::lsq)
          sum += g[i] * scale_derivative(call.w[i], weights.q[i], s, inside);
      }
      if (call.estimator == Estimator::lsq) {
        const double gain =
            weights.tensor_scale / std::sqrt(static_cast<double>(max_element) * count);
        call.dscale[r * weights.blocks + b] = std::isnan(s) ? NAN : static_cast<float>(gain * sum);
      }
    }
  return Status::ok;
}

}  // namespace assay::kernels::cpu
