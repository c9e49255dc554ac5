// SPDX-License-Identifier: Apache-2.0
#include <cfloat>
#include <cmath>
#include <cstring>

#include "kernels/blind/blind.h"

namespace blind {
namespace {

struct Operands {
  Format format;
  View a, a_scales, b, b_scales;
  Fault fault;

  [[nodiscard]] float left(std::int64_t i, std::int64_t l) const {
    if (fault == Fault::second_row_tile_repeats && i >= 16) i -= 16;
    if (a_scales.there())
      return static_cast<float>(element_value(a.code(i, l)) *
                                scale_value(format, a_scales.code(i, l / block_of(format))));
    const float x = a.number(i, l);
    return fault == Fault::denormal_activation_is_zero && std::fabs(x) < FLT_MIN ? 0.0F : x;
  }
  [[nodiscard]] float right(std::int64_t j, std::int64_t l) const {
    std::int64_t row = j, block = l / block_of(format);
    if (fault == Fault::b_scale_row_before && j % 2 == 1) --row;
    if (fault == Fault::odd_scale_block_from_left) block = block / 2 * 2;
    const unsigned code = b_scales.code(row, block);
    double scale = scale_value(format, code);
    if (fault == Fault::scale_exponent_signed && code >= 128 && code != 255)
      scale = std::ldexp(1.0, static_cast<int>(code) - 256);
    return static_cast<float>(element_value(b.code(j, l)) * scale);
  }
};

float dot(const Operands& o, std::int64_t i, std::int64_t j, std::int64_t k) {
  constexpr std::int64_t tile = 64;
  std::int64_t end = k;
  if (o.fault == Fault::k_tail_skipped && k > tile) end = k / tile * tile;
  if (o.fault == Fault::last_odd_k_dropped) end = k / 2 * 2;
  float sum = 0;
  for (std::int64_t first = 0; first < end; first += tile) {
    float part = 0;
    for (std::int64_t l = first; l < end && l < first + tile; ++l)
      part += o.left(i, l) * o.right(j, l);
    sum += part;
    if (o.fault == Fault::bf16_between_tiles && first + tile < end) sum = rounded_to_bf16(sum);
  }
  return sum;
}

float tensor_scale(const assay_dut_call& call, std::uint32_t role) {
  const View v = find(call, role, ASSAY_DUT_TENSOR_SCALE);
  return v.there() ? v.number(0, 0) : 1.0F;
}

}  // namespace

std::int32_t run_gemm(Format format, const assay_dut_call& call, Fault fault) {
  const Operands o{format,
                   find(call, ASSAY_DUT_A),
                   find(call, ASSAY_DUT_A, ASSAY_DUT_SCALES),
                   find(call, ASSAY_DUT_B),
                   find(call, ASSAY_DUT_B, ASSAY_DUT_SCALES),
                   fault};
  View c = find(call, ASSAY_DUT_C);
  const View bias = find(call, ASSAY_DUT_BIAS);
  const View d = find(call, ASSAY_DUT_D);
  if (fault == Fault::c_rows_dense) c.row_stride = c.cols;
  const float ga = tensor_scale(call, ASSAY_DUT_A);
  float gb = tensor_scale(call, ASSAY_DUT_B);
  if (fault == Fault::b_tensor_scale_forgotten) gb = 1;
  float scale = call.alpha * ga * gb;
  if (fault == Fault::tensor_scales_in_half) scale = half_toward_zero(scale);
  float beta = call.beta;
  if (fault == Fault::beta_is_a_flag && beta != 0) beta = 1;
  if (fault == Fault::alpha_on_everything) beta *= call.alpha;
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      float x = dot(o, i, j, call.k) * scale;
      if (call.beta != 0 && c.there()) x += beta * c.number(i, j);
      if (bias.there()) x += bias.number(0, fault == Fault::bias_by_row ? i % call.n : j);
      if (fault == Fault::nan_becomes_zero && std::isnan(x)) x = 0;
      std::uint32_t word = 0;
      std::memcpy(&word, &x, sizeof x);
      if (fault == Fault::bf16_truncated && !std::isnan(x))
        d.put(i, j, word >> 16);
      else
        d.put_number(i, j, x);
    }
  return ASSAY_DUT_OK;
}

}  // namespace blind
