// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/blind/blind.h"

namespace blind {
namespace {

double decoded_scale(Format format, unsigned code, Fault fault) {
  if (format == Format::nvfp4) {
    code &= 0x7FU;
    if (fault == Fault::nan_scale_is_480 && code == 0x7F) return 480;
    if (fault == Fault::subnormal_scale_as_normal && code != 0 && code < 8)
      return std::ldexp(8 + code, -10);
  } else if (fault == Fault::smallest_scale_is_zero && code == 0) {
    return 0;
  }
  return scale_value(format, code);
}

double decoded_element(unsigned code, Fault fault) {
  return fault == Fault::code_15_is_minus_four && code == 15 ? -4 : element_value(code);
}

/// At most 6 + 24 significant bits: exact in double, so the conversion is the one rounding.
float value(Format format, unsigned element, unsigned scale, float tensor, Fault fault) {
  const double e = decoded_element(element, fault);
  const double s = decoded_scale(format, scale, fault);
  if (fault == Fault::scales_multiplied_first)
    return static_cast<float>(e) * (static_cast<float>(s) * tensor);
  return static_cast<float>(e * s * tensor);
}

}  // namespace

float dequantized(Format format, const Codes& q, std::int64_t i, std::int64_t j, Fault fault) {
  return value(format, q.elements[i * q.cols + j], q.scales[i * q.blocks + j / block_of(format)],
               q.tensor_scale, fault);
}

std::int32_t run_dequantize(Format format, const assay_dut_call& call, Fault fault) {
  const View values = find(call, ASSAY_DUT_Q);
  const View scales = find(call, ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  const View tensor = find(call, ASSAY_DUT_Q, ASSAY_DUT_TENSOR_SCALE);
  const View x = find(call, ASSAY_DUT_X);
  const float g = tensor.there() ? tensor.number(0, 0) : 1;
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j)
      x.put_number(
          i, j, value(format, values.code(i, j), scales.code(i, j / block_of(format)), g, fault));
  return ASSAY_DUT_OK;
}

}  // namespace blind
