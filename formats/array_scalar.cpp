// SPDX-License-Identifier: Apache-2.0
// The parts of the array codec that need no intrinsics: FP64 sources and decoding.
#include <array>
#include <cstring>

#include "formats/array.h"
#include "formats/array_chunks.h"
#include "formats/philox.h"

namespace assay::formats {
namespace {

// Stores codes in the packing of array.h.
void store_codes(const FormatSpec& spec, const std::uint32_t* codes, std::size_t count,
                 std::uint8_t* out) {
  if (spec.storage_bits == 4) {
    for (std::size_t i = 0; i + 1 < count; i += 2) {
      out[i / 2] = static_cast<std::uint8_t>(codes[i] | (codes[i + 1] << 4));
    }
    if (count % 2 != 0) out[count / 2] = static_cast<std::uint8_t>(codes[count - 1]);
    return;
  }
  const auto bytes = static_cast<std::size_t>(spec.storage_bits) / 8;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t stored = codes[i] << spec.storage_shift;
    for (std::size_t b = 0; b < bytes; ++b) {
      out[i * bytes + b] = static_cast<std::uint8_t>(stored >> (8 * b));
    }
  }
}

// Tables of all values, for the formats of at most 8 bits.
std::array<float, 256> value_table(const FormatSpec& spec) {
  std::array<float, 256> table{};
  for (std::uint32_t code = 0; code < (1U << spec.storage_bits); ++code) {
    table[code] = decode(spec, code);
  }
  return table;
}

// 16 and 32 bit formats: shifting the code's fields to FP32's leaves only the biases to reconcile,
// which is a multiplication by 2^(127 - bias), exact also for subnormals (the products are FP32
// values).
float decode_wide(const Fields& fields, float unbias, std::uint32_t code) {
  const std::uint32_t magnitude = code & fields.magnitude_mask();
  const std::uint32_t sign = (code & fields.sign_mask()) << (31 - fields.magnitude_bits());
  const std::uint32_t special = magnitude == fields.infinity() ? 0x7F800000U : 0x7FC00000U;
  const float finite = __builtin_bit_cast(float, magnitude << (23 - fields.mantissa_bits)) * unbias;
  const std::uint32_t bits =
      magnitude > fields.max_finite() ? special : __builtin_bit_cast(std::uint32_t, finite);
  return __builtin_bit_cast(float, bits | sign);
}

template <class Word>
void decode_words(const FormatSpec& spec, const std::uint8_t* codes, std::size_t count,
                  float* out) {
  const Fields fields = fields_of(spec);
  const float unbias = __builtin_bit_cast(float, static_cast<std::uint32_t>(254 - spec.bias) << 23);
  for (std::size_t i = 0; i < count; ++i) {
    Word stored;
    std::memcpy(&stored, codes + i * sizeof(Word), sizeof(Word));
    out[i] = decode_wide(fields, unbias, std::uint32_t{stored} >> spec.storage_shift);
  }
}

}  // namespace

void encode_array(const FormatSpec& spec, std::span<const double> in, const ArrayOptions& options,
                  std::span<std::uint8_t> out) {
  detail::require_valid(spec, options, in.size(), out.size());
  const Fields fields = fields_of(spec);
  const bool stochastic = options.mode == RoundingMode::stochastic;
  detail::for_each_chunk(in.size(), options.threads, [&](std::size_t first, std::size_t count) {
    std::array<std::uint32_t, detail::chunk> words{};
    std::array<std::uint32_t, detail::chunk> codes;
    if (stochastic) {
      philox_words(options.seed, options.first_index + first, std::span(words).first(count));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const Random random{options.random_bits,
                          stochastic ? words[i] >> (32 - options.random_bits) : 0};
      codes[i] = detail::encode_unpacked(fields, unpack(in[first + i]), options.mode,
                                         options.policy, random);
    }
    store_codes(spec, codes.data(), count, out.data() + packed_size(spec, first));
  });
}

void decode_array(const FormatSpec& spec, std::span<const std::uint8_t> codes, std::span<float> out,
                  int threads) {
  detail::require_size(spec, out.size(), codes.size());
  const auto table = spec.storage_bits <= 8 ? value_table(spec) : std::array<float, 256>{};
  detail::for_each_chunk(out.size(), threads, [&](std::size_t first, std::size_t count) {
    const std::uint8_t* from = codes.data() + packed_size(spec, first);
    float* to = out.data() + first;
    switch (spec.storage_bits) {
      case 4:
        for (std::size_t i = 0; i < count; ++i) {
          to[i] = table[(from[i / 2] >> (4 * (i % 2))) & 0x0F];
        }
        break;
      case 8:
        for (std::size_t i = 0; i < count; ++i) to[i] = table[from[i]];
        break;
      case 16:
        decode_words<std::uint16_t>(spec, from, count, to);
        break;
      default:
        decode_words<std::uint32_t>(spec, from, count, to);
    }
  });
}

}  // namespace assay::formats
