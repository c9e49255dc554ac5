// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/fraction.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::Rational;

const Rational half = Rational(1) / 2;

bool to_even(const Rational& f, const Neighbours& n) {
  return f > half || (f == half && n.high % 2 == 0);
}
/// f cut to so many bits.
Rational cut(const Rational& f, int bits) {
  const Rational scaled = f * (1 << bits);
  return Rational(golden::Integer(boost::multiprecision::numerator(scaled) /
                                  boost::multiprecision::denominator(scaled))) /
         (1 << bits);
}
/// f rounded to so many bits, half up.
Rational rounded(const Rational& f, int bits) { return cut(f + Rational(1) / (2 << bits), bits); }
template <int bits>
bool cut_to_even(const Rational& f, const Neighbours& n, bool) {
  return to_even(cut(f, bits), n);
}
template <int bits>
bool rounded_to_even(const Rational& f, const Neighbours& n, bool) {
  return to_even(rounded(f, bits), n);
}
template <int bits>
bool cut_up(const Rational& f, const Neighbours&, bool) {
  return cut(f, bits) >= half;
}

constexpr FractionRule rules[] = {
    {"ties_away", "numbers are rounded with ties away from zero",
     [](const Rational& f, const Neighbours&, bool) { return f >= half; }},
    {"ties_to_zero", "numbers are rounded with ties toward zero",
     [](const Rational& f, const Neighbours&, bool) { return f > half; }},
    {"ties_up", "numbers are rounded with ties toward plus infinity",
     [](const Rational& f, const Neighbours&, bool negative) {
       return f > half || (f == half && !negative);
     }},
    {"ties_down", "numbers are rounded with ties toward minus infinity",
     [](const Rational& f, const Neighbours&, bool negative) {
       return f > half || (f == half && negative);
     }},
    {"ties_to_even", "numbers are rounded with ties to even",
     [](const Rational& f, const Neighbours& n, bool) { return to_even(f, n); }},
    {"ties_to_odd", "numbers are rounded with ties to odd",
     [](const Rational& f, const Neighbours& n, bool) {
       return f > half || (f == half && n.high % 2 == 1);
     }},
    {"elements_truncated", "numbers are truncated",
     [](const Rational&, const Neighbours&, bool) { return false; }},
    {"elements_rounded_up", "numbers are rounded away from zero",
     [](const Rational&, const Neighbours&, bool) { return true; }},
    {"elements_ceiled", "numbers are rounded toward plus infinity",
     [](const Rational&, const Neighbours&, bool negative) { return !negative; }},
    {"elements_floored", "numbers are rounded toward minus infinity",
     [](const Rational&, const Neighbours&, bool negative) { return negative; }},
    {"rounded_to_odd", "inexact numbers are rounded to the odd code",
     [](const Rational&, const Neighbours& n, bool) { return n.high % 2 == 1; }},
    {"sticky_bit_lost",
     "bits behind the first that is dropped do not count: numbers above a tie "
     "round as the tie",
     cut_to_even<1>},
    {"sticky_bit_lost", "bits behind the second that is dropped do not count", cut_to_even<2>},
    {"sticky_bit_lost", "bits behind the third that is dropped do not count", cut_to_even<3>},
    {"double_rounding", "numbers are rounded to one bit more first", rounded_to_even<1>},
    {"double_rounding", "numbers are rounded to two bits more first", rounded_to_even<2>},
    {"double_rounding", "numbers are rounded to three bits more first", rounded_to_even<3>},
    {"double_rounding", "numbers are rounded to four bits more first", rounded_to_even<4>},
    {"threshold_early", "numbers go up from a quarter of a step on",
     [](const Rational& f, const Neighbours&, bool) { return 4 * f >= 1; }},
    {"threshold_late", "numbers go up from three quarters of a step on",
     [](const Rational& f, const Neighbours&, bool) { return 4 * f >= 3; }},
    {"rounded_to_nearest_lost", "numbers are rounded half up by their first dropped bit",
     cut_up<1>},
    {"rounded_the_wrong_way", "numbers go to the farther code",
     [](const Rational& f, const Neighbours&, bool) { return f < half; }},
};

constexpr FractionRule thresholds[] = {
    {"threshold_early", "numbers go up from a quarter of a step on",
     [](const Rational& f, const Neighbours&, bool) { return 4 * f >= 1; }},
    {"threshold_early", "numbers go up above a quarter of a step",
     [](const Rational& f, const Neighbours&, bool) { return 4 * f > 1; }},
    {"threshold_late", "numbers go up from three quarters of a step on",
     [](const Rational& f, const Neighbours&, bool) { return 4 * f >= 3; }},
    {"threshold_late", "numbers go up above three quarters of a step",
     [](const Rational& f, const Neighbours&, bool) { return 4 * f > 3; }},
    {"threshold_missing", "numbers never go up",
     [](const Rational&, const Neighbours&, bool) { return false; }},
    {"threshold_missing", "numbers always go up",
     [](const Rational&, const Neighbours&, bool) { return true; }},
};

}  // namespace

std::span<const FractionRule> fraction_rules() { return rules; }
std::span<const FractionRule> threshold_rules() { return thresholds; }

std::uint32_t rounded_by(const FractionRule& rule, const formats::FormatSpec& format,
                         const golden::RationalValue& x, std::uint32_t right) {
  if (!x.is_finite() || x.is_zero()) return right;
  const Neighbours n = neighbours(format, x);
  if (n.low == n.high) return right;
  if (!golden::decode(format, n.high).is_finite()) return right;
  const Rational low = golden::decode(format, n.low).number.rational();
  const Rational high = golden::decode(format, n.high).number.rational();
  const Rational magnitude = boost::multiprecision::abs(x.number);
  const Rational fraction = (magnitude - low) / (high - low);
  const std::uint32_t code = rule.higher(fraction, n, x.negative) ? n.high : n.low;
  return golden::with_sign(format, code, x.negative && golden::sign_mask(format) != 0);
}

}  // namespace assay::proptests::diagnosis
