// SPDX-License-Identifier: Apache-2.0
#include "golden/bounds.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace assay::golden {
namespace {

constexpr std::int64_t fp32_bits = 24;
constexpr std::int64_t fp32_lsb = -149;  // exponent of the smallest subnormal

Rational power(std::int64_t exponent) { return Exact::power_of_two(exponent).rational(); }

// The finite magnitudes below which FP32 rounds to a finite number: 2^128 - 2^103.
Exact overflow_threshold() { return Exact::power_of_two(128) - Exact::power_of_two(103); }

bool is_power_of_two(const Exact& x) { return x.significand == 1 || x.significand == -1; }

// The smallest t with |x| <= 2^t; x is not 0.
std::int64_t top(const Exact& x) {
  const std::int64_t floor_log2_of_significand =
      static_cast<std::int64_t>(boost::multiprecision::msb(abs(x).significand));
  return x.exponent + floor_log2_of_significand + (is_power_of_two(x) ? 0 : 1);
}

std::int64_t ceil_log2(std::size_t n) {
  std::int64_t result = 0;
  while ((std::size_t{1} << result) < n) ++result;
  return result;
}

bool is_zero(const Term& term) {
  if (term.error != 0) return false;
  return std::any_of(term.factors.begin(), term.factors.end(),
                     [](const Exact& f) { return f.is_zero(); });
}

std::vector<const Term*> nonzero(std::span<const Term> terms) {
  std::vector<const Term*> kept;
  for (const Term& term : terms) {
    if (term.factors.empty()) throw std::invalid_argument("A term needs at least one factor.");
    if (!is_zero(term)) kept.push_back(&term);
  }
  return kept;
}

// Whether sums over any subset of the terms are exact in FP32 when each term stands for the product
// of its factors in `subset` (bit j: factor j): they are multiples of 2^grid, and at most n 2^top.
struct Extent {
  std::int64_t grid = std::numeric_limits<std::int64_t>::max();
  std::int64_t top = std::numeric_limits<std::int64_t>::min();
  std::size_t count = 0;

  void include(const Term& term, std::uint32_t subset) {
    std::int64_t term_grid = 0;
    std::int64_t term_top = 0;
    for (std::size_t j = 0; j < term.factors.size(); ++j) {
      if ((subset >> j & 1) == 0) continue;
      term_grid += term.factors[j].exponent;
      term_top += golden::top(term.factors[j]);
    }
    grid = std::min(grid, term_grid);
    top = std::max(top, term_top);
    ++count;
  }
  [[nodiscard]] bool fits() const {
    if (count == 0) return true;
    const std::int64_t sum_top = top + ceil_log2(count);
    return grid >= fp32_lsb && sum_top <= 127 && sum_top - grid <= fp32_bits;
  }
};

// Every permitted evaluation is exact: partial sums of partial products, for every subset of
// factors that may have been multiplied in before the summation, and the finished sum with its
// addends.
bool always_exact(const std::vector<const Term*>& products,
                  const std::vector<const Term*>& addends) {
  const auto is_exact = [](const Term* t) { return t->error == 0; };
  if (!std::all_of(products.begin(), products.end(), is_exact) ||
      !std::all_of(addends.begin(), addends.end(), is_exact)) {
    return false;
  }
  const auto all_of = [](const Term& t) {
    return static_cast<std::uint32_t>((std::uint64_t{1} << t.factors.size()) - 1);
  };
  Extent whole;
  for (const Term* t : products) whole.include(*t, all_of(*t));
  for (const Term* t : addends) {
    whole.include(*t, all_of(*t));
    for (std::uint32_t subset = 1; subset <= all_of(*t); ++subset) {
      Extent part;
      part.include(*t, subset);
      if (!part.fits()) return false;
    }
  }
  if (!whole.fits()) return false;
  if (products.empty()) return true;
  for (std::uint32_t subset = 1; subset < all_of(*products.front()); ++subset) {
    Extent partial;
    for (const Term* t : products) partial.include(*t, subset);
    if (!partial.fits()) return false;
  }
  return true;
}

// Running totals of the derivation below.
struct Totals {
  Rational magnitude = 0;      // sum of m_i
  Rational carried = 0;        // sum of e_i |f_i1 ... f_ip|
  Rational underflow = 0;      // sum of (p_i - 1) 2^-150 F_i over the terms that can underflow
  Rational largest = 0;        // sum of F_i
  std::int64_t roundings = 0;  // max over the terms of the roundings in its products
};

void accumulate(const Term& term, Totals& totals) {
  Exact rest = 1;         // |f_1 ... f_p| without the first factor
  Exact raised_rest = 1;  // the same with factors below 1 replaced by 1
  std::int64_t lowest_bit =
      std::min<std::int64_t>(0, term.error == 0 ? term.factors.front().exponent : fp32_lsb);
  std::int64_t rounding_factors = term.error != 0 || !is_power_of_two(term.factors.front()) ? 1 : 0;
  for (std::size_t j = 1; j < term.factors.size(); ++j) {
    const Exact factor = abs(term.factors[j]);
    rest = rest * factor;
    raised_rest = raised_rest * std::max(factor, Exact(1));
    lowest_bit += std::min<std::int64_t>(0, factor.exponent);
    if (!is_power_of_two(factor)) ++rounding_factors;
  }
  const auto factor_count = static_cast<std::int64_t>(term.factors.size());
  const Rational first = abs(term.factors.front()).rational() + term.error;
  const Rational largest = (first > 1 ? first : Rational(1)) * raised_rest.rational();
  totals.magnitude += first * rest.rational();
  totals.carried += term.error * rest.rational();
  totals.largest += largest;
  if (lowest_bit < fp32_lsb) totals.underflow += (factor_count - 1) * power(-150) * largest;
  totals.roundings = std::max(totals.roundings, std::min(rounding_factors, factor_count - 1));
}

Bound not_judgeable(std::string reason) { return {false, 0, std::move(reason)}; }

}  // namespace

