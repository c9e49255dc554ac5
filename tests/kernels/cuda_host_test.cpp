// SPDX-License-Identifier: Apache-2.0
// Arithmetic of the GPU kernels that is host code too.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/cuda/fp4_encode.cuh"
#include "kernels/cuda/tile_order.cuh"
#include "kernels/cuda/w4a16_packed.h"

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

TEST(PackedW4a16, PairsComeBackAsBf16) {
  // Every code in every place, the others taking all values by turns.
  for (int place = 0; place < 8; ++place)
    for (int code = 0; code < 16; ++code)
      for (int other = 0; other < 16; ++other) {
        int low[4];
        int high[4];
        for (int i = 0; i < 4; ++i) {
          low[i] = (other + 5 * i) % 16;
          high[i] = (other + 7 * i + 3) % 16;
        }
        (place < 4 ? low : high)[place % 4] = code;
        std::uint32_t pairs[4];
        unpack_pairs(pack_pairs(low, high), pairs);
        for (int i = 0; i < 4; ++i) {
          const auto bf16 = [](int c) {
            return static_cast<std::uint32_t>(c / 8 << 15 | c % 8 << 6);
          };
          EXPECT_EQ(pairs[i], bf16(low[i]) | bf16(high[i]) << 16U) << place << ' ' << code;
        }
      }
}

TEST(PackedW4a16, ScaleFactorsComeBackTimesAPowerOfTwo) {
  const auto half = [](std::uint32_t word, int which) {
    return std::bit_cast<float>((which == 0 ? word << 16U : word) & 0xFFFF0000U);
  };
  constexpr int up = 126 - kPackedShift;
  for (int code = 0; code < 256; ++code) {
    // UE4M3 (OFP8 E4M3 without its sign): 2^-9 steps below 2^-6.
    const int magnitude = code & 0x7F;
    const float value =
        magnitude < 8 ? std::ldexp(static_cast<float>(magnitude), -9)
                      : std::ldexp(1.0F + static_cast<float>(magnitude % 8) / 8, magnitude / 8 - 7);
    const PackedScale packed = pack_ue4m3(code);
    EXPECT_EQ(packed.zeros, magnitude == 0);
    const auto byte = static_cast<std::uint32_t>(packed.code);
    for (int place = 0; place < 4; ++place) {
      // Bytes 0 and 1 are the low half's, even and odd.
      const float back = half(
          unpack_ue4m3(byte << 8 * place | 0x35U << (8 * place + 16) % 32, place % 2), place / 2);
      if (magnitude == 0x7F)
        EXPECT_TRUE(std::isnan(back));
      else if (magnitude != 0)
        EXPECT_EQ(back, std::ldexp(value, up)) << code << ' ' << place;
      else
        EXPECT_TRUE(std::isnormal(back));
    }
    const PackedScale power = pack_e8m0(code);
    if (power.code < 0) continue;
    for (int place = 0; place < 4; ++place)
      EXPECT_EQ(half(unpack_e8m0(static_cast<std::uint32_t>(power.code) << 8 * place, place % 2),
                     place / 2),
                std::ldexp(1.0F, code - 127 + up));
    // The smallest weight under it stays a normal bf16 number, the largest finite.
    EXPECT_GE(std::ldexp(0.5F, code - 127 - kPackedShift), std::ldexp(1.0F, -126));
  }
  EXPECT_GE(pack_e8m0(127).code, 0);
  EXPECT_LT(pack_e8m0(0xFF).code, 0);
}

// PTX ISA 9.0, mma.m16n8k16, A fragment: a0 (row g, k 2q), a1 (row g + 8), a2 and a3 eight k later.
TEST(PackedW4a16, EveryWeightHasOnePlace) {
  std::set<std::pair<int, int>> weights;
  std::set<int> words;
  for (int lane = 0; lane < 32; ++lane)
    for (int step = 0; step < kPackedSteps; ++step) {
      words.insert(packed_word(lane, step));
      for (int pair = 0; pair < 4; ++pair) {
        const PackedPlace p = packed_place(lane, step, pair);
        EXPECT_TRUE(p.row < kPackedRows && p.k % 2 == 0 && p.k + 1 < kPackedK && p.k / 16 == step);
        weights.emplace(p.row, p.k);
      }
    }
  EXPECT_EQ(weights.size(), std::size_t{kPackedRows} * kPackedK / 2);
  EXPECT_EQ(words.size(), 256U);
  EXPECT_EQ(*words.rbegin(), 255);
  EXPECT_EQ(packed_place(5, 2, 3).row, 9);
  EXPECT_EQ(packed_place(5, 2, 3).k, 32 + 2 + 8);
  for (const int groups : {4, 8}) {
    std::set<int> bytes;
    for (int row = 0; row < kPackedRows; ++row)
      for (int group = 0; group < groups; ++group) bytes.insert(packed_scale(row, group, groups));
    EXPECT_EQ(bytes.size(), static_cast<std::size_t>(kPackedRows * groups));
    EXPECT_EQ(*bytes.rbegin(), kPackedRows * groups - 1);
    // A row's word `i` has groups 2 i and 2 i + 1 of rows r and r + 8, as unpack takes them.
    EXPECT_EQ(packed_scale(3, 2, groups) % 4, 0);
    EXPECT_EQ(packed_scale(3, 3, groups), packed_scale(3, 2, groups) + 1);
    EXPECT_EQ(packed_scale(11, 2, groups), packed_scale(3, 2, groups) + 2);
    EXPECT_EQ(packed_scale(3, 2, groups) / (2 * groups), 3);
  }
}

}  // namespace
}  // namespace assay::kernels::cuda
