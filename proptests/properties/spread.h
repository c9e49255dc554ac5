// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows that do not follow each other, for claims that take strides.

#include "proptests/device.h"
#include "proptests/generators.h"

namespace assay::proptests {

struct Spread {
  std::int64_t gap = 0;  ///< Call::row_gap
  std::uint8_t pad = 0;
};

/// Dense in half of the cases, and always where the claim lacks ASSAY_DUT_STRIDES. The padding
/// holds zeros, or what reads as NaN in one format or another.
[[nodiscard]] inline Spread draw_spread(Draw& draw, const kernels::Claim& claim) {
  if ((claim.flags & ASSAY_DUT_STRIDES) == 0 || draw.one_in(2)) return {};
  return {draw.between(1, 17), draw.of<std::uint8_t>({0x00, 0x7F, 0xFF, 0x77})};
}
/// Zero, the largest positive or NaN code of the scale formats, all ones.
[[nodiscard]] inline std::uint8_t padding_byte(Draw& draw) {
  return draw.of<std::uint8_t>({0x00, 0x7F, 0xFF});
}
/// Never dense.
[[nodiscard]] inline Spread padded_rows(Draw& draw) {
  return {draw.between(2, 33), padding_byte(draw)};
}
/// The last row of three begins 2^31 or 2^32 elements behind the first, and a few more.
[[nodiscard]] inline Spread far_rows(Draw& draw) {
  return {(std::int64_t{1} << draw.of<unsigned>({30, 31})) + 2 * draw.between(0, 16),
          padding_byte(draw)};
}
/// Shapes of three rows must be possible, and no more: each is up to 8 GiB further.
[[nodiscard]] inline bool takes_far_rows(const kernels::Claim& claim) {
  constexpr std::uint32_t wanted = ASSAY_DUT_STRIDES | ASSAY_DUT_FAR_ROWS;
  return (claim.flags & wanted) == wanted && 3 % claim.m_multiple == 0 && 3 % claim.n_multiple == 0;
}
inline void spread(Call& call, const Spread& spread) {
  call.row_gap = spread.gap;
  call.pad = spread.pad;
}

}  // namespace assay::proptests
