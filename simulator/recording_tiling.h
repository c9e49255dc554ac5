// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether the shards of a tensor make the whole tensor. Private to the reader.

#include <string>

#include "simulator/recording.h"

namespace assay::simulator {

/// Shards from several ranks may be the same piece (a replicated norm weight); otherwise pieces are
/// disjoint and, where `whole`, fill the tensor. Empty, or what is wrong: "has ...".
std::string tiling_problem(const TensorEntry& tensor, bool whole = true);

/// The same piece of the same tensor (whatever rank holds it).
inline bool same_piece(const Shard& a, const Shard& b) {
  return a.offset == b.offset && a.shape == b.shape;
}

}  // namespace assay::simulator
