// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is known of the peers: every input whose code differs from the profile that the peer is held
// against, with both codes and who is right by which source. A difference that no finding predicts
// is news, and so is a predicted one that does not occur.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tools/audit/cast.h"

namespace assay::tools::audit {

/// `theirs` of a range whose answers may be any NaN of the destination, ours among them.
inline constexpr std::uint32_t any_nan = 0xFFFFFFFD;

/// Inputs first..last, as bits of FP32 numbers (16-bit sources by their value), each of which gets
/// `ours` from golden and `theirs` from the peer.
struct Range {
  std::uint32_t first, last, ours, theirs;
};

struct Finding {
  std::string_view id;  ///< as in docs/evidence/peers.md where it is there
  std::string_view what;
  std::string_view right;  ///< who is right, and the source that says so
  /// Disjoint; empty for a conversion that it does not concern.
  std::vector<Range> (*ranges)(const Cast& cast);
};
std::span<const Finding> findings();

/// Inputs that conventions answer differently, whoever is held against what.
struct Corner {
  const formats::FormatSpec* destination;
  std::uint32_t first, last;  ///< bits of FP32 numbers
  std::string_view what;
  std::string_view right;
};
std::span<const Corner> corners();

}  // namespace assay::tools::audit
