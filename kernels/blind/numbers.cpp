// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/blind/blind.h"

namespace blind {

unsigned View::code(std::int64_t i, std::int64_t j) const {
  const std::int64_t at = index(i, j);
  if (bits == 4) return data[at / 2] >> (at % 2 * 4) & 0xF;
  unsigned code = 0;
  std::memcpy(&code, data + at * (bits / 8), bits / 8);
  return code;
}

void View::put(std::int64_t i, std::int64_t j, unsigned code) const {
  const std::int64_t at = index(i, j);
  if (bits != 4) {
    std::memcpy(data + at * (bits / 8), &code, bits / 8);
  } else if (at % 2 == 0) {
    data[at / 2] = static_cast<std::uint8_t>(code);  // clears the nibble of the next element
  } else {
    data[at / 2] = static_cast<std::uint8_t>((data[at / 2] & 0xF) | code << 4);
  }
}

float View::number(std::int64_t i, std::int64_t j) const {
  const std::uint32_t word = bf16 ? code(i, j) << 16 : code(i, j);
  float x = 0;
  std::memcpy(&x, &word, sizeof x);
  return x;
}

void View::put_number(std::int64_t i, std::int64_t j, float x) const {
  std::uint32_t word = 0;
  std::memcpy(&word, &x, sizeof x);
  put(i, j, bf16 ? to_bf16(x) : word);
}

View find(const assay_dut_call& call, std::uint32_t role, std::uint32_t part) {
  const auto among = [&](const assay_dut_tensor* tensors, std::uint32_t n) -> View {
    for (std::uint32_t i = 0; i < n; ++i) {
      const assay_dut_tensor& t = tensors[i];
      if (t.role != role || t.part != part) continue;
      View v;
      v.data = static_cast<std::uint8_t*>(t.data);
      v.rows = t.ndim > 1 ? t.shape[0] : 1;
      v.cols = t.ndim > 1 ? t.shape[1] : t.shape[0];
      v.row_stride = t.ndim > 1 ? t.strides[0] : 0;
      v.col_stride = t.ndim > 1 ? t.strides[1] : t.strides[0];
      v.bits = t.type_bits;
      v.bf16 = t.type_code == ASSAY_DUT_BFLOAT;
      v.swizzled = t.layout == ASSAY_DUT_SCALES_128X4;
      return v;
    }
    return {};
  };
  const View out = among(call.out, call.n_out);
  return out.there() ? out : among(call.in, call.n_in);
}

unsigned to_bf16(float x) {
  std::uint32_t word = 0;
  std::memcpy(&word, &x, sizeof x);
  if (std::isnan(x)) return 0x7FC0;
  return (word + 0x7FFF + (word >> 16 & 1)) >> 16;
}

float rounded_to_bf16(float x) {
  const std::uint32_t word = to_bf16(x) << 16;
  std::memcpy(&x, &word, sizeof x);
  return x;
}

/// The binary16 number next to x toward zero.
float half_toward_zero(double x) {
  if (!std::isfinite(x) || x == 0) return static_cast<float>(x);
  if (std::fabs(x) > 65504) return std::copysign(65504.0F, static_cast<float>(x));
  const int e = std::max(std::ilogb(x), -14) - 10;
  return static_cast<float>(std::ldexp(std::trunc(std::ldexp(x, -e)), e));
}

double element_value(unsigned code) {
  constexpr double magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return (code & 8U) != 0 ? -magnitudes[code & 7U] : magnitudes[code & 7U];
}

double scale_value(Format format, unsigned code) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (format != Format::nvfp4) return code == 255 ? nan : std::ldexp(1.0, int(code) - 127);
  code &= 0x7FU;
  if (code == 0x7F) return nan;
  const int exponent = static_cast<int>(code >> 3);
  const int fraction = static_cast<int>(code & 7U);
  return exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
}

}  // namespace blind