Rational gamma(std::int64_t n) {
  const std::int64_t inverse_unit = std::int64_t{1} << fp32_bits;
  if (n < 0 || n >= inverse_unit) {
    throw std::invalid_argument("gamma(n) is defined for 0 <= n < 2^24 roundings only.");
  }
  return {n, inverse_unit - n};
}

// Derivation. Let term i be t_i = f_i0 f_i1 ... f_ip in exact numbers, its first factor entering as
// f_i0 + e with |e| <= e_i, and let u = 2^-24.
//
// 1. Model of one operation (IEEE 754 round to nearest, gradual underflow, no overflow):
//      addition        fl(x + y) = (x + y)(1 + d),        |d| <= u. No absolute term: FP32 numbers
//      are
//                      multiples of 2^-149, so a sum in the subnormal range is exact.
//      multiplication  fl(x y) = x y (1 + d) + h,         |d| <= u, |h| <= 2^-150, and h = 0 where
//      x y is
//                      a multiple of 2^-149 (a normal result has no h, a subnormal one is exact).
//      FMA             fl(x y + z) = (x y + z)(1 + d) + h: one of each, hence never worse than
//      both.
// 2. Roundings that term i meets. Of L nonzero leaves (products and addends), any association makes
// a
//    term pass through at most L - 1 additions (adding 0 is exact). Its p + 1 factors are joined by
//    p multiplications, some of them applied to partial sums that contain it. Follow the path from
//    the term's deepest factor to the root: a multiplication on the path by a group g of its other
//    factors rounds only if g is not a power of two, and forming g rounds at most (number of
//    factors in g that are no powers of two) - 1 times; so r_i = min(p, number of factors that are
//    no powers of two) bounds the roundings of its products. With n = L - 1 + max r_i and h = 0
//    everywhere,
//      computed = sum (f_i0 + e) f_i1 ... f_ip (1 + theta_i),  |theta_i| <= (1+u)^n - 1 <=
//      gamma(n).
//    With m_i = (|f_i0| + e_i) |f_i1 ... f_ip| this is within gamma(n) sum m_i + sum e_i |f_i1 ...
//    f_ip| of the exact sum.
// 3. Underflow. An h that arises in a multiplication of (a partial sum with) term i is multiplied
// later by
//    at most the remaining factors: by at most F_i = max(1, |f_i0| + e_i) prod max(1, |f_ij|),
//    times 1 + gamma(n) for the roundings after it. There are at most p such multiplications for a
//    term; one applied to a partial sum is charged to one of its terms. If the product of every
//    subset of the factors is a multiple of 2^-149, that is if the sum of their last bits' negative
//    exponents is at least -149, then so is every partial result with that term (rounding to
//    nearest keeps multiples), and h = 0: only the other terms are charged.
//      T = gamma(n) sum m_i + sum e_i |f_i1 ... f_ip| + (1 + gamma(n)) 2^-150 sum p_i F_i.
// 4. Overflow. Before its rounding, every intermediate result is a sum over some leaves of the
// product of
//    some of their factors, with the same relative and absolute errors: at most
//    (1 + gamma(n)) (sum F_i + 2^-150 sum p_i F_i). Below 2^128 - 2^103 that rounds to a finite
//    number.
// 5. Exactness. If for every subset of factor positions all partial sums of the partial products
// are
//    multiples of one power of two >= 2^-149 and at most 2^24 times it, nothing is ever rounded: T
//    = 0.
Bound fp32_any_order(std::span<const Term> products, std::span<const Term> addends) {
  for (const Term& term : products) {
    if (term.factors.size() != products.front().factors.size() || term.factors.size() > 16) {
      throw std::invalid_argument("The products of a sum need equally many factors, at most 16.");
    }
  }
  const std::vector<const Term*> product_leaves = nonzero(products);
  const std::vector<const Term*> addend_leaves = nonzero(addends);
  const std::size_t leaves = product_leaves.size() + addend_leaves.size();
  if (leaves == 0 || always_exact(product_leaves, addend_leaves)) return {};
  Totals totals;
  for (const Term* term : product_leaves) accumulate(*term, totals);
  for (const Term* term : addend_leaves) accumulate(*term, totals);
  const std::int64_t n = static_cast<std::int64_t>(leaves) - 1 + totals.roundings;
  if (n >= std::int64_t{1} << 23) {
    return not_judgeable("the sum is so long that roundings may add up to its whole magnitude");
  }
  const Rational growth = gamma(n);
  if ((1 + growth) * (totals.largest + totals.underflow) >= overflow_threshold().rational()) {
    return not_judgeable("a partial result may overflow FP32");
  }
  return {true, growth * totals.magnitude + totals.carried + (1 + growth) * totals.underflow, ""};
}

