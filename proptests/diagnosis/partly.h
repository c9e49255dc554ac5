// SPDX-License-Identifier: Apache-2.0
#pragma once
// Errors that a kernel makes in some places only: in odd rows, in the last block, at one midpoint
// of seven. The places need not be known: each number is right, or it is what the error makes of
// it.

#include <span>

#include "proptests/diagnosis/hypothesis.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {

/// Numbers and how far an answer may be from them.
struct Expectation {
  std::span<const golden::RationalValue> reference;
  std::span<const golden::Bound> bounds;
};

/// Nothing where a number is neither right nor wrong in this way. Numbers that the bounds do not
/// let tell apart speak for neither.
[[nodiscard]] std::optional<Spread> spread_of(const formats::FormatSpec& output,
                                              std::span<const float> observed,
                                              const Expectation& wrong, const Expectation& right);

/// Of block-scaled tensors: a scale factor is that of one of the two with the elements of its
/// block; where both have the same one, element by element.
[[nodiscard]] std::optional<Spread> spread_of(const formats::BlockScaledTensor& observed,
                                              const formats::BlockScaledTensor& wrong,
                                              const formats::BlockScaledTensor& right);

}  // namespace assay::proptests::diagnosis
