// SPDX-License-Identifier: Apache-2.0
#pragma once
// A conversion that somebody else wrote, as a function from codes to codes, and where it comes
// from.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "formats/spec.h"

namespace assay::tools::audit {

/// Answers that are no code: the peer raised an error, or gave a number that no code of the format
/// has.
inline constexpr std::uint32_t refused = 0xFFFFFFFE;
inline constexpr std::uint32_t no_code = 0xFFFFFFFF;

struct Cast {
  std::string peer;
  std::string function;               ///< what is called, as its users write it
  const formats::FormatSpec* source;  ///< fp32, fp16 or bf16
  const formats::FormatSpec* destination;
  formats::RoundingMode mode;
  const formats::Profile* profile;  ///< the conventions it is held against
  /// out[i] becomes the code of in[i], or one of the two above. Throws std::runtime_error where the
  /// peer is lost.
  std::function<void(std::span<const std::uint32_t> in, std::span<std::uint32_t> out)> convert;
  bool concurrent;  ///< may be called by several threads at once
  bool fast;        ///< fast enough for all 2^32 inputs
};

/// A library whose conversions are audited, or why it is not here.
struct Peer {
  std::string name;
  std::string version;
  std::string absent;  ///< the reason; empty: it is here
  std::vector<Cast> casts;
};

}  // namespace assay::tools::audit
