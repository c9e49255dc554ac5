// SPDX-License-Identifier: Apache-2.0
// The steps as they should be.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/mutants/scalar_device.h"

namespace assay::kernels::mutants {

Steps right_steps() {
  Steps s{};
  s.magnitude = [](float x) { return std::fabs(x); };
  s.encode_element = cpu::encode_e2m1;
  s.encode_ue4m3 = cpu::encode_ue4m3;
  s.scale_floor = cpu::scale_floor;
  s.scale_rceil = cpu::scale_rceil;
  s.divide = [](float x, float scale) { return scale == 0.0F ? 0.0F : x / scale; };
  s.tensor_scale = [](float g) { return g; };
  s.keep_nan_block = true;
  s.pack = [](std::uint8_t even, std::uint8_t odd) {
    return static_cast<std::uint8_t>(even | (odd << 4));
  };
  s.scale_index = cpu::scale_index;
  s.decode_element = [](std::uint8_t code) { return cpu::e2m1_values[code]; };
  s.decode_scale = [](const formats::FormatSpec& format, std::uint8_t code) {
    return &format == &formats::e8m0 ? cpu::decode_e8m0(code) : cpu::decode_ue4m3(code);
  };
  s.dequantized = [](float element, float scale, float tensor_scale) {
    return static_cast<double>(element) * scale * tensor_scale;
  };
  s.nibble = [](std::uint8_t pair, std::int64_t column) {
    return column % 2 == 0 ? pair & 15 : pair >> 4;
  };
  s.decode_bf16 = cpu::decode_bf16;
  s.last_k = [](std::int64_t k) { return k; };
  s.scaled = [](float element, float scale) { return element * scale; };
  s.accumulate = [](float sum, float product) { return sum + product; };
  s.epilogue = [](const EpilogueInput& e) {
    float d = e.sum * (e.alpha * e.a_tensor_scale * e.b_tensor_scale);
    if (e.beta != 0.0F) d += e.beta * e.c;
    return d + e.bias;
  };
  s.round_output = [](const formats::FormatSpec& output, float x) {
    return &output == &formats::bf16 ? cpu::round_to_bf16(x) : x;
  };
  s.after_gemm = [](const GemmCall&) {};
  s.passes = [](const WeightView& v) {
    if (v.estimator == Estimator::pact) return std::fabs(v.w) < 6.0 * std::fabs(v.s);
    if (v.estimator == Estimator::trust_mask)
      return std::fabs(v.w - v.q * v.s) <= v.parameter * std::fabs(v.s);
    return v.estimator == Estimator::identity || std::fabs(v.w) <= 6.0 * std::fabs(v.s);
  };
  s.difference = [](const WeightView& v) { return v.w == 0.0 ? 0.0 : v.w / v.s - v.q; };
  s.ewgs_sign = [](const WeightView& v, double g) {
    return std::signbit(g) != std::signbit(v.s) ? -1.0 : 1.0;
  };
  s.dge_slope = [](const WeightView& v) {
    const double u = v.w == 0.0 ? 0.0 : std::fabs(v.w / v.s);
    const double width = u <= 2.0 ? 0.5 : u <= 4.0 ? 1.0 : 2.0;
    const double t = u - std::floor(u / width) * width;
    return std::min(3.0, 0.2 * std::pow(std::fabs(2.0 * t / width - 1.0), -0.8));
  };
  s.scale_derivative = [](const WeightView& v) {
    if (v.estimator == Estimator::pact && (std::fabs(v.w) < 6.0 * std::fabs(v.s) || v.w == 0.0))
      return 0.0;
    if (v.estimator == Estimator::pact || std::fabs(v.w) > 6.0 * std::fabs(v.s))
      return std::copysign(6.0, std::signbit(v.s) ? -v.w : v.w);
    return v.s == 0.0 ? 0.0 : v.q - v.w / v.s;
  };
  s.quantized_weights_in_dx = true;
  s.dbias_over_rows = true;
  s.scale_gain = [](std::int64_t count) {
    return 1.0 / std::sqrt(6.0 * static_cast<double>(count));
  };
  return s;
}

}  // namespace assay::kernels::mutants
