// SPDX-License-Identifier: Apache-2.0
#include "golden/exact.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

namespace assay::golden {
namespace {

namespace mp = boost::multiprecision;

// a's significand when it is written with the (not larger) exponent `exponent`.
Integer significand_at(const Exact& a, std::int64_t exponent) {
  if (a.is_zero()) return 0;
  return a.significand << static_cast<std::uint64_t>(a.exponent - exponent);
}

// Zero has no binary order of magnitude; it takes the other operand's exponent.
std::int64_t common_exponent(const Exact& a, const Exact& b) {
  if (a.is_zero()) return b.exponent;
  if (b.is_zero()) return a.exponent;
  return std::min(a.exponent, b.exponent);
}

}  // namespace

Exact::Exact(Integer significand_in, std::int64_t exponent_in)
    : significand(std::move(significand_in)), exponent(exponent_in) {
  if (significand.is_zero()) {
    exponent = 0;
    return;
  }
  const bool negative = significand.sign() < 0;
  if (negative) significand = -significand;  // shifts of negative numbers are a trap of their own
  const auto trailing_zeros = mp::lsb(significand);
  significand >>= trailing_zeros;
  exponent += static_cast<std::int64_t>(trailing_zeros);
  if (negative) significand = -significand;
}

Exact::Exact(std::int64_t n) : Exact(Integer(n), 0) {}

Exact Exact::from_double(double x) {
  if (!std::isfinite(x))
    throw std::invalid_argument(
        "Exact::from_double needs a finite number; use Value for Inf and NaN");
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);  // x = fraction * 2^exponent, exact
  constexpr int digits = std::numeric_limits<double>::digits;
  return {Integer(static_cast<std::int64_t>(std::ldexp(fraction, digits))), exponent - digits};
}

Exact Exact::from_float(float x) { return from_double(static_cast<double>(x)); }

Exact Exact::power_of_two(std::int64_t exponent) { return {Integer(1), exponent}; }

Rational Exact::rational() const {
  if (exponent >= 0) return Rational(Integer(significand << static_cast<std::uint64_t>(exponent)));
  return Rational(significand, Integer(Integer(1) << static_cast<std::uint64_t>(-exponent)));
}

Exact operator+(const Exact& a, const Exact& b) {
  const std::int64_t exponent = common_exponent(a, b);
  return {Integer(significand_at(a, exponent) + significand_at(b, exponent)), exponent};
}

Exact operator-(const Exact& a, const Exact& b) { return a + -b; }

Exact operator*(const Exact& a, const Exact& b) {
  return {Integer(a.significand * b.significand), a.exponent + b.exponent};
}

Exact operator-(const Exact& a) { return {Integer(-a.significand), a.exponent}; }

bool operator==(const Exact& a, const Exact& b) {
  return a.exponent == b.exponent && a.significand.compare(b.significand) == 0;
}

std::strong_ordering operator<=>(const Exact& a, const Exact& b) {
  const std::int64_t exponent = common_exponent(a, b);
  return significand_at(a, exponent).compare(significand_at(b, exponent)) <=> 0;
}

Exact abs(const Exact& a) { return a.sign() < 0 ? -a : a; }

double approximate(const Exact& a) {
  // Keep 64 leading bits so that a significand of thousands of bits does not overflow on its own.
  Integer magnitude = mp::abs(a.significand);
  std::int64_t exponent = a.exponent;
  if (!a.is_zero() && mp::msb(magnitude) > 63) {
    const auto dropped = mp::msb(magnitude) - 63;
    magnitude >>= dropped;
    exponent += static_cast<std::int64_t>(dropped);
  }
  const auto bounded = static_cast<int>(std::clamp<std::int64_t>(exponent, -100000, 100000));
  const double result =
      std::ldexp(static_cast<double>(static_cast<std::uint64_t>(magnitude)), bounded);
  return a.sign() < 0 ? -result : result;
}

std::int64_t floor_log2(const Integer& numerator, const Integer& denominator) {
  // 2^i <= numerator < 2^(i+1) and 2^j <= denominator < 2^(j+1), so the quotient lies strictly
  // between 2^(i-j-1) and 2^(i-j+1): the answer is i-j-1 or i-j, and one exact comparison decides.
  const auto guess = static_cast<std::int64_t>(mp::msb(numerator)) -
                     static_cast<std::int64_t>(mp::msb(denominator));
  const bool reaches =
      guess >= 0 ? numerator >= Integer(denominator << static_cast<std::uint64_t>(guess))
                 : Integer(numerator << static_cast<std::uint64_t>(-guess)) >= denominator;
  return reaches ? guess : guess - 1;
}

}  // namespace assay::golden
