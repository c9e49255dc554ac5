// SPDX-License-Identifier: Apache-2.0
#pragma once
// Steps of matrix units for whole products on a GPU: 8-bit inputs without block scales (`fused`),
// and FP4 with them (`grouped`). What a kernel does per output and per product; the same code on
// the host is held against dot() (simulator/mma/dot.h) by test.
//
// The fused sum in floating point. The product p of two elements is exact in T, and so is c. With
// C = 2^(e_max - F + t), t the fraction bits of T, and the sign of p on C,
//   fma(a, b, C) rounded toward zero - C
// is p truncated toward zero to a multiple of 2^(e_max - F): |p| < 2^(e_max + 2) <= C for
// F + 2 <= t, so that the sum lies in [C, 2 C] where that is the distance of two numbers. Adding
// L + 1 such terms stays exact while (L + 1) 2^(F + 2) <= 2^(t + 1): FP32 for F = 13, FP64 for
// F = 25.

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "formats/host_device.h"
#include "simulator/mma/model.h"
#include "simulator/mma/unit.h"

namespace assay::simulator {

struct DeviceMma {
  MmaUnit unit;
  bool grouped = false;
  bool wide = false;    ///< `fused`: FP64
  UnitFormat scale{};   ///< `grouped`
  int scale_block = 0;  ///< likewise
  int left = 0;         ///< likewise: from a term's last bit to F
};
/// 8-bit formats and steps of 16 or 32 for `fused`, steps of 64 for `grouped`.
[[nodiscard]] bool has_device_mma(const MmaModel& model);
[[nodiscard]] DeviceMma device_mma_of(const MmaModel& model);

/// Codes a chunk of k, a multiple of every step.
constexpr int device_fused_chunk = 32, device_grouped_chunk = 64;

/// Of zero elements: below every sum of others, and sums of two within 16 bits.
constexpr int device_zero_exponent = -1000;
/// Above, results may be infinite and C is no FP32 number: dot() takes the output.
constexpr int device_highest_exponent = 100;

ASSAY_HOST_DEVICE inline int device_leading_zeros(std::uint64_t x) {
#ifdef __CUDA_ARCH__
  return __clzll(static_cast<long long>(x));
#else
  return std::countl_zero(x);
#endif
}

template <class T>
ASSAY_HOST_DEVICE inline T device_power(int e) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, float>)
    return __int_as_float((e + 127) << 23);
  else
    return __hiloint2double((e + 1023) << 20, 0);
#else
  if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<float>((e + 127) << 23);
  else
    return std::bit_cast<double>(static_cast<std::int64_t>(e + 1023) << 52);
#endif
}

/// a b + c toward zero, for products that are exact in T.
template <class T>
ASSAY_HOST_DEVICE inline T device_fma_toward_zero(T a, T b, T c) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, float>)
    return __fmaf_rz(a, b, c);
  else
    return __fma_rz(a, b, c);
#else
  // The rounded sum and its error (Knuth's two-sum): one number nearer to zero where the rounding
  // went away from it.
  using Bits = std::conditional_t<std::is_same_v<T, float>, std::uint32_t, std::uint64_t>;
  const T p = a * b;
  const T sum = p + c;
  const T of_c = sum - p;
  const T error = (p - (sum - of_c)) + (c - of_c);
  const bool away = error != 0 && (error < 0) == (sum > 0);
  return away ? std::bit_cast<T>(std::bit_cast<Bits>(sum) - 1) : sum;
#endif
}

/// The sign bit of x, where a 32-bit word of it has that.
template <class T>
ASSAY_HOST_DEVICE inline std::uint32_t device_sign(T x) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, float>)
    return __float_as_uint(x) & 0x80000000U;
  else
    return static_cast<std::uint32_t>(__double2hiint(x)) & 0x80000000U;
#else
  return std::signbit(x) ? 0x80000000U : 0;
#endif
}

/// C > 0 with the sign of a product whose factors have these.
template <class T>
ASSAY_HOST_DEVICE inline T device_signed(T c, std::uint32_t sign_a, std::uint32_t sign_b) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, float>)
    return __uint_as_float(__float_as_uint(c) ^ sign_a ^ sign_b);
  else  // a power of two: the low word is zero
    return __hiloint2double(
        static_cast<int>(static_cast<std::uint32_t>(__double2hiint(c)) ^ sign_a ^ sign_b), 0);
#else
  return sign_a != sign_b ? -c : c;
#endif
}

