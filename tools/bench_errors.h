// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench errors`: published quantization errors beside what the quantizers here lose on the
// same distribution, and beside the expectation as an integral.

#include <cstdint>
#include <string>

namespace assay::tools {

struct BenchErrorsOptions {
  std::int64_t elements = std::int64_t{1} << 22;  ///< deviates; rounded up to rows of 4096
  std::uint64_t seed = 1;
  std::string json;  ///< file for the same as JSON; "-": JSON in place of the tables
};

/// Prints the tables. Returns the number of published figures that are missed by more than 2 %
/// though no reason is known, or met though one is. Throws std::invalid_argument for options out of
/// range or a file that cannot be written.
int bench_errors(const BenchErrorsOptions& options);

}  // namespace assay::tools
