// SPDX-License-Identifier: Apache-2.0
// Errors that name the nearest known word: nearest by Levenshtein's definition, computed here by
// its recursion.
#include "formats/names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "formats/codec.h"
#include "formats/philox.h"

namespace assay::formats {
namespace {

std::size_t distance(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  const std::size_t replaced =
      distance(a.substr(1), b.substr(1)) + (a.front() == b.front() ? 0 : 1);
  return std::min({replaced, distance(a.substr(1), b) + 1, distance(a, b.substr(1)) + 1});
}

TEST(Names, TheSuggestionIsNearest) {
  std::uint64_t next = 0;
  const auto word = [&] {
    std::string text;
    for (std::uint32_t length = philox_word(9, next++) % 6; text.size() < length;)
      text += static_cast<char>('a' + philox_word(9, next++) % 3);
    return text;
  };
  for (int trial = 0; trial < 2000; ++trial) {
    const std::string name = word();
    const std::array<std::string, 3> known{word() + "x", word() + "y", word() + "z"};
    const std::array<std::string_view, 3> views{known[0], known[1], known[2]};
    const std::string message = unknown_name("thing", name, views);
    const std::string head = "unknown thing '" + name + "'; did you mean '";
    ASSERT_TRUE(message.starts_with(head)) << message;
    const std::string suggested =
        message.substr(head.size(), message.find('\'', head.size()) - head.size());
    std::size_t least = 100;
    for (const std::string& k : known) least = std::min(least, distance(name, k));
    ASSERT_EQ(distance(name, suggested), least) << message;
    ASSERT_TRUE(message.ends_with("? known: " + known[0] + ", " + known[1] + ", " + known[2]));
  }
}

TEST(Names, EveryRoundingModeHasItsOwn) {
  using enum RoundingMode;
  for (const RoundingMode mode : {nearest_even, nearest_away, toward_zero, toward_positive,
                                  toward_negative, to_odd, stochastic})
    EXPECT_EQ(find_rounding_mode(name_of(mode)), mode);
  EXPECT_EQ(name_of(to_odd), "to_odd");
  EXPECT_THROW((void)find_rounding_mode("nearest"), std::invalid_argument);
}

TEST(Names, RandomBitsAreOneToSixteen) {
  for (const int bits : {-1, 0, 17})
    EXPECT_THROW(require_random_bits(RoundingMode::stochastic, bits), std::invalid_argument);
  for (const int bits : {1, 16})
    EXPECT_NO_THROW(require_random_bits(RoundingMode::stochastic, bits));
  EXPECT_NO_THROW(require_random_bits(RoundingMode::nearest_even, 0));
  EXPECT_THROW((void)E2m1::encode(1.0F, RoundingMode::stochastic,
                                  profile_row(saturating, e2m1).policy, {17, 0}),
               std::invalid_argument);
}

}  // namespace
}  // namespace assay::formats
