// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a conversion must give, from golden.

#include <cstdint>
#include <vector>

#include "kernels/device_under_test.h"

namespace assay::proptests {

/// The code of `bits`, a number of the claim's source format (claim.output) as it is stored.
[[nodiscard]] std::uint32_t converted(const kernels::Claim& claim, std::uint32_t bits);

/// The same for every number of a 16-bit source, indexed by its code. Computed once per conversion
/// and kept: the tables do not change, and golden is slow.
[[nodiscard]] const std::vector<std::uint16_t>& all_converted(const kernels::Claim& claim);

}  // namespace assay::proptests