/// a b truncated toward zero to a multiple of C's last bit.
template <class T>
ASSAY_HOST_DEVICE inline T device_truncated(T a, std::uint32_t sign_a, T b, std::uint32_t sign_b,
                                            T c) {
  const T with_sign = device_signed(c, sign_a, sign_b);
  return device_fma_toward_zero(a, b, with_sign) - with_sign;
}
template <class T>
ASSAY_HOST_DEVICE inline T device_truncated(T a, T b, T c) {
  return device_truncated(a, device_sign(a), b, device_sign(b), c);
}

/// An element as a kernel keeps it.
template <class T>
struct DeviceElement {
  T value;
  int exponent;  ///< of the encoding; device_zero_exponent for zero
  bool special;  ///< NaN or infinite: dot() takes the output
};
template <class T>
ASSAY_HOST_DEVICE inline DeviceElement<T> device_read(const UnitFormat& f, std::uint32_t code) {
  const UnitTerm t = unit_read(f, code);
  const T magnitude = static_cast<T>(t.significand) * device_power<T>(t.exponent - t.fraction_bits);
  return {magnitude, t.significand == 0 ? device_zero_exponent : t.exponent, t.kind != 0};
}

/// The accumulator before a step: its value and exponent. `special`: dot() takes the output.
template <class T>
ASSAY_HOST_DEVICE inline DeviceElement<T> device_accumulator(const UnitFormat& d,
                                                             std::uint32_t code) {
  if (d.mantissa_bits == 10) return device_read<T>(d, code);
  const int field = static_cast<int>(code >> 23 & 0xFF);
#ifdef __CUDA_ARCH__
  const float value = __uint_as_float(code);
#else
  const float value = std::bit_cast<float>(code);
#endif
  const bool zero = (code & 0x7FFFFFFFU) == 0;
  return {static_cast<T>(value), zero ? device_zero_exponent : (field == 0 ? 1 : field) - 127,
          field == 0xFF};
}

/// e_max of a step, from that of the products and c.
ASSAY_HOST_DEVICE inline int device_e_max(const MmaUnit& u, int of_products, bool zero_product,
                                          int of_c) {
  int e = of_products > of_c ? of_products : of_c;
  if ((zero_product || of_c == device_zero_exponent || u.zero_is_floor) && e < u.zero_exponent)
    e = u.zero_exponent;
  return e;
}

template <class T>
ASSAY_HOST_DEVICE inline T device_constant(const MmaUnit& u, int e_max) {
  return device_power<T>(e_max - u.fraction_bits + (std::is_same_v<T, float> ? 23 : 52));
}

/// magnitude * 2^unit in D's format, for 0 < magnitude < 2^63.
ASSAY_HOST_DEVICE inline std::uint32_t device_convert(const MmaUnit& u, std::int64_t sum,
                                                      int unit) {
  if (sum == 0) return 0;
  const UnitFormat& d = u.d;
  const std::uint32_t sign = sum < 0 ? 1U << (d.mantissa_bits + d.exponent_bits) : 0;
  const auto magnitude = static_cast<std::uint64_t>(sum < 0 ? -sum : sum);
  const int smallest = 1 - d.bias;
  int exponent = 63 - device_leading_zeros(magnitude) + unit;
  if (exponent < smallest) exponent = smallest;
  const int shift = exponent - u.kept_bits - unit;
  std::uint64_t kept = 0;
  if (shift <= 0) {
    kept = magnitude << -shift;
  } else if (shift < 64) {
    kept = magnitude >> shift;
    const std::uint64_t half = std::uint64_t{1} << (shift - 1);
    const std::uint64_t rest = magnitude & (half | (half - 1));
    if (u.nearest && (rest > half || (rest == half && (kept & 1) != 0))) ++kept;
  }
  if (kept == 0 && !u.signed_underflow) return 0;
  const std::uint32_t infinity = ((1U << d.exponent_bits) - 1) << d.mantissa_bits;
  if (exponent > d.bias) return sign | infinity;
  // A carry into the next binade adds one to the exponent field: as it must, to infinity too.
  return sign | ((static_cast<std::uint32_t>(exponent - smallest) << d.mantissa_bits) +
                 static_cast<std::uint32_t>(kept << (d.mantissa_bits - u.kept_bits)));
}

