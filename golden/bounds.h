// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far a correct kernel may be from the exact result, derived per class of accumulator and
// computed in exact arithmetic: |computed - exact| <= T + half an ulp of the output at |exact| + T.
// Nothing here is tuned. The derivations stand above the functions in bounds.cpp and
// truncating.cpp, and in docs/bounds.md. What a class permits:
//
//   exact             one rounding, to the output format: T = 0.
//   fp32_any_order    FP32 with round to nearest even and gradual underflow. The products of a
//   term's
//                     factors (elements, scale factors, tensor scales, alpha) are formed in any
//                     association, one rounding per multiplication, on the element, on partial sums
//                     or on the whole sum; terms are added in any order and association (trees,
//                     split k, several accumulators); multiplications may be fused into additions
//                     (FMA). Not permitted: division, flushing subnormals, products or sums in less
//                     than FP32 (more is within). Where every such evaluation is exact, T is 0 and
//                     the kernel must be correctly rounded.
//   fp32_fixed_order  T = 0 around golden's own FP32 result (golden/fp32_order.h): bit for bit.
//   truncating        tensor cores: steps of L products fused with the accumulator, every term
//                     truncated to a multiple of 2^(e_max - F), one truncation of the sum to FP32
//                     (F < 23: to F + 1 significant bits), promoted to FP32 every `promotion`
//                     products, the rest of the sum and the epilogue as in fp32_any_order. e_max is
//                     taken over undecoded exponents (Xie et al., MMA-Sim, arXiv 2511.10909;
//                     Khattak and Mikaitis, arXiv 2512.07004): products are not renormalised,
//                     subnormal operands keep their format's smallest exponent.
//
// Where a partial result of some permitted evaluation could overflow, no bound holds: `judgeable`
// is false and nothing may be concluded from a finite difference.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "golden/codec.h"
#include "golden/value.h"

namespace assay::golden {

/// T, or why there is none.
struct Bound {
  bool judgeable = true;
  Rational error = 0;
  std::string reason;  ///< where not judgeable
};

/// One term of a sum: the product of its factors, in exact numbers. Every factor is an FP32 number,
/// but the first may come from an earlier computation: then it is known to differ from the exact
/// factor by at most `error`.
struct Term {
  std::vector<Exact> factors;
  Rational error = 0;
};

/// The bound of sum(products) + sum(addends) in class fp32_any_order. All products have the same
/// number of factors, position by position of the same kind (factors that multiply partial sums are
/// equal across the terms of the partial sum). Addends (beta * C, bias) join the finished sum or
/// any part of it.
[[nodiscard]] Bound fp32_any_order(std::span<const Term> products,
                                   std::span<const Term> addends = {});

/// n u / (1 - n u), u = 2^-24: bounds |(1 + d_1) ... (1 + d_n) - 1| for |d_i| <= u (Higham,
/// Accuracy and Stability of Numerical Algorithms, 2nd ed., Lemma 3.1). n < 2^24.
[[nodiscard]] Rational gamma(std::int64_t n);

/// A truncating unit. `step` is L; 0: unknown, any grouping in any order.
struct TruncatingUnit {
  int fraction_bits = 25;
  int step = 0;
  int promotion = 0;  ///< 0: never
  /// The exponent that a zero product or a zero accumulator takes; the largest published one by
  /// default.
  int zero_exponent = -131;
};

/// A product as the unit sees it: exact, with the sum of its operands' undecoded exponents.
struct UnitProduct {
  Exact value;
  std::int64_t exponent = 0;
};

/// The exponent field of x's encoding in `spec`, unbiased: floor(log2 |x|), but not below the
/// smallest (subnormal numbers are not renormalised). Throws where `spec` does not hold x exactly.
[[nodiscard]] std::int64_t undecoded_exponent(const FormatSpec& spec, const Exact& x);

/// Bound of one chain from a zero accumulator over `products` in ascending k, without promotion: on
/// the accumulator the chain ends with.
[[nodiscard]] Bound truncating_chain(std::span<const UnitProduct> products,
                                     const TruncatingUnit& unit);

enum class Judgement : std::uint8_t { within, outside, not_judgeable };

/// Whether `code`, of format `output`, is a result that `bound` allows for the exact result
/// `exact`. NaN needs NaN, an infinite exact result needs that infinity. With T = 0 the code must
/// be the one rounding of `exact` in `mode`, overflow by the `ieee` profile (either zero for an
/// exact zero); otherwise the inequality above decides, an infinity being allowed only where
/// |exact| + T rounds to it.
[[nodiscard]] Judgement judge(const FormatSpec& output, std::uint32_t code,
                              const RationalValue& exact, const Bound& bound,
                              RoundingMode mode = RoundingMode::nearest_even);

}  // namespace assay::golden
