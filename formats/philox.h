// SPDX-License-Identifier: Apache-2.0
#pragma once
// Philox4x32-10, the project's random words: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers:
// As Easy as 1, 2, 3", SC 2011, sections 3.3 and 4. Counter based: element i of a tensor uses word
// i % 4 of counter i / 4 under key = seed, so any split over threads or shards gives the same
// bytes.

#include <cstdint>

#include "formats/host_device.h"

namespace assay::formats {

struct PhiloxWords {
  std::uint32_t w[4];
  friend constexpr bool operator==(const PhiloxWords&, const PhiloxWords&) = default;
};

ASSAY_HOST_DEVICE constexpr PhiloxWords philox4x32_10(PhiloxWords counter, std::uint32_t key0,
                                                      std::uint32_t key1) {
  auto& c = counter.w;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c[2];
    c[0] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key0;
    c[1] = static_cast<std::uint32_t>(p1);
    c[2] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key1;
    c[3] = static_cast<std::uint32_t>(p0);
    key0 += 0x9E3779B9U;  // the golden ratio and sqrt(3) - 1: Weyl sequences of the key
    key1 += 0xBB67AE85U;
  }
  return counter;
}

/// The 32-bit word of the element with that logical index.
ASSAY_HOST_DEVICE constexpr std::uint32_t philox_word(std::uint64_t seed, std::uint64_t index) {
  const std::uint64_t block = index / 4;
  return philox4x32_10(
             {{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0}},
             static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32))
      .w[index % 4];
}

/// Its top `bits` bits (1..16): the random word of one stochastic rounding.
ASSAY_HOST_DEVICE constexpr std::uint32_t philox_bits(std::uint64_t seed, std::uint64_t index,
                                                      int bits) {
  return philox_word(seed, index) >> (32 - bits);
}

}  // namespace assay::formats
