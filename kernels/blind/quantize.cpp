// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "kernels/blind/blind.h"

namespace blind {
namespace {

unsigned encode_element(double x, Fault fault) {
  constexpr double midpoints[] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5};
  constexpr double steps[] = {0.5, 1, 1.5, 2, 3, 4, 6};
  const double size = std::fabs(x);
  unsigned code = 0;
  for (unsigned c = 0; c < 7; ++c) {
    bool up = size > midpoints[c] || (size == midpoints[c] && c % 2 == 1);
    if (fault == Fault::tie_after_two_goes_up) up |= size == 2.5;
    if (fault == Fault::weights_toward_zero) up = size >= steps[c];
    if (up) code = c + 1;
  }
  const bool negative = std::signbit(x) && !(fault == Fault::minus_zero_lost && code == 0);
  return negative ? code | 8U : code;
}

/// Nearest, ties to even, saturating; x >= 0.
unsigned encode_ue4m3(float x, Fault fault) {
  unsigned best = 0;
  for (unsigned c = 1; c < 0x7F; ++c) {
    const double middle = (scale_value(Format::nvfp4, c - 1) + scale_value(Format::nvfp4, c)) / 2;
    if (x > middle || (x == middle && c % 2 == 0)) best = c;
  }
  return fault == Fault::subnormal_scale_flushed && best < 8 ? 0 : best;
}

unsigned encode_e8m0(Format format, float amax, Fault fault) {
  if (amax == 0) return 0;
  int exponent = 0;
  if (format == Format::mxfp4_floor) {
    exponent = std::ilogb(static_cast<double>(amax)) - 2;
    // A logarithm in single precision reaches the next integer a little early.
    if (fault == Fault::scale_off_by_one_at_power)
      exponent = static_cast<int>(std::floor(std::log2(amax))) - 2;
  } else {
    double sixth = static_cast<double>(amax) / 6;
    if (fault == Fault::amax_through_bf16) sixth = static_cast<double>(rounded_to_bf16(amax)) / 6;
    if (sixth == 0) return 0;
    exponent = std::ilogb(sixth);
    if (std::ldexp(1.0, exponent) < sixth) ++exponent;
  }
  return static_cast<unsigned>(std::clamp(exponent + 127, 0, 254));
}

struct TensorFactors {
  float encode = 1, sixth = 1;
};

float input(const View& x, std::int64_t i, std::int64_t j, Fault fault) {
  const float v = x.number(i, j);
  return fault == Fault::denormal_inputs_are_zero && std::fabs(v) < FLT_MIN ? std::copysign(0.0F, v)
                                                                            : v;
}

TensorFactors tensor_factors(const View& x, Codes& q, Fault fault) {
  float amax = 0;
  const std::int64_t cols =
      fault == Fault::tensor_amax_of_64_columns ? std::min<std::int64_t>(64, x.cols) : x.cols;
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j)
      if (std::isfinite(x.number(i, j))) amax = std::max(amax, std::fabs(x.number(i, j)));
  TensorFactors f;
  if (amax != 0) f.encode = std::min(2688.0F / amax, FLT_MAX);
  if (f.encode == 0) f.encode = 1;
  f.sixth = f.encode * (1.0F / 6.0F);
  q.tensor_scale = 1.0F / f.encode;
  return f;
}

void quantize_block(Format format, const View& x, Codes& q, const TensorFactors& factors,
                    std::int64_t i, std::int64_t b, Fault fault) {
  const std::int64_t first = b * block_of(format);
  const std::int64_t last = std::min(x.cols, first + block_of(format));
  float amax = 0;
  bool bad = false;
  for (std::int64_t j = first; j < last; ++j) {
    const float v = input(x, i, j, fault);
    if (!std::isfinite(v)) {
      bad |= fault != Fault::nan_is_a_number || !std::isnan(v);
    } else if (fault != Fault::amax_skips_last || j + 1 < first + block_of(format)) {
      amax = std::max(amax, std::fabs(v));
    }
  }
  std::uint8_t& scale = q.scales[i * q.blocks + b];
  if (bad) {
    scale = format == Format::nvfp4 ? 0x7F : 0xFF;
    return;
  }
  double factor = 1;  // what an element is multiplied by
  if (format == Format::nvfp4) {
    const float wanted = std::min(amax * factors.sixth, FLT_MAX);
    scale = static_cast<std::uint8_t>(encode_ue4m3(wanted, fault));
    const float kept = fault == Fault::scale_not_stored_one
                           ? wanted
                           : static_cast<float>(scale_value(format, scale));
    factor = std::min(1.0F / (kept * q.tensor_scale), FLT_MAX);
  } else {
    scale = static_cast<std::uint8_t>(encode_e8m0(format, amax, fault));
    if (fault == Fault::tail_block_keeps_scale && last - first < block_of(format) && b > 0)
      scale = q.scales[i * q.blocks + b - 1];
    factor = 1 / scale_value(format, scale);
  }
  for (std::int64_t j = first; j < last; ++j) {
    float v = input(x, i, j, fault);
    if (std::isnan(v)) v = 0;
    double scaled = v * factor;
    if (format == Format::nvfp4) scaled = v * static_cast<float>(factor);
    if (fault == Fault::element_through_half) scaled = half_toward_zero(scaled);
    q.elements[i * x.cols + j] = static_cast<std::uint8_t>(encode_element(scaled, fault));
  }
}

}  // namespace

Codes quantize(Format format, const View& x, Fault fault) {
  Codes q;
  q.rows = x.rows;
  q.cols = x.cols;
  q.blocks = (x.cols + block_of(format) - 1) / block_of(format);
  q.elements.assign(q.rows * q.cols, 0);
  q.scales.assign(q.rows * q.blocks, 0);
  TensorFactors factors;
  if (format == Format::nvfp4) factors = tensor_factors(x, q, fault);
  for (std::int64_t i = 0; i < q.rows; ++i)
    for (std::int64_t b = 0; b < q.blocks; ++b) quantize_block(format, x, q, factors, i, b, fault);
  return q;
}

std::int32_t run_quantize(Format format, const assay_dut_call& call, Fault fault) {
  const View x = find(call, ASSAY_DUT_X);
  const View values = find(call, ASSAY_DUT_Q);
  View scales = find(call, ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  const View tensor = find(call, ASSAY_DUT_Q, ASSAY_DUT_TENSOR_SCALE);
  const Codes q = quantize(format, x, fault);
  for (std::int64_t i = 0; i < q.rows; ++i)
    for (std::int64_t j = 0; j < q.cols; ++j) {
      // Swapping within the pair; an odd last column has no partner.
      const bool swap =
          fault == Fault::nibbles_swapped_in_odd_rows && i % 2 == 1 && (j | 1) < q.cols;
      values.put(i, j, q.elements[i * q.cols + (swap ? j ^ 1 : j)]);
    }
  if (scales.swizzled)
    std::fill_n(scales.data, (q.rows + 127) / 128 * 128 * ((q.blocks + 3) / 4 * 4), 0);
  for (std::int64_t i = 0; i < q.rows; ++i)
    for (std::int64_t b = 0; b < q.blocks; ++b) {
      std::int64_t row = i;
      if (fault == Fault::rows_within_tile_transposed)
        row = i / 128 * 128 + i % 4 * 32 + i % 128 / 4;
      scales.put(row, b, q.scales[i * q.blocks + b]);
    }
  if (tensor.there())
    tensor.put_number(0, 0,
                      fault == Fault::tensor_scale_inverted ? 1 / q.tensor_scale : q.tensor_scale);
  return ASSAY_DUT_OK;
}

}  // namespace blind
