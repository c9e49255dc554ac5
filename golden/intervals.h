// SPDX-License-Identifier: Apache-2.0
#pragma once
// Exhaustive oracles over FP32 inputs: a list of intervals of bit patterns, each with the one code
// that all of its inputs get. A sweep over 2^32 inputs then compares against a few hundred exact
// decisions.

#include <cstdint>
#include <functional>
#include <vector>

#include "golden/codec.h"

namespace assay::golden {

/// The FP32 bit patterns first_bits..last_bits (inclusive) all get `code`.
struct Interval {
  std::uint32_t first_bits = 0;
  std::uint32_t last_bits = 0;
  std::uint32_t code = 0;
  bool operator==(const Interval&) const = default;
};

/// encode(spec, x, mode, policy) for every FP32 x, as ascending intervals that cover all 2^32 bit
/// patterns exactly once. Every threshold is derived exactly and both ends of every interval are
/// verified by encode. Throws std::invalid_argument for stochastic rounding (no single answer), for
/// a policy that is not expressible, and for formats with 32-bit codes (every input would be an
/// interval of its own).
[[nodiscard]] std::vector<Interval> decision_intervals(const FormatSpec& spec, RoundingMode mode,
                                                       const Policy& policy);

/// The intervals on which `code_of_bits` is constant between first_bits and last_bits, by
/// bisection. Exact if every code's inputs are contiguous: as for a composition of monotone steps
/// on inputs whose bit patterns are ordered like their values (nonnegative FP32: 0 to 0x7F800000).
/// Rounding is monotone in every deterministic mode; so are division and multiplication by a
/// positive constant, minimum and maximum: hence the scale code of a block as a function of its
/// amax.
[[nodiscard]] std::vector<Interval> monotone_intervals(
    const std::function<std::uint32_t(std::uint32_t bits)>& code_of_bits, std::uint32_t first_bits,
    std::uint32_t last_bits);

}  // namespace assay::golden
