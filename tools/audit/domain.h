// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which inputs of a conversion are tried, and what golden says that they become.

#include <cstdint>
#include <string>
#include <vector>

#include "formats/spec.h"

namespace assay::tools::audit {

/// Ascending codes of the source that are tried where not all of them are. FP16 and BF16: all
/// 65,536. FP32: every BF16 and every FP16 number, every sign and exponent with eight fractions,
/// and each place where the code changes with two neighbours on both sides: every midpoint (or
/// threshold of a directed mode), and the limits of overflow, Inf and NaN.
std::vector<std::uint32_t> tried_inputs(const formats::FormatSpec& source,
                                        const formats::FormatSpec& destination,
                                        formats::RoundingMode mode, const formats::Policy& policy);

/// What the comparison is made with: for FP32 the intervals that golden derives over all 2^32, for
/// FP16 and BF16 golden's code of every number.
class Expected {
 public:
  Expected(const formats::FormatSpec& source, const formats::FormatSpec& destination,
           formats::RoundingMode mode, const formats::Policy& policy);
  /// The codes of ascending inputs.
  [[nodiscard]] std::vector<std::uint32_t> codes(const std::vector<std::uint32_t>& in) const;

 private:
  struct Step {
    std::uint32_t last;  ///< the last input of this code
    std::uint32_t code;
  };
  std::vector<Step> steps_;
};

/// The FP32 number of a code of the source, by its bits; NaNs keep their sign. Exact.
std::uint32_t widened(const formats::FormatSpec& source, std::uint32_t code);

}  // namespace assay::tools::audit
