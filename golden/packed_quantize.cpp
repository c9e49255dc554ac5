// SPDX-License-Identifier: Apache-2.0
#include "golden/packed_quantize.h"

#include <array>
#include <stdexcept>

#include "golden/codec.h"

namespace assay::golden {
namespace {

using formats::fp16;
using formats::fp32;
using formats::PackedBlock;
using formats::PackedRule;

constexpr Policy to_infinity{formats::Overflow::to_infinity, formats::NanRule::canonical,
                             formats::UnsignedRule::clamp};

/// An FP32 number with operations that are exact but for their one rounding.
struct Real {
  Value v = Value::zero(false);

  Real() = default;
  Real(float x) : v(value_of(x)) {}  // NOLINT(google-explicit-constructor): every float is a Real
  explicit Real(const Value& exact)
      : v(decode(fp32, encode(fp32, exact, RoundingMode::nearest_even, to_infinity))) {}
  explicit Real(const RationalValue& exact)
      : v(decode(fp32, encode(fp32, exact, RoundingMode::nearest_even, to_infinity))) {}

  friend Real operator+(const Real& a, const Real& b) { return Real(a.v + b.v); }
  friend Real operator-(const Real& a, const Real& b) { return Real(a.v + -b.v); }
  friend Real operator*(const Real& a, const Real& b) { return Real(a.v * b.v); }
  friend Real operator/(const Real& a, const Real& b) {
    // IEEE 754: the sign of x/0 counts both signs, where value.h's convention takes the dividend's.
    if (b.v.is_zero() && !a.v.is_zero() && !a.v.is_nan())
      return Real(Value::infinity(a.v.negative != b.v.negative));
    return Real(to_rational(a.v) / to_rational(b.v));
  }
  friend Real operator-(const Real& a) { return Real(-a.v); }
  friend bool operator<(const Real& a, const Real& b) { return less(a.v, b.v); }
  friend bool operator==(const Real& a, const Real& b) { return a.v == b.v; }
};

Real magnitude(const Real& x) { return x.v.negative ? -x : x; }

/// The FP32 nearest to the root: 80 bits of it and whether anything is left over decide.
Real root(const Real& x) {
  if (!x.v.is_finite() || x.v.is_zero()) return x;
  Integer significand = x.v.number.significand << 160;
  std::int64_t exponent = x.v.number.exponent - 160;
  if (exponent % 2 != 0) {
    significand <<= 1;
    --exponent;
  }
  Integer rest;
  const Integer r = boost::multiprecision::sqrt(significand, rest);
  return Real(Value::finite(Exact(2 * r + (rest.is_zero() ? 0 : 1), exponent / 2 - 1)));
}

/// To the nearest integer, ties to even, saturating at +-4194303; NaN gives 0.
std::int64_t nearest(const Real& x) {
  constexpr std::int64_t far = 4194303;
  if (x.v.is_nan()) return 0;
  if (x.v.is_infinite() || Exact(far) < abs(x.v.number)) return x.v.negative ? -far : far;
  const Rational twice = 2 * abs(x.v.number).rational();
  const Integer floor_twice = numerator(twice) / denominator(twice);
  Integer n = floor_twice / 2;
  const Rational fraction = abs(x.v.number).rational() - Rational(n);
  if (fraction > Rational(1, 2) || (fraction == Rational(1, 2) && n % 2 != 0)) ++n;
  const auto result = static_cast<std::int64_t>(n);
  return x.v.negative ? -result : result;
}

std::int64_t clamp(std::int64_t n, std::int64_t most) { return n < 0 ? 0 : n > most ? most : n; }

std::uint32_t half_code(const Real& x) {
  return encode(fp16, x.v, RoundingMode::nearest_even, to_infinity);
}

void store_half(std::vector<std::uint8_t>& bytes, std::size_t at, std::uint32_t code) {
  bytes.at(at) = static_cast<std::uint8_t>(code % 256);
  bytes.at(at + 1) = static_cast<std::uint8_t>(code / 256);
}

void signed_max(const std::vector<Real>& x, std::vector<std::uint8_t>& out) {
  Real m;
  for (const Real& v : x)
    if (magnitude(m) < magnitude(v)) m = v;
  const Real d = m / Real(-8.0F);
  const Real r = d.v.is_zero() ? Real() : Real(1.0F) / d;
  store_half(out, 0, half_code(d));
  for (std::size_t i = 0; i < 32; ++i) {
    std::int64_t code = 8;
    if (r.v.is_finite()) {
      const Rational shifted = (x[i] * r + Real(8.5F)).v.number.rational();
      code = static_cast<std::int64_t>(numerator(shifted) / denominator(shifted));
      if (code > 15) code = 15;
    }
    out[2 + i % 16] = static_cast<std::uint8_t>(out[2 + i % 16] + (i < 16 ? code : 16 * code));
  }
}

struct Fit {
  Real scale;
  Real offset;  ///< subtracted
  std::array<std::int64_t, 32> codes{};
};

Real error(const Real* x, const std::array<Real, 32>& w, const Fit& fit, const Real& low) {
  Real sum;
  for (std::size_t i = 0; i < 32; ++i) {
    const Real diff = fit.scale * Real(static_cast<float>(fit.codes[i])) + low - x[i];
    sum = sum + w[i] * (diff * diff);
  }
  return sum;
}

Fit search(const Real* x) {
  Real squares;
  for (std::size_t i = 0; i < 32; ++i) squares = squares + x[i] * x[i];
  const Real rms = root(squares / Real(32.0F));
  std::array<Real, 32> w;
  for (std::size_t i = 0; i < 32; ++i) w[i] = rms + magnitude(x[i]);
  Real low = x[0];
  Real high = x[0];
  Real sum_w = w[0];
  Real sum_x = w[0] * x[0];
  for (std::size_t i = 1; i < 32; ++i) {
    if (x[i] < low) low = x[i];
    if (high < x[i]) high = x[i];
    sum_w = sum_w + w[i];
    sum_x = sum_x + w[i] * x[i];
  }
  if (Real() < low) low = Real();
  Fit best;
  best.offset = -low;
  if (high == low) return best;

  const auto codes_for = [&](const Real& factor, Fit& fit) {
    for (std::size_t i = 0; i < 32; ++i) fit.codes[i] = clamp(nearest(factor * (x[i] - low)), 15);
  };
  const Real first = Real(15.0F) / (high - low);
  best.scale = Real(1.0F) / first;
  codes_for(first, best);
  Real least = error(x, w, best, low);
  for (int step = 0; step <= 20; ++step) {
    Fit fit;
    const Real numerator = Real(-1.0F) + Real(0.1F) * Real(static_cast<float>(step)) + Real(15.0F);
    codes_for(numerator / (high - low), fit);
    Real sum_l;
    Real sum_l2;
    Real sum_xl;
    for (std::size_t i = 0; i < 32; ++i) {
      const Real l(static_cast<float>(fit.codes[i]));
      sum_l = sum_l + w[i] * l;
      sum_l2 = sum_l2 + w[i] * l * l;
      sum_xl = sum_xl + w[i] * l * x[i];
    }
    const Real determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(Real() < determinant)) continue;
    fit.scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    Real offset = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    if (Real() < offset) {
      offset = Real();
      fit.scale = sum_xl / sum_l2;
    }
    const Real sum = error(x, w, fit, offset);
    if (!(sum < least)) continue;
    least = sum;
    best = fit;
    low = offset;
  }
  best.offset = -low;
  return best;
}

/// Modulo 256 comes before the minimum: a negative scale becomes 63 in GGML.
std::int64_t six_bits(const Real& x) {
  const std::int64_t byte = ((nearest(x) % 256) + 256) % 256;
  return byte < 63 ? byte : 63;
}

void k_search(const std::vector<Real>& x, std::vector<std::uint8_t>& out) {
  std::array<Fit, 8> fits;
  Real scale;
  Real offset;
  for (std::size_t j = 0; j < 8; ++j) {
    fits[j] = search(&x[32 * j]);
    if (scale < fits[j].scale) scale = fits[j].scale;
    if (offset < fits[j].offset) offset = fits[j].offset;
  }
  const Real sixty_three(63.0F);
  const Real inverse_scale = Real() < scale ? sixty_three / scale : Real();
  const Real inverse_offset = Real() < offset ? sixty_three / offset : Real();
  const std::uint32_t d = half_code(scale / sixty_three);
  const std::uint32_t d_min = half_code(offset / sixty_three);
  store_half(out, 0, d);
  store_half(out, 2, d_min);
  for (std::size_t j = 0; j < 8; ++j) {
    const std::int64_t s = six_bits(inverse_scale * fits[j].scale);
    const std::int64_t m = six_bits(inverse_offset * fits[j].offset);
    const auto add = [&](std::size_t at, std::int64_t bits) {
      out[4 + at] = static_cast<std::uint8_t>(out[4 + at] + bits);
    };
    if (j < 4) {
      add(j, s);
      add(j + 4, m);
    } else {
      add(j + 4, s % 16 + m % 16 * 16);
      add(j - 4, s / 16 * 64);
      add(j, m / 16 * 64);
    }
    const Real stored = Real(decode(fp16, d)) * Real(static_cast<float>(s));
    const Real shift = Real(decode(fp16, d_min)) * Real(static_cast<float>(m));
    for (std::size_t i = 0; i < 32; ++i) {
      std::int64_t code = fits[j].codes[i];
      if (!stored.v.is_zero()) code = clamp(nearest((x[32 * j + i] + shift) / stored), 15);
      std::uint8_t& byte = out[16 + j / 2 * 32 + i];
      byte = static_cast<std::uint8_t>(byte + (j % 2 == 0 ? code : 16 * code));
    }
  }
}

}  // namespace

std::vector<std::uint8_t> quantize_packed(const PackedBlock& block, std::span<const float> x) {
  if (block.rule == PackedRule::none)
    throw std::invalid_argument("this packed block has no quantizer");
  if (static_cast<int>(x.size()) != block.elements)
    throw std::invalid_argument("quantize_packed takes the elements of one block");
  std::vector<std::uint8_t> out(static_cast<std::size_t>(block.bytes), 0);
  std::vector<Real> values;
  for (const float v : x) values.emplace_back(v);
  for (const Real& v : values) {
    if (v.v.is_finite()) continue;
    store_half(out, 0, canonical_nan(fp16));
    return out;
  }
  (block.rule == PackedRule::signed_max ? signed_max : k_search)(values, out);
  return out;
}

}  // namespace assay::golden
