// SPDX-License-Identifier: Apache-2.0
// The second oracle: NVIDIA's own host code, input by input.
#include <cstring>
#include <numeric>

#include "exhaustive/cells.h"
#include "tools/audit/cuda_casts.h"

namespace assay::exhaustive {
namespace {

using tools::audit::CudaCast;

/// Packs the row's codes as array.h does.
Oracle oracle_of(const CudaCast& cast) {
  const auto fill = [cast](std::uint64_t first, std::size_t count, std::span<std::uint8_t> out) {
    std::vector<std::uint32_t> codes(count);
    std::iota(codes.begin(), codes.end(), static_cast<std::uint32_t>(first));
    cast.convert(codes.data(), count, codes.data());
    const int bits = cast.destination->storage_bits;
    const auto width = static_cast<std::size_t>(bits) / 8;
    for (std::size_t i = 0; i < count; ++i) {
      if (bits == 4) {
        out[i / 2] = static_cast<std::uint8_t>(i % 2 == 0 ? codes[i] : out[i / 2] | codes[i] << 4);
      } else {
        std::memcpy(&out[i * width], &codes[i], width);
      }
    }
  };
  return {fill, {}};
}

}  // namespace

std::vector<Cell> cuda_cells() {
  std::vector<Cell> cells;
  for (const CudaCast& cast : tools::audit::cuda_casts()) {
    if (cast.source != &formats::fp32) continue;
    cells.push_back({"cuda", std::string(cast.profile->name), cast.destination, cast.mode,
                     profile_row(*cast.profile, *cast.destination).policy,
                     [cast] { return oracle_of(cast); }});
  }
  return cells;
}

}  // namespace assay::exhaustive
