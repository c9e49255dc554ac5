// SPDX-License-Identifier: Apache-2.0
#pragma once
// One stochastic quantization: bit for bit where the random words are known (RANDOM words, Philox),
// by the probabilities of the codes where they are not.

#include <rapidcheck.h>

#include <vector>

#include "proptests/experiment.h"
#include "proptests/properties/quantize_themes.h"
#include "proptests/properties/spread.h"

namespace assay::proptests {

struct StochasticCase {
  themes::Case x;
  std::uint64_t seed = 0;
  std::vector<std::uint32_t> words;  ///< one per element, of claims that read RANDOM
  Spread spread;
};

[[nodiscard]] ExperimentPtr stochastic_experiment(StochasticCase c);
[[nodiscard]] rc::Seq<StochasticCase> simpler_stochastic(const StochasticCase& c);

/// Two calls, seeds `seed` and `other_seed`, of a matrix whose elements all have the same chance of
/// going up, but for those that set the scale factors.
///
/// Four counts are tested: how many elements went up; and how many agree with the same element
/// under the other seed, with the element of the row below, and with their neighbour, in pairs that
/// share no element. Each is binomial for a right kernel. For a binomial count K of n with chance
/// p, P(K >= n q) <= exp(-n D(q | p)) for q >= p, and alike below (Chernoff; D is the relative
/// entropy): a count is rejected where that bound is below 1e-9 / 8, so that a right kernel fails
/// one case in 10^9 at most. Where the claim has 16 random bits, its words may be longer: then p
/// is known to lie between the chance with 16 bits and the ideal one, and both are granted.
[[nodiscard]] ExperimentPtr chance_experiment(StochasticCase c, std::uint64_t other_seed);

}  // namespace assay::proptests
