// SPDX-License-Identifier: Apache-2.0
#include "golden/stochastic.h"

namespace assay::golden {
namespace {

using boost::multiprecision::abs;

}  // namespace

// A word goes up iff it is at least 2^bits - floor(f 2^bits): the least one that does is found by
// bisection. Word 0 never does, so that it gives the neighbour towards zero.
StochasticOutcome stochastic_outcome(const FormatSpec& spec, const RationalValue& x,
                                     const Policy& policy, int bits) {
  const auto code = [&](std::uint32_t word) {
    return encode(spec, x, RoundingMode::stochastic, policy, {bits, word});
  };
  const std::uint32_t down = code(0);
  const std::uint32_t words = std::uint32_t{1} << static_cast<unsigned>(bits);
  const std::uint32_t up = code(words - 1);
  if (down == up) return {down, down, 0};
  std::uint32_t last_down = 0;
  std::uint32_t first_up = words - 1;
  while (first_up - last_down > 1) {
    const std::uint32_t middle = last_down + (first_up - last_down) / 2;
    (code(middle) == down ? last_down : first_up) = middle;
  }
  return {down, up, Rational(words - first_up, words)};
}

StochasticOutcome ideal_stochastic_outcome(const FormatSpec& spec, const RationalValue& x,
                                           const Policy& policy) {
  const RoundingMode outwards =
      x.negative ? RoundingMode::toward_negative : RoundingMode::toward_positive;
  const std::uint32_t down = encode(spec, x, RoundingMode::toward_zero, policy);
  const std::uint32_t up = encode(spec, x, outwards, policy);
  if (!x.is_finite() || down == up) return {up, up, 0};
  const Rational low = abs(decode(spec, down).number.rational());
  // The next code's distance; above the largest finite code the spacing of that code's binade.
  const std::uint32_t magnitude = magnitude_of(spec, down);
  Rational spacing;
  if (magnitude == max_finite_code(spec)) {
    spacing = spacing_at_max(spec).rational();
  } else {
    spacing = decode(spec, magnitude + 1).number.rational() - low;
  }
  const Rational fraction = (abs(x.number) - low) / spacing;
  if (fraction >= 1) return {up, up, 0};
  return {down, up, fraction};
}

}  // namespace assay::golden
