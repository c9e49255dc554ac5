// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a kernel goes wrong, learned from the slots that show an error and those that do not: the
// simplest statement about rows, columns, blocks, groups, shapes, flags or values that is true of
// all of the former and of none of the latter.

#include <optional>
#include <span>
#include <string>

#include "proptests/diagnosis/prediction.h"

namespace assay::proptests::diagnosis {

/// A slot of an answer.
struct Site {
  const Case* c = nullptr;
  const PredictedArray* array = nullptr;  ///< as it should be
  std::size_t slot = 0;
};

struct Place {
  std::string text;  ///< "in odd rows"
  int cost = 0;      ///< of assumptions; 1 for what a word says
};

/// Nothing where no statement separates them, or where they are too few to tell: a statement with a
/// learned number in it needs at least two slots that show the error and six that do not.
[[nodiscard]] std::optional<Place> place_of(std::span<const Site> wrong,
                                            std::span<const Site> right);

}  // namespace assay::proptests::diagnosis
