// SPDX-License-Identifier: Apache-2.0
#pragma once
// A peer's conversion beside golden under the profile that it is held against.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/audit/cast.h"
#include "tools/audit/findings.h"

namespace assay::tools::audit {

/// An input with both codes.
struct Difference {
  std::uint32_t input, ours, theirs;
};

/// What became of one finding in one conversion.
struct Found {
  const Finding* finding;
  std::uint64_t predicted = 0;    ///< inputs tried that the finding speaks of
  std::uint64_t differences = 0;  ///< those that differ, all with the code it names
  Difference first{};
};

/// The codes that the inputs of a corner became, and how many of them each.
struct Answers {
  const Corner* corner;
  std::map<std::uint32_t, std::uint64_t> codes;
};

struct Result {
  const Cast* cast = nullptr;
  std::string missing;  ///< the library has no such conversion, and why; nothing else is set then
  bool all = false;     ///< every input of the source was tried
  std::uint64_t inputs = 0;
  std::uint64_t differences = 0;
  std::vector<Found> found;
  std::uint64_t unpredicted = 0;  ///< differences that no finding names, or names with other codes
  std::uint64_t absent = 0;       ///< predicted differences that did not occur
  std::vector<Difference> surprises;  ///< the first of both
  std::vector<Answers> answers;       ///< of FP32 sources
  [[nodiscard]] bool as_predicted() const { return unpredicted == 0 && absent == 0; }
};

/// Tries the conversion; `whole`: all 2^32 FP32 inputs where the cast is fast enough. Throws
/// std::runtime_error where the peer is lost.
Result audit(const Cast& cast, bool whole);

}  // namespace assay::tools::audit