/// The sum of the truncated terms in D's format.
template <class T>
ASSAY_HOST_DEVICE inline std::uint32_t device_converted(const MmaUnit& u, T sum, int e_max) {
  if constexpr (std::is_same_v<T, float>) {
    if (u.d.mantissa_bits == 23) {  // truncation of FP32's own bits
      if (sum == 0) return 0;
#ifdef __CUDA_ARCH__
      const std::uint32_t bits = __float_as_uint(sum);
#else
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(sum);
#endif
      const std::uint32_t kept = bits & ~((1U << (23 - u.kept_bits)) - 1);
      return (kept & 0x7FFFFFFFU) == 0 && !u.signed_underflow ? 0 : kept;
    }
  }
  // Exact: at most 2^33 units of 2^(e_max - F), which T holds. The power is taken in two parts
  // where it is beyond FP32's range.
  const int unit = e_max - u.fraction_bits;
  const int half = unit / 2;
  const T scaled = sum * device_power<T>(-half) * device_power<T>(half - unit);
  return device_convert(u, static_cast<std::int64_t>(scaled), unit);
}

/// A scale factor: its sign bit does not count. Without mantissa bits (ue8m0) it is never
/// subnormal.
struct DeviceScale {
  std::int32_t significand, exponent;
  bool nan;
};
ASSAY_HOST_DEVICE inline DeviceScale device_scale(const UnitFormat& f, std::uint32_t code) {
  const std::uint32_t mantissa = code & ((1U << f.mantissa_bits) - 1);
  const std::uint32_t top = (1U << f.exponent_bits) - 1;
  const std::uint32_t field = code >> f.mantissa_bits & top;
  const bool subnormal = f.mantissa_bits != 0 && field == 0;
  return {static_cast<std::int32_t>(mantissa | (subnormal ? 0U : 1U << f.mantissa_bits)),
          static_cast<std::int32_t>(subnormal ? 1 : field) - f.bias,
          f.all_ones_nan && field == top && mantissa == (1U << f.mantissa_bits) - 1};
}

/// A group of 16 FP4 products with its scales: what a `grouped` step adds.
struct DeviceGroup {
  std::int32_t sum;  ///< of the products, in units of the smallest one
  bool zero;         ///< every product is zero
};

/// Four signed bytes each.
ASSAY_HOST_DEVICE inline std::int32_t device_dot4(std::uint32_t a, std::uint32_t b,
                                                  std::int32_t c) {
#if defined(__CUDA_ARCH__)
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
#else
  for (int i = 0; i < 32; i += 8)
    c += static_cast<std::int8_t>(a >> i) * static_cast<std::int8_t>(b >> i);
  return c;
#endif
}

/// Twice an E2M1 value, as a byte.
ASSAY_HOST_DEVICE inline std::uint32_t device_e2m1(std::uint32_t code) {
  const std::uint32_t field = code >> 1 & 3U;
  const std::uint32_t magnitude = field == 0 ? code & 1U : (2U | (code & 1U)) << (field - 1);
  return ((code & 8U) != 0 ? 0U - magnitude : magnitude) & 0xFFU;
}

/// Four groups and c. `scale[g]` is the product of a group's two scale significands, `exponent[g]`
/// the sum of their exponents. False: dot() takes the output.
ASSAY_HOST_DEVICE inline bool device_grouped_step(const DeviceMma& m, const DeviceGroup* group,
                                                  const std::int32_t* scale,
                                                  const std::int32_t* exponent,
                                                  std::uint32_t& code) {
  const MmaUnit& u = m.unit;
  const UnitTerm c = unit_read(u.d, code);
  if (c.kind != 0) return false;
  const bool c_zero = c.significand == 0;
  int e_max = c_zero || u.zero_is_floor ? u.zero_exponent : c.exponent;
  if (!c_zero && c.exponent > e_max) e_max = c.exponent;
  for (int g = 0; g < 4; ++g) {
    const bool zero = group[g].zero || scale[g] == 0;
    const int e = zero ? u.zero_exponent : exponent[g];
    if (e > e_max) e_max = e;
  }
  const int unit = e_max - u.fraction_bits;
  std::int64_t sum = unit_aligned(c, unit);
  for (int g = 0; g < 4; ++g) {
    const std::int64_t term = std::int64_t{group[g].sum} * scale[g];
    const int right = e_max - exponent[g];
    const std::int64_t magnitude = (term < 0 ? -term : term) << m.left;
    const std::int64_t kept = magnitude == 0 || right > 63 ? 0 : magnitude >> right;
    sum += term < 0 ? -kept : kept;
  }
  code = device_convert(u, sum, unit);
  return true;
}

}  // namespace assay::simulator
