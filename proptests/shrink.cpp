// SPDX-License-Identifier: Apache-2.0
#include "proptests/shrink.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace assay::proptests {
namespace {

constexpr std::uint32_t leading_bits = 0xFFFF0000U;

/// 0 for zero, 1 for one, 2 for powers of two, 3 for up to 8 leading bits, 4 for the rest; a
/// negative number ranks above its magnitude within the same rank. NaN and Inf are left as they
/// are.
int rank(float x) {
  if (x == 0.0F) return std::signbit(x) ? 1 : 0;
  if (std::fabs(x) == 1.0F) return std::signbit(x) ? 3 : 2;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const int base = (bits & 0x7FFFFFU) == 0 ? 4 : (bits & ~leading_bits) == 0 ? 6 : 8;
  return base + (std::signbit(x) ? 1 : 0);
}

}  // namespace

std::vector<Piece> smaller(std::int64_t extent) {
  std::vector<Piece> pieces;
  if (extent <= 1) return pieces;
  const std::int64_t half = extent / 2;
  pieces.push_back({0, half});
  if (half < extent - 1) pieces.push_back({half, extent - half});
  pieces.push_back({0, extent - 1});
  pieces.push_back({1, extent - 1});
  return pieces;
}

std::vector<Replacement> simpler_values(std::span<const float> values) {
  std::vector<Replacement> out;
  for (std::size_t length = values.size(); length > 0; length /= 2)
    for (std::size_t first = 0; first < values.size(); first += length) {
      const std::size_t count = std::min(length, values.size() - first);
      const auto run = values.subspan(first, count);
      if (std::any_of(run.begin(), run.end(), [](float x) { return rank(x) > 0; }))
        out.push_back({first, count, 0.0F});
    }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float x = values[i];
    if (!std::isfinite(x)) continue;
    const float power = x == 0.0F ? 0.0F : std::copysign(std::ldexp(1.0F, std::ilogb(x)), x);
    const float leading = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & leading_bits);
    for (const float candidate : {1.0F, std::fabs(x), power, leading})
      if (rank(candidate) < rank(x) && rank(candidate) > 0) out.push_back({i, 1, candidate});
  }
  return out;
}

void perform(const Replacement& replacement, std::span<float> values) {
  std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(replacement.first), replacement.count,
              replacement.value);
}

}  // namespace assay::proptests
