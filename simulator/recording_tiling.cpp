// SPDX-License-Identifier: Apache-2.0
#include "simulator/recording_tiling.h"

#include "simulator/shape.h"

namespace assay::simulator {
namespace {

constexpr std::size_t kMaxShards = 4096;  // pieces are compared in pairs

bool inside(const Shard& shard, const TensorEntry& tensor) {
  if (shard.offset.size() != tensor.shape.size() || shard.shape.size() != tensor.shape.size()) {
    return false;
  }
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    if (shard.offset[d] > tensor.shape[d] || shard.shape[d] > tensor.shape[d] - shard.offset[d]) {
      return false;
    }
  }
  return true;
}

bool disjoint(const Shard& a, const Shard& b) {
  for (std::size_t d = 0; d < a.shape.size(); ++d) {
    if (a.offset[d] + a.shape[d] <= b.offset[d] || b.offset[d] + b.shape[d] <= a.offset[d])
      return true;
  }
  return false;
}

}  // namespace

std::string tiling_problem(const TensorEntry& tensor, bool whole) {
  const auto& shards = tensor.shards;
  if (shards.empty()) return "has no shard";
  if (shards.size() > kMaxShards) return "has more than 4096 shards";
  std::uint64_t filled = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (!inside(shards[i], tensor)) {
      return "has a shard of shape " + shape_text(shards[i].shape) + " at " +
             shape_text(shards[i].offset) + " that is not inside " + shape_text(tensor.shape);
    }
    // A shard inside the tensor has no more elements than the tensor, whose count fits; disjoint
    // pieces inside it add up to no more than that.
    bool replica = false;
    const std::uint64_t count = *element_count(shards[i].shape);
    for (std::size_t j = 0; j < i && !replica; ++j) {
      replica = same_piece(shards[i], shards[j]);
      if (replica && shards[i].rank == shards[j].rank && count > 0) {
        return "has the same piece twice from rank " + std::to_string(shards[i].rank);
      }
      if (!replica && count > 0 && *element_count(shards[j].shape) > 0 &&
          !disjoint(shards[i], shards[j])) {
        return "has shards that overlap";
      }
    }
    if (!replica) filled += count;
  }
  const std::uint64_t total = *element_count(tensor.shape);
  if (whole && filled != total) {
    return "has shards with " + std::to_string(filled) + " of its " + std::to_string(total) +
           " elements";
  }
  return "";
}

}  // namespace assay::simulator
