// SPDX-License-Identifier: Apache-2.0
#include "kernels/mutants/scalar_device.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"

namespace assay::kernels::mutants {
namespace {

using cpu::blocks_per_row;
using cpu::row_bytes;
using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::ScaleLayout;

constexpr float float_max = std::numeric_limits<float>::max();

std::vector<Claim> all_claims() {
  std::vector<Claim> claims;
  for (const auto layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4}) {
    for (const BlockFormat* format :
         {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil})
      for (const char* operation : {"quantize", "dequantize"}) {
        Claim& claim = claims.emplace_back();
        claim.operation = operation;
        claim.a = format;
        claim.scale_layout = layout;
      }
    for (const BlockFormat* b : {&formats::nvfp4, &formats::mxfp4_rceil})
      for (const BlockFormat* a : {b, static_cast<const BlockFormat*>(nullptr)})
        for (const formats::FormatSpec* output : {&formats::fp32, &formats::bf16}) {
          Claim& claim = claims.emplace_back();
          claim.operation = "gemm";
          claim.a = a;
          claim.b = b;
          claim.scale_layout = layout;
          claim.output = output;
        }
  }
  for (const BlockFormat* b : {&formats::nvfp4, &formats::mxfp4_rceil, &formats::article})
    for (const char* operation : {"qat_forward", "qat_backward"}) {
      Claim& claim = claims.emplace_back();
      claim.operation = operation;
      claim.b = b;
      claim.estimators = every_estimator;
    }
  for (Claim& claim : claims)
    claim.flags |=
        ASSAY_DUT_STRIDES | ASSAY_DUT_FAR_ROWS | ASSAY_DUT_ANY_PADDING | ASSAY_DUT_BATCH_INVARIANT;
  return claims;
}

/// Weights of a QAT step, each with what its estimator needs.
struct Weights {
  std::vector<WeightView> views;
  std::vector<float> w_hat;
  float tensor_scale = 1.0F;
};

class ScalarDevice final : public TypedDevice {
 public:
  ScalarDevice(std::string name, Steps steps) : name_(std::move(name)), steps_(steps) {}

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::vector<Claim> claims() const override { return all_claims(); }

  Status quantize(const Claim&, std::span<const float> x, BlockScaledTensor& out) const override {
    const std::int64_t width = out.format->block.cols;
    const std::int64_t blocks = blocks_per_row(out.cols, width);
    out.codes.assign(out.rows * row_bytes(out.cols), 0);
    out.scales.assign(cpu::scale_count(out.scale_layout, out.rows, blocks), 0);
    const bool te = out.format == &formats::nvfp4;
    const bool two_level = out.format->tensor_scale == formats::TensorScale::fp32;
    const float amax = largest(x);
    float s_enc = std::min(2688.0F / amax, float_max);
    if (amax == 0.0F) s_enc = 1.0F;
    float g = te ? 1.0F / s_enc : amax / 2688.0F;
    if (g == 0.0F) g = 1.0F;
    out.tensor_scale = two_level ? steps_.tensor_scale(g) : 1.0F;
    for (std::int64_t r = 0; r < out.rows; ++r)
      for (std::int64_t b = 0; b < blocks; ++b) {
        const std::int64_t first = b * width;
        const auto block = x.subspan(r * out.cols + first, std::min(width, out.cols - first));
        std::uint8_t& scale = out.scales[steps_.scale_index(out.scale_layout, r, b, blocks)];
        std::array<std::uint8_t, 32> codes{};
        if (steps_.keep_nan_block &&
            !std::all_of(block.begin(), block.end(), [](float v) { return std::isfinite(v); }))
          scale = two_level ? 0x7F : 0xFF;
        else
          scale = quantize_block(*out.format, block, s_enc, g, codes.data());
        for (std::size_t i = 0; i < block.size(); i += 2)
          out.codes[r * row_bytes(out.cols) + (first + i) / 2] =
              steps_.pack(codes[i], codes[i + 1]);
      }
    return Status::ok;
  }

  Status dequantize(const Claim&, const BlockScaledTensor& in,
                    std::span<float> out) const override {
    const std::vector<float> scales = scale_factors(in);
    for (std::int64_t i = 0; i < in.rows * in.cols; ++i)
      out[i] = static_cast<float>(steps_.dequantized(element(in, i), scales[i], in.tensor_scale));
    return Status::ok;
  }

