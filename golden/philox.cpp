// SPDX-License-Identifier: Apache-2.0
#include "golden/philox.h"

#include <stdexcept>

namespace assay::golden {

std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t multiplier_0 = 0xD2511F53;
  constexpr std::uint64_t multiplier_1 = 0xCD9E8D57;
  constexpr std::uint32_t weyl_0 = 0x9E3779B9;  // golden ratio
  constexpr std::uint32_t weyl_1 = 0xBB67AE85;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = multiplier_0 * counter[0];
    const std::uint64_t product_1 = multiplier_1 * counter[2];
    const auto high_0 = static_cast<std::uint32_t>(product_0 >> 32);
    const auto high_1 = static_cast<std::uint32_t>(product_1 >> 32);
    counter = {high_1 ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product_1),
               high_0 ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product_0)};
    key = {key[0] + weyl_0, key[1] + weyl_1};
  }
  return counter;
}

Random random_of(std::uint64_t seed, std::uint64_t logical_index, int bits) {
  if (bits < 1 || bits > 16)
    throw std::invalid_argument("random_of: stochastic rounding takes 1 to 16 random bits");
  const std::uint64_t block = logical_index / 4;
  const auto words = philox4x32_10(
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0},
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return {bits, words[logical_index % 4] >> (32 - bits)};
}

}  // namespace assay::golden
