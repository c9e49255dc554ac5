// SPDX-License-Identifier: Apache-2.0
#pragma once
// The array codec: arrays to packed codes and back, SIMD chosen at run time, OpenMP over chunks.
// Equal to the scalar codec (codec.h) and to golden::encode bit for bit; the bytes depend on
// neither the thread count nor the instruction set.
//
// Packed codes: 4-bit formats two to a byte, the even index in the low nibble, an unused last
// nibble zero; 8, 16 and 32 bit formats little endian, TF32 in the top 19 bits of its 32.
//
// Errors: std::invalid_argument, one sentence, for a policy that the format cannot express, for
// stochastic rounding without 1..16 random bits, and for an output of the wrong size.

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/codec.h"

namespace assay::formats {

struct ArrayOptions {
  RoundingMode mode = RoundingMode::nearest_even;
  Policy policy{};                ///< of the destination; see profile_row()
  int random_bits = 0;            ///< stochastic: n, 1..16
  std::uint64_t seed = 0;         ///< stochastic: Philox key (philox.h)
  std::uint64_t first_index = 0;  ///< stochastic: logical index of element 0
  int threads = 1;                ///< 0: as OpenMP decides
};

/// Bytes of `count` packed codes.
std::size_t packed_size(const FormatSpec& spec, std::size_t count);

/// out.size() == packed_size(spec, in.size()).
void encode_array(const FormatSpec& spec, std::span<const float> in, const ArrayOptions& options,
                  std::span<std::uint8_t> out);

/// Stochastic rounding with the caller's random words, one per element, of which the top n bits
/// count; seed and first_index are not used. words.size() == in.size(); options.mode must be
/// stochastic.
void encode_array(const FormatSpec& spec, std::span<const float> in,
                  std::span<const std::uint32_t> words, const ArrayOptions& options,
                  std::span<std::uint8_t> out);

/// FP64 sources are rounded once, by the scalar codec. Profiles: policy_for_f64().
void encode_array(const FormatSpec& spec, std::span<const double> in, const ArrayOptions& options,
                  std::span<std::uint8_t> out);

/// Sources in BF16 or FP16 codes (any format of 16 bits): they widen to FP32 exactly, NaNs with
/// their sign.
void encode_array(const FormatSpec& spec, const FormatSpec& source,
                  std::span<const std::uint16_t> in, const ArrayOptions& options,
                  std::span<std::uint8_t> out);

/// The exact values of out.size() codes. codes.size() == packed_size(spec, out.size()).
void decode_array(const FormatSpec& spec, std::span<const std::uint8_t> codes, std::span<float> out,
                  int threads = 1);

/// The instruction set that the dispatch has chosen on this machine ("AVX2", "AVX3", "NEON" ...).
const char* simd_target();

/// out[i] = the Philox word of element first_index + i (philox.h).
void philox_words(std::uint64_t seed, std::uint64_t first_index, std::span<std::uint32_t> out);

}  // namespace assay::formats
