// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stochastic rounding without its random words: the two codes that x may become, and how likely.
// The code that a given word makes is encode's (golden/codec.h).

#include "golden/codec.h"

namespace assay::golden {

/// x becomes `up` with probability `up_probability`, else `down`, the neighbour towards zero. Equal
/// codes: only that one, with probability 0.
struct StochasticOutcome {
  std::uint32_t down = 0;
  std::uint32_t up = 0;
  Rational up_probability = 0;
};

/// With `bits` equally likely random bits, 1..16, as RoundingMode::stochastic says: floor(f 2^bits)
/// / 2^bits, f the fraction of the way from the lower neighbour to the upper one. Throws what
/// encode throws.
[[nodiscard]] StochasticOutcome stochastic_outcome(const FormatSpec& spec, const RationalValue& x,
                                                   const Policy& policy, int bits);

/// With unlimited random bits: f itself. Above the largest finite value the grid goes on for one
/// step, beyond which the policy decides with certainty.
[[nodiscard]] StochasticOutcome ideal_stochastic_outcome(const FormatSpec& spec,
                                                         const RationalValue& x,
                                                         const Policy& policy);

}  // namespace assay::golden
