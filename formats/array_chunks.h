// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the files of the array codec share: how an array is cut into tasks, and the checks at its
// door.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "formats/array.h"
#include "formats/parallel.h"

namespace assay::formats::detail {

// Elements per task: a multiple of 4 (Philox words) and of 2 (nibbles), small enough for buffers on
// the stack and in the first-level cache.
inline constexpr std::size_t chunk = 2048;

// Calls body(first, count) for every chunk of [0, total), on `threads` threads (0: OpenMP's
// number).
template <class Body>
void for_each_chunk(std::size_t total, [[maybe_unused]] int threads, const Body& body) {
  const auto chunks = static_cast<std::int64_t>((total + chunk - 1) / chunk);
  const auto run = [&](std::int64_t c) {
    const std::size_t first = static_cast<std::size_t>(c) * chunk;
    body(first, std::min(chunk, total - first));
  };
#ifdef _OPENMP
  if (threads > 1 && chunks > 1) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (std::int64_t c = 0; c < chunks; ++c) run(c);
    return;
  }
  if (threads == 0) {
    const bool worth = worth_threads(static_cast<std::int64_t>(total));
#pragma omp parallel for schedule(static) if (worth)
    for (std::int64_t c = 0; c < chunks; ++c) run(c);
    return;
  }
#endif
  for (std::int64_t c = 0; c < chunks; ++c) run(c);
}

void require_size(const FormatSpec& spec, std::size_t count, std::size_t bytes);
void require_valid(const FormatSpec& spec, const ArrayOptions& options, std::size_t count,
                   std::size_t bytes);

}  // namespace assay::formats::detail