  Status gemm(const Claim& claim, const GemmCall& call) const override {
    std::vector<float> a(call.m * call.k);
    if (claim.a == nullptr)
      std::transform(call.a_bf16.begin(), call.a_bf16.end(), a.begin(), steps_.decode_bf16);
    else
      a = operand(*call.a);
    const std::vector<float> b = operand(*call.b);
    for (std::int64_t i = 0; i < call.m; ++i)
      for (std::int64_t j = 0; j < call.n; ++j) {
        const std::int64_t at = i * call.n + j;
        EpilogueInput e;
        e.sum = dot(&a[i * call.k], &b[j * call.k], call.k);
        e.a_tensor_scale = claim.a == nullptr ? 1.0F : call.a->tensor_scale;
        e.b_tensor_scale = call.b->tensor_scale;
        e.alpha = call.alpha;
        e.beta = call.beta;
        e.c = call.beta == 0.0F ? 0.0F : call.c[at];
        e.bias = call.bias.empty() ? 0.0F : call.bias[j];
        call.d[at] = steps_.round_output(*claim.output, steps_.epilogue(e));
      }
    steps_.after_gemm(call);
    return Status::ok;
  }

  Status qat_forward(const Claim& claim, const QatCall& call) const override {
    const Weights weights = fake_quantize(claim, call);
    for (std::int64_t i = 0; i < call.m; ++i)
      for (std::int64_t j = 0; j < call.n; ++j) {
        const float y = dot(&call.x[i * call.k], &weights.w_hat[j * call.k], call.k);
        call.y[i * call.n + j] = call.bias.empty() ? y : y + call.bias[j];
      }
    return Status::ok;
  }

  Status qat_backward(const Claim& claim, const QatCall& call) const override {
    const Weights weights = fake_quantize(claim, call);
    const std::span<const float> w =
        steps_.quantized_weights_in_dx ? std::span<const float>(weights.w_hat) : call.w;
    for (std::int64_t i = 0; i < call.m; ++i)
      for (std::int64_t p = 0; p < call.k; ++p) {
        float sum = 0.0F;
        for (std::int64_t j = 0; j < call.n; ++j)
          sum += call.dy[i * call.n + j] * w[j * call.k + p];
        call.dx[i * call.k + p] = sum;
      }
    bias_gradient(call);
    const std::int64_t width = claim.b->block.cols;
    const std::int64_t blocks = blocks_per_row(call.k, width);
    for (std::int64_t j = 0; j < call.n; ++j)
      for (std::int64_t b = 0; b < blocks; ++b) {
        const std::int64_t last = std::min(call.k, (b + 1) * width);
        double sum = 0.0;
        for (std::int64_t p = b * width; p < last; ++p) {
          float g = 0.0F;
          for (std::int64_t i = 0; i < call.m; ++i)
            g += call.dy[i * call.n + j] * call.x[i * call.k + p];
          const WeightView& view = weights.views[j * call.k + p];
          call.dw[j * call.k + p] =
              steps_.passes(view) ? static_cast<float>(g * factor(view, g)) : 0.0F;
          const double derivative = std::isnan(view.s) ? NAN : steps_.scale_derivative(view);
          if (view.estimator != Estimator::pact || derivative != 0.0) sum += g * derivative;
        }
        const double gain =
            call.estimator == Estimator::lsq ? steps_.scale_gain(last - b * width) : 1.0;
        if (has_scale_gradient(call.estimator))
          call.dscale[j * blocks + b] = static_cast<float>(sum * weights.tensor_scale * gain);
      }
    return Status::ok;
  }

 private:
  [[nodiscard]] double factor(const WeightView& view, float g) const {
    if (view.estimator == Estimator::dge) return steps_.dge_slope(view);
    if (view.estimator != Estimator::ewgs) return 1.0;
    return 1.0 + view.parameter * steps_.ewgs_sign(view, g) * steps_.difference(view);
  }

  [[nodiscard]] float largest(std::span<const float> x) const {
    float amax = 0.0F;
    for (const float v : x)
      if (std::isfinite(v)) amax = std::max(amax, steps_.magnitude(v));
    return amax;
  }

