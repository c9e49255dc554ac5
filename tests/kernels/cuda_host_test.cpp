// SPDX-License-Identifier: Apache-2.0
// Arithmetic of the GPU kernels that is host code too.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/cuda/tile_order.cuh"

namespace assay::kernels::cuda {
namespace {

/// OCP MX v1.0, section 5.3.3: by comparison with the midpoints, ties to the even code.
std::uint32_t nearest_e2m1(float x) {
  constexpr float midpoints[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  const float a = std::fabs(x);
  std::uint32_t code = 0;
  for (std::uint32_t i = 0; i < 7; ++i)
    if (i % 2 == 0 ? a > midpoints[i] : a >= midpoints[i]) code = i + 1;
  return code | (std::signbit(x) ? 8U : 0U);
}

TEST(EncodeE2m1, IsTheNearestCode) {
  // An odd stride through all bit patterns, and every neighbourhood of a midpoint.
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32U; bits += 61) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::isnan(x)) continue;
    ASSERT_EQ(encode_e2m1_high(x) >> 28U, nearest_e2m1(x)) << std::hex << bits;
  }
  for (const float middle :
       {0.25F, 0.5F, 0.75F, 1.0F, 1.25F, 1.75F, 2.0F, 2.5F, 3.5F, 4.0F, 5.0F, 6.0F})
    for (int step = -3; step <= 3; ++step)
      for (const std::uint32_t sign : {0U, 0x80000000U}) {
        const float x = std::bit_cast<float>((std::bit_cast<std::uint32_t>(middle) + step) | sign);
        ASSERT_EQ(encode_e2m1_high(x) >> 28U, nearest_e2m1(x)) << x;
      }
}

TEST(EncodeE2m1, PutsTheFirstInTheLowestNibble) {
  const float x[8] = {0.5F,  -1.0F, 1.5F, 2.0F,
                      -3.0F, 4.0F,  6.0F, -std::numeric_limits<float>::infinity()};
  EXPECT_EQ(encode_e2m1(x), 0xF76D43A1U);
}

TEST(TilePlace, VisitsEveryTileOnce) {
  for (const unsigned rows : {1U, 7U, 8U, 9U, 64U})
    for (const unsigned cols : {1U, 3U, 56U})
      for (const unsigned across : {1U, 8U}) {
        std::set<std::pair<unsigned, unsigned>> seen;
        for (unsigned block = 0; block < rows * cols; ++block) {
          const TilePlace place = tile_place(block, rows, cols, across);
          EXPECT_LT(place.row, rows);
          EXPECT_LT(place.col, cols);
          seen.emplace(place.row, place.col);
        }
        EXPECT_EQ(seen.size(), std::size_t{rows} * cols);
      }
}

}  // namespace
}  // namespace assay::kernels::cuda
