// SPDX-License-Identifier: Apache-2.0
#pragma once
// FP4 weights rearranged, once when they are loaded, so that a small batch decodes them with few
// instructions: a thread's loads are its fragments of mma.m16n8k16, and four pairs of codes come
// out of a word by masks and shifts. Host code too.
//
// Weights enter the matrix unit as code * scale * 2^-19 and activations as a * 2^19, both exact:
// one multiplication per pair then makes the weights, where 2^126 and the scale factor took two.

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

/// Weights and activations are out by this power of two, in opposite directions.
inline constexpr int kPackedShift = 19;

/// A half of a word, four codes: signs of pairs 0, 2, 3, 1 from the top, then the magnitudes of
/// pairs 3, 0, 1, 2. `pairs[j]` has the code of the low half in `low[j]`.
ASSAY_HOST_DEVICE inline std::uint32_t pack_pairs(const int (&low)[4], const int (&high)[4]) {
  std::uint32_t word = 0;
  for (int half = 0; half < 2; ++half) {
    const int(&c)[4] = half == 0 ? low : high;
    const auto bits = static_cast<std::uint32_t>(
        (c[0] >> 3) << 15 | (c[2] >> 3) << 14 | (c[3] >> 3) << 13 | (c[1] >> 3) << 12 |
        (c[3] & 7) << 9 | (c[0] & 7) << 6 | (c[1] & 7) << 3 | (c[2] & 7));
    word |= bits << 16 * half;
  }
  return word;
}
/// As bf16 pairs times 2^-126: the sign on top, the magnitude at the lowest two exponent bits and
/// the highest fraction bit (fp4_registers.cuh).
ASSAY_HOST_DEVICE inline void unpack_pairs(std::uint32_t word, std::uint32_t (&pairs)[4]) {
  constexpr std::uint32_t magnitudes = 0x01C001C0U;
  constexpr std::uint32_t signs = 0x80008000U;
  pairs[0] = word & (magnitudes | signs);
  pairs[1] = word << 3 & (magnitudes | signs);
  pairs[2] = (word << 6 & magnitudes) | (word << 1 & signs);
  pairs[3] = (word >> 3 & magnitudes) | (word << 2 & signs);
}

/// A scale factor's byte, and whether the elements under it must become zeros.
struct PackedScale {
  int code;    ///< -1: cannot be packed
  bool zeros;  ///< the scale factor is 0
};
/// UE4M3 as 5 bits of exponent and 3 of fraction without subnormal numbers; 0xFF is NaN.
ASSAY_HOST_DEVICE inline PackedScale pack_ue4m3(int code) {
  const int magnitude = code & 0x7F;
  if (magnitude == 0x7F) return {0xFF, false};
  if (magnitude == 0) return {1 << 3, true};
  int exponent = (magnitude >> 3) - 7;
  int fraction = magnitude & 7;
  if (exponent == -7) {  // fraction * 2^-9
    exponent = -6;
    while (fraction < 8) {
      fraction *= 2;
      --exponent;
    }
    fraction &= 7;
  }
  return {(exponent + 10) << 3 | fraction, false};
}
/// E8M0 with another bias: only so far from 1 that nothing on the way leaves bf16's normal numbers.
ASSAY_HOST_DEVICE inline PackedScale pack_e8m0(int code) {
  if (code < kPackedShift + 2 || code > 147) return {-1, false};
  return {code + 126 - kPackedShift, false};
}

/// Two scale factors times 2^(126 - 19), as bf16, from the even or the odd bytes of a word.
/// `high_bits`: these, in a register on a GPU, where both constants do not fit into an instruction.
inline constexpr std::uint32_t kPackedHighBits = 0x70007000U;
ASSAY_HOST_DEVICE inline std::uint32_t unpack_ue4m3(std::uint32_t word, int odd,
                                                    std::uint32_t high_bits = kPackedHighBits) {
  const std::uint32_t shifted = odd != 0 ? word >> 4 : word << 4;
#ifdef __CUDA_ARCH__
  std::uint32_t both;  // (shifted & mask) | high_bits
  asm("lop3.b32 %0, %1, 0x0FF00FF0, %2, 0xEA;" : "=r"(both) : "r"(shifted), "r"(high_bits));
  return both;
#else
  return (shifted & 0x0FF00FF0U) | high_bits;
#endif
}
ASSAY_HOST_DEVICE inline std::uint32_t unpack_e8m0(std::uint32_t word, int odd) {
  return (odd != 0 ? word >> 1 : word << 7) & 0x7F807F80U;
}

// A tile is 16 rows x 128 k, eight mma steps. Lane l holds rows l/4 and l/4 + 8; the word of step s
// has the pairs of mma's registers a0 .. a3.
inline constexpr int kPackedRows = 16, kPackedK = 128, kPackedSteps = 8;
struct PackedPlace {
  int row, k;  ///< of the pair's low code; the high one is the next k
};
ASSAY_HOST_DEVICE constexpr PackedPlace packed_place(int lane, int step, int pair) {
  return {lane / 4 + pair % 2 * 8, step * 16 + lane % 4 * 2 + pair / 2 * 8};
}
/// Bytes of a tile: its words, then the scale factors of `groups` groups a row.
ASSAY_HOST_DEVICE constexpr int packed_tile_bytes(int groups) {
  return 1024 + kPackedRows * groups;
}
/// Where the word lies in the tile's 256 words: 16-byte loads of a warp are contiguous.
ASSAY_HOST_DEVICE constexpr int packed_word(int lane, int step) {
  return (step / 4 * 32 + lane) * 4 + step % 4;
}
/// Where the byte of the scale factor of (row, group) lies among the tile's; `groups` of them a
/// row. A word has two neighbouring groups of rows r and r + 8, in even and odd bytes.
ASSAY_HOST_DEVICE constexpr int packed_scale(int row, int group, int groups) {
  return row % 8 * 2 * groups + group / 2 * 4 + row / 8 * 2 + group % 2;
}

}  // namespace assay::kernels::cuda