  std::uint8_t quantize_block(const BlockFormat& format, std::span<const float> x, float s_enc,
                              float g, std::uint8_t* codes) const {
    const float amax = largest(x);
    std::uint8_t scale = 0;
    float factor = 1.0F;
    const bool te = &format == &formats::nvfp4;
    if (te) {
      scale = steps_.encode_ue4m3(std::min(amax * (s_enc * (1.0F / 6.0F)), float_max));
      factor = std::min(1.0F / (cpu::decode_ue4m3(scale) * g), float_max);
    } else if (&format == &formats::nvfp4_divide) {
      scale = steps_.encode_ue4m3(amax / 6.0F / g);
      factor = cpu::decode_ue4m3(scale) * g;
    } else {
      scale =
          &format == &formats::mxfp4_floor ? steps_.scale_floor(amax) : steps_.scale_rceil(amax);
      factor = cpu::decode_e8m0(scale);
    }
    for (std::size_t i = 0; i < x.size(); ++i)
      codes[i] = steps_.encode_element(te ? x[i] * factor : steps_.divide(x[i], factor));
    return scale;
  }

  [[nodiscard]] float element(const BlockScaledTensor& t, std::int64_t i) const {
    const std::int64_t column = i % t.cols;
    const std::uint8_t pair = t.codes[i / t.cols * row_bytes(t.cols) + column / 2];
    return steps_.decode_element(static_cast<std::uint8_t>(steps_.nibble(pair, column)));
  }

  [[nodiscard]] std::vector<float> scale_factors(const BlockScaledTensor& t) const {
    const std::int64_t width = t.format->block.cols;
    std::vector<float> out(t.rows * t.cols);
    for (std::int64_t i = 0; i < t.rows * t.cols; ++i) {
      const std::int64_t index = steps_.scale_index(t.scale_layout, i / t.cols, i % t.cols / width,
                                                    blocks_per_row(t.cols, width));
      out[i] = steps_.decode_scale(*t.format->scale, t.scales[index]);
    }
    return out;
  }

  [[nodiscard]] std::vector<float> operand(const BlockScaledTensor& t) const {
    std::vector<float> out = scale_factors(t);
    for (std::int64_t i = 0; i < t.rows * t.cols; ++i)
      out[i] = steps_.scaled(element(t, i), out[i]);
    return out;
  }

  [[nodiscard]] float dot(const float* a, const float* b, std::int64_t k) const {
    float sum = 0.0F;
    for (std::int64_t p = 0; p < steps_.last_k(k); ++p) sum = steps_.accumulate(sum, a[p] * b[p]);
    return sum;
  }

  void bias_gradient(const QatCall& call) const {
    for (std::int64_t j = 0; j < call.n; ++j) {
      float sum = 0.0F;
      if (steps_.dbias_over_rows)
        for (std::int64_t i = 0; i < call.m; ++i) sum += call.dy[i * call.n + j];
      else
        for (std::int64_t i = 0; i < call.n; ++i) sum += call.dy[j % call.m * call.n + i];
      call.dbias[j] = sum;
    }
  }

  [[nodiscard]] Weights fake_quantize(const Claim& claim, const QatCall& call) const {
    Weights out;
    out.views.resize(call.n * call.k);
    out.w_hat.resize(call.n * call.k);
    const std::int64_t width = claim.b->block.cols;
    const std::int64_t blocks = blocks_per_row(call.k, width);
    const bool learned = claim.b->rule == formats::ScaleRule::given;
    BlockScaledTensor codes;
    std::vector<float> scales;
    if (!learned) {
      codes.format = claim.b;
      codes.rows = call.n;
      codes.cols = call.k;
      static_cast<void>(quantize(claim, call.w, codes));
      scales = scale_factors(codes);
      out.tensor_scale = codes.tensor_scale;
    }
    for (std::int64_t i = 0; i < call.n * call.k; ++i) {
      const std::int64_t block = i % call.k / width;
      float scale = 0.0F;
      float q = 0.0F;
      if (learned) {
        scale = call.scales[i / call.k * blocks + block];
        for (std::int64_t p = block * width; p < std::min(call.k, (block + 1) * width); ++p)
          if (!std::isfinite(call.w[i / call.k * call.k + p])) scale = NAN;
        q = std::isnan(scale)
                ? NAN
                : steps_.decode_element(steps_.encode_element(steps_.divide(call.w[i], scale)));
      } else {
        scale = scales[i];
        q = element(codes, i);
      }
      out.w_hat[i] = static_cast<float>(steps_.dequantized(q, scale, out.tensor_scale));
      out.views[i] = {call.w[i], q, static_cast<double>(scale) * out.tensor_scale, call.estimator,
                      call.parameter};
    }
    return out;
  }

  std::string name_;
  Steps steps_;
};

}  // namespace

std::unique_ptr<TypedDevice> make_scalar_device(std::string name, Steps steps) {
  return std::make_unique<ScalarDevice>(std::move(name), steps);
}

}  // namespace assay::kernels::mutants
