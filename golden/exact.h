// SPDX-License-Identifier: Apache-2.0
#pragma once
// Numbers without rounding. Every code of a binary format, every product and every sum of codes is
// a dyadic number, significand * 2^exponent: `Exact`. Quotients (x / scale, amax / 6) are
// `Rational`.

#include <boost/multiprecision/cpp_int.hpp>
#include <compare>
#include <cstdint>

namespace assay::golden {

/// Without expression templates: every operation returns a number, so `auto` holds one too and
/// nothing can refer to a temporary.
using Integer = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>,
                                              boost::multiprecision::et_off>;
using Rational = boost::multiprecision::number<boost::multiprecision::cpp_rational_backend,
                                               boost::multiprecision::et_off>;

/// The dyadic number significand * 2^exponent, always normalised: the significand is odd, or it is
/// 0 and so is the exponent. Hence equal numbers have equal members.
struct Exact {
  Integer significand = 0;
  std::int64_t exponent = 0;

  Exact() = default;
  /// Normalises; any significand is accepted.
  Exact(Integer significand_in, std::int64_t exponent_in);
  /// The integer n.
  Exact(std::int64_t n);  // NOLINT(google-explicit-constructor): integers are exact numbers

  /// The number a float or double holds. Throws std::invalid_argument for NaN and infinities; the
  /// sign of zero is lost (Value keeps it).
  static Exact from_double(double x);
  static Exact from_float(float x);
  static Exact power_of_two(std::int64_t exponent);

  [[nodiscard]] Rational rational() const;
  [[nodiscard]] bool is_zero() const { return significand.is_zero(); }
  /// -1, 0 or 1.
  [[nodiscard]] int sign() const { return significand.sign(); }

  friend Exact operator+(const Exact& a, const Exact& b);
  friend Exact operator-(const Exact& a, const Exact& b);
  friend Exact operator*(const Exact& a, const Exact& b);
  friend Exact operator-(const Exact& a);
  friend bool operator==(const Exact& a, const Exact& b);
  friend std::strong_ordering operator<=>(const Exact& a, const Exact& b);
};

[[nodiscard]] Exact abs(const Exact& a);

/// A double near `a`, for people to read. Nothing may be decided from it.
[[nodiscard]] double approximate(const Exact& a);

/// floor(log2(numerator / denominator)), both positive.
[[nodiscard]] std::int64_t floor_log2(const Integer& numerator, const Integer& denominator);

}  // namespace assay::golden