// An ulp at x in a format with m mantissa bits is 2^(e - m), e = floor(log2 x) or the smallest
// exponent. A rounding of y with |y - exact| <= T moves it by at most half an ulp at |y| (a whole
// one in modes other than to nearest), and |y| <= |exact| + T.
Judgement judge(const FormatSpec& output, std::uint32_t code, const RationalValue& exact,
                const Bound& bound, RoundingMode mode) {
  const auto verdict = [](bool ok) { return ok ? Judgement::within : Judgement::outside; };
  const Value computed = decode(output, code);
  if (exact.is_nan()) return verdict(computed.is_nan());
  if (!bound.judgeable) return Judgement::not_judgeable;
  const Policy policy = policy_of(formats::ieee, output);
  if (exact.is_infinite() || bound.error == 0) {
    const std::uint32_t right = encode(output, exact, mode, policy);
    return verdict((code & code_mask(output)) == right ||
                   (computed.is_zero() && decode(output, right).is_zero()));
  }
  if (computed.is_nan()) return Judgement::outside;
  if (computed.is_infinite()) {
    const Rational reach = computed.negative ? Rational(exact.number - bound.error)
                                             : Rational(exact.number + bound.error);
    return verdict(encode(output, RationalValue::finite(reach), mode, policy) ==
                   (code & code_mask(output)));
  }
  const Rational reach = boost::multiprecision::abs(exact.number) + bound.error;
  const std::int64_t exponent =
      std::max<std::int64_t>(floor_log2(numerator(reach), denominator(reach)), 1 - output.bias);
  const bool nearest = mode == RoundingMode::nearest_even || mode == RoundingMode::nearest_away;
  const Rational rounding = power(exponent - output.mantissa_bits - (nearest ? 1 : 0));
  const Rational difference = computed.number.rational() - exact.number;
  return verdict(boost::multiprecision::abs(difference) <= bound.error + rounding);
}

}  // namespace assay::golden
