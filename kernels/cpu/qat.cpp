// SPDX-License-Identifier: Apache-2.0
// The QAT step of one linear layer. The estimators and their formulas are those of
// golden/estimator.h; what is said here is how this kernel evaluates them in FP32.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cuda/qat_elements.cuh"

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

struct Weight {
  double w, q, s;

  /// The unrounded weight against the stored scale; 6 s is exact in FP64. Both are false for a NaN
  /// block.
  [[nodiscard]] bool inside() const { return std::fabs(w) <= max_element * std::fabs(s); }
  [[nodiscard]] bool strictly_inside() const { return std::fabs(w) < max_element * std::fabs(s); }
  [[nodiscard]] float u() const { return w == 0.0 ? 0.0F : static_cast<float>(w * (1.0 / s)); }
  [[nodiscard]] double clipped() const {
    return std::copysign(max_element, std::signbit(s) ? -w : w);
  }
};

bool passes(const Weight& weight, Estimator estimator, float parameter) {
  switch (estimator) {
    case Estimator::identity:
      return true;
    case Estimator::pact:
      return weight.strictly_inside();
    case Estimator::trust_mask:
      // q is next to w / s or the largest, so that FP64 holds the difference, or it is far above T
      // s.
      return std::fabs(weight.w - weight.q * weight.s) <= parameter * std::fabs(weight.s);
    default:
      return weight.inside();
  }
}

/// DGE's slope in the bin of u.
float dge_slope(float u) {
  constexpr std::array edges{0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const float magnitude = std::fabs(u);
  std::size_t bin = 0;
  while (bin + 2 < edges.size() && magnitude > edges[bin + 1]) ++bin;
  const float width = edges[bin + 1] - edges[bin];
  const float z = std::fabs(2.0F * (magnitude - edges[bin]) / width - 1.0F);
  // The cap begins at z = 0.034. The power is the GPU kernels': the same bits everywhere.
  if (z < 0x1p-5F) return 3.0F;
  return z == 1.0F ? 0.2F : std::min(3.0F, 0.2F * cuda::minus_four_fifths(z));
}

/// What the estimator makes of a gradient that passes.
float estimate(const Weight& weight, Estimator estimator, float parameter, float g) {
  if (estimator == Estimator::dge) return dge_slope(weight.u()) * g;
  if (estimator != Estimator::ewgs) return g;
  const float difference = parameter * (weight.u() - static_cast<float>(weight.q));
  const bool negative = std::signbit(g) != std::signbit(weight.s);
  return (negative ? 1.0F - difference : 1.0F + difference) * g;
}

/// G times dv/ds: lsq has q - u inside the clip range and +-6 outside, pact +-6 at the boundary and
/// outside and nothing inside.
double scale_term(const Weight& weight, Estimator estimator, float g) {
  if (estimator == Estimator::pact)
    return weight.strictly_inside() || weight.w == 0.0 ? 0.0 : g * weight.clipped();
  if (!weight.inside()) return g * weight.clipped();
  return g * (weight.s == 0.0 ? 0.0 : weight.q - weight.w * (1.0 / weight.s));
}

/// The sum of a block's terms in the order of the GPU kernels, whose lanes hold four weights each:
/// fours ascending, then these in pairs, pairs of pairs and so on.
class BlockSum {
 public:
  explicit BlockSum(std::int64_t block) : fours_((block + 3) / 4) {}
  void add(std::int64_t index, double term) { fours_[index / 4] += term; }
  [[nodiscard]] double total() {
    for (std::size_t step = 1; step < fours_.size(); step *= 2)
      for (std::size_t i = 0; i + step < fours_.size(); i += 2 * step)
        fours_[i] += fours_[i + step];
    return fours_[0];
  }

 private:
  std::vector<double> fours_;
};

/// 64 rows at a time ascending, then these sums ascending: what many threads can share.
constexpr std::int64_t sum_rows = 64;

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
    for (std::int64_t first = 0; first < call.m; first += sum_rows) {
      float part = 0.0F;
      for (std::int64_t i = first; i < std::min(first + sum_rows, call.m); ++i)
        part += call.dy[i * call.n + j];
      sum += part;
    }
    call.dbias[j] = sum;
  }
#pragma omp parallel for if (call.n * call.k > 65536)
  for (std::int64_t r = 0; r < call.n; ++r)
    for (std::int64_t b = 0; b < weights.blocks; ++b) {
      const double s = weights.scales[r * weights.blocks + b];
      const std::int64_t count = std::min(weights.block, call.k - b * weights.block);
      BlockSum sum(weights.block);
      for (std::int64_t l = 0; l < count; ++l) {
        const std::int64_t i = r * call.k + b * weights.block + l;
        const Weight weight{call.w[i], weights.q[i], s};
        call.dw[i] = passes(weight, call.estimator, call.parameter)
                         ? estimate(weight, call.estimator, call.parameter, g[i])
                         : 0.0F;
        if (has_scale_gradient(call.estimator))
          sum.add(l, scale_term(weight, call.estimator, g[i]));
      }
      if (has_scale_gradient(call.estimator)) {
        const double root = call.estimator == Estimator::lsq
                                ? std::sqrt(static_cast<double>(max_element) * count)
                                : 1.0;
        const double gain = weights.tensor_scale / root;
        call.dscale[r * weights.blocks + b] =
            std::isnan(s) ? NAN : static_cast<float>(gain * sum.total());
      }
    }
  return Status::ok;
}

}  // namespace assay::kernels::cpu
