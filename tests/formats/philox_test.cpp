// SPDX-License-Identifier: Apache-2.0
#include "formats/philox.h"

#include <gtest/gtest.h>

#include <vector>

#include "formats/array.h"

namespace assay::formats {
namespace {

// The known answers of Random123 (tests/kat_vectors, philox4x32 with 10 rounds).
static_assert(philox4x32_10({{0, 0, 0, 0}}, 0, 0) ==
              PhiloxWords{{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}});
static_assert(philox4x32_10({{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}}, 0xFFFFFFFF,
                            0xFFFFFFFF) ==
              PhiloxWords{{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}});
static_assert(philox4x32_10({{0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}}, 0xA4093822,
                            0x299F31D0) ==
              PhiloxWords{{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}});

TEST(Philox, KnownAnswersAtRunTime) {
  volatile std::uint32_t zero = 0;  // keeps the compiler from folding the call
  const PhiloxWords words = philox4x32_10({{zero, zero, zero, zero}}, zero, zero);
  EXPECT_EQ(words.w[0], 0x6627E8D5U);
  EXPECT_EQ(words.w[3], 0x9B00DBD8U);
}

TEST(Philox, WordsOfAnArrayAreThoseOfItsElements) {
  constexpr std::uint64_t seed = 0xFEDCBA9876543210;
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{1} << 34}) {
    std::vector<std::uint32_t> words(101);
    philox_words(seed, first, words);
    for (std::size_t i = 0; i < words.size(); ++i) {
      ASSERT_EQ(words[i], philox_word(seed, first + i)) << first << " + " << i;
      ASSERT_EQ(words[i] >> 27, philox_bits(seed, first + i, 5));
    }
  }
}

}  // namespace
}  // namespace assay::formats
