// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a hypothesis fares against what was seen.
//
// A slot of an answer (a code, a number) is as it should be, or as the error makes it, or neither.
// One slot of a failing case that is neither speaks against the hypothesis. Among those that remain
// the rank decides, the fewest assumptions first:
//
//   everywhere   every slot that could show the error does, in failing and passing cases
//   somewhere    it shows in exactly the slots that a place names (place.h)
//   two          two errors, each everywhere where it could show, leave nothing unexplained
//   alike        a loose pattern that many errors would leave
//   sometimes    failing cases show it throughout, passing ones do not, and nobody knows why
//   mostly       of four failing cases it explains three
//   in places    it shows in some slots, of which nothing common is known

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proptests/diagnosis/hypothesis.h"
#include "proptests/diagnosis/prediction.h"
#include "proptests/verdict.h"

namespace assay::proptests::diagnosis {

/// A case, what it should hold and what it does.
struct Reading {
  Case one;
  Prediction right;
  Seen seen;
};
/// Nothing where no model covers the call, or the answer has another shape.
[[nodiscard]] std::optional<Reading> read(Case one);

enum class Rank : std::uint8_t {
  everywhere,
  condition,
  somewhere,
  two,
  alike,
  sometimes,
  mostly,
  in_places
};

struct Weighed {
  Candidate candidate;
  Rank rank = Rank::everywhere;
  int cost = 0;      ///< of the place, and of what else is assumed
  double share = 1;  ///< of the slots that could show the error, those that do
};

/// Null where something speaks against it; `most`: where more than one failing case of four does.
[[nodiscard]] std::optional<Weighed> weigh(const Hypothesis& h, std::span<const Reading> failing,
                                           std::span<const Reading> passing, bool most = false);

/// All that apply to the claim, the likeliest first; of one id the best alone. Generated ones are
/// weighed where no known error shows everywhere.
[[nodiscard]] std::vector<Weighed> weigh_all(const kernels::Claim& claim,
                                             std::span<const Reading> failing,
                                             std::span<const Reading> passing);

}  // namespace assay::proptests::diagnosis
