// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which OperationOrders the fast quantizer can evaluate exactly in double, and how it scales
// elements.
//
// Registers are doubles. Every value is one of
//   dyadic:   a multiple of a power of two with at most 53 significant bits: a double holds it
//   exactly; quotient: a / b of dyadic a, b with at most 24 bits, held as the nearest double.
// A quotient only ever meets a threshold of a rounding, or an operand of min and max, that has at
// most 25 significant bits (a value or midpoint of a format of p <= 24 bits, or a value plus 2^-n
// of its ulp when p + n <= 25). No threshold is crossed by holding it as a double: for a / b != t,
// with a = A 2^i, b = B 2^j, t = T 2^k, integers A, B < 2^24 and T < 2^25,
//   |a/b - t| / t = |A 2^(i-j-k) - T B| / (T B).
// If i-j-k >= 0 the numerator is an integer >= 1 and T B < 2^49: the distance is above 2^-49.
// Otherwise multiply both by 2^(j+k-i): numerator >= 1, denominator T B 2^(j+k-i) <= 2 A < 2^25
// unless a/b and t differ by a factor of two. The nearest double is within 2^-53 of a/b, hence on
// the same side of t; and a quotient that equals t has at most 25 bits and is held exactly. A
// product of dyadics with p and q bits has p + q <= 53 bits. FP32 inputs, FP32-rounded
// intermediates and constants of the presets have at most 24. Exponents are bounded below, far
// inside double's.

#include "formats/tensor.h"

namespace assay::formats {

/// How the element phase is carried out.
enum class ElementPath : std::uint8_t {
  multiply,      ///< x = FP32(x * factor)
  divide,        ///< x = FP32(x / factor), perhaps then 0 where factor is 0
  power_of_two,  ///< x = x / factor exactly, factor a power of two
  general,       ///< anything else, operation by operation
};

struct ElementPlan {
  ElementPath path = ElementPath::general;
  Register factor = Register::constant;  ///< of the block; unused by general
  bool zero_guarded = false;             ///< divide: an operation sets x = 0 where factor is 0
  bool quotient = false;                 ///< the scaled element may be a quotient (see above)
};

/// Throws std::invalid_argument with the offending operation's number unless `order` for `format`
/// can be evaluated as argued above, sets every register before it is read, and rounds `scale` to
/// the scale format and `tensor_scale` to FP32 last.
ElementPlan plan_order(const BlockFormat& format, const OperationOrder& order);

}  // namespace assay::formats
