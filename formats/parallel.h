// SPDX-License-Identifier: Apache-2.0
#pragma once
// When an array is worth more than one thread.

#include <cstdint>

namespace assay::formats::detail {

/// Whether work on this many elements repays waking the other threads: a team is woken and joined
/// in microseconds on idle cores and in whole time slices on busy ones, where a single thread is
/// done with a smaller array in less than 100 us at the codec's slowest.
[[nodiscard]] constexpr bool worth_threads(std::int64_t elements) { return elements > 65536; }

}  // namespace assay::formats::detail
