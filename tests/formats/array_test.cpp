// SPDX-License-Identifier: Apache-2.0
// The array codec equals the scalar codec: every instruction set, format, mode, policy; every
// length of tail; any number of threads; every source.
#include "formats/array.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "codec_cases.h"
#include "formats/layout.h"
#include "formats/philox.h"

namespace assay {
namespace {

using formats::ArrayOptions;
using formats::FormatSpec;
using formats::RoundingMode;
using tests::code_at;

template <class Source>
std::vector<std::uint8_t> packed(const FormatSpec& spec, const std::vector<Source>& in,
                                 const ArrayOptions& options) {
  std::vector<std::uint8_t> out(formats::packed_size(spec, in.size()), 0xA5);
  formats::encode_array(spec, std::span<const Source>(in), options, out);
  return out;
}

// Six significant prefixes and every rest around its half: see corner_inputs().
const std::vector<float>& inputs() {
  static const std::vector<float> all = tests::corner_inputs(4);
  return all;
}

class EveryFormat : public testing::TestWithParam<const FormatSpec*> {};

TEST_P(EveryFormat, ArrayEqualsScalarOnEveryTarget) {
  const FormatSpec& spec = *GetParam();
  for (const auto& policy : tests::policies_of(spec)) {
    for (const auto mode : tests::deterministic_modes) {
      std::vector<std::uint32_t> expected;
      for (const float x : inputs()) expected.push_back(formats::encode(spec, x, mode, policy));
      tests::for_each_target([&](const char* target) {
        const auto codes = packed(spec, inputs(), {.mode = mode, .policy = policy});
        for (std::size_t i = 0; i < expected.size(); ++i) {
          ASSERT_EQ(code_at(spec, codes, i), expected[i])
              << target << ' ' << name_of(mode) << " input "
              << __builtin_bit_cast(std::uint32_t, inputs()[i]);
        }
      });
    }
  }
}

TEST_P(EveryFormat, StochasticArrayEqualsScalarOnEveryTarget) {
  const FormatSpec& spec = *GetParam();
  const auto policy = profile_row(formats::saturating, spec).policy;
  for (const int bits : {1, 5, 13, 16}) {
    const ArrayOptions options{.mode = RoundingMode::stochastic,
                               .policy = policy,
                               .random_bits = bits,
                               .seed = 0x123456789ABCDEF0,
                               .first_index = 7};
    std::vector<std::uint32_t> expected;
    for (std::size_t i = 0; i < inputs().size(); ++i) {
      const formats::Random random{bits, formats::philox_bits(options.seed, 7 + i, bits)};
      expected.push_back(
          formats::encode(spec, inputs()[i], RoundingMode::stochastic, policy, random));
    }
    tests::for_each_target([&](const char* target) {
      const auto codes = packed(spec, inputs(), options);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(code_at(spec, codes, i), expected[i])
            << target << " bits " << bits << " input "
            << __builtin_bit_cast(std::uint32_t, inputs()[i]);
      }
    });
  }
}

TEST_P(EveryFormat, EveryLengthOfTail) {
  const FormatSpec& spec = *GetParam();
  const auto policy = profile_row(formats::ieee, spec).policy;
  tests::for_each_target([&](const char* target) {
    for (std::size_t count = 0; count <= 70; ++count) {
      const std::vector<float> in(inputs().begin() + 5000, inputs().begin() + 5000 + count);
      const auto codes = packed(spec, in, {.policy = policy});
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(code_at(spec, codes, i),
                  formats::encode(spec, in[i], RoundingMode::nearest_even, policy))
            << target << " count " << count;
      }
      if (spec.storage_bits == 4 && count % 2 != 0) {
        ASSERT_EQ(codes.back() >> 4, 0) << "the unused nibble is zero";
      }
    }
  });
}

TEST_P(EveryFormat, SameBytesForAnyThreadCount) {
  const FormatSpec& spec = *GetParam();
  for (const auto mode : {RoundingMode::nearest_even, RoundingMode::stochastic}) {
    ArrayOptions options{.mode = mode,
                         .policy = profile_row(formats::saturating, spec).policy,
                         .random_bits = 11,
                         .seed = 5};
    const auto one = packed(spec, inputs(), options);
    const std::vector<double> wide(inputs().begin(), inputs().end());
    const auto one_wide = packed(spec, wide, options);
    for (const int threads : {0, 2, 3, 7}) {
      options.threads = threads;
      EXPECT_EQ(packed(spec, inputs(), options), one) << threads;
      EXPECT_EQ(packed(spec, wide, options), one_wide) << threads;
    }
    EXPECT_EQ(one_wide, one) << "widening to FP64 changes no code";
  }
}

TEST_P(EveryFormat, SixteenBitSourcesWidenExactly) {
  const FormatSpec& spec = *GetParam();
  std::vector<std::uint16_t> all(1 << 16);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const auto mode : tests::deterministic_modes) {
    const auto policy = profile_row(formats::cuda13, spec).policy;
    for (const FormatSpec* source : {&formats::bf16, &formats::fp16}) {
      std::vector<std::uint8_t> codes(formats::packed_size(spec, all.size()));
      formats::encode_array(spec, *source, all, {.mode = mode, .policy = policy}, codes);
      for (std::size_t i = 0; i < all.size(); ++i) {
        const auto x =
            source == &formats::bf16 ? formats::unpack_bf16(all[i]) : formats::unpack_fp16(all[i]);
        ASSERT_EQ(code_at(spec, codes, i), formats::encode(spec, x, mode, policy))
            << source->name << " code " << i;
      }
    }
  }
}

TEST_P(EveryFormat, DecodeArrayEqualsDecode) {
  const FormatSpec& spec = *GetParam();
  const std::size_t count = spec.storage_bits == 32 ? inputs().size() : 1U << spec.storage_bits;
  std::vector<std::uint8_t> codes(formats::packed_size(spec, count));
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t code = spec.storage_bits == 32
                                   ? __builtin_bit_cast(std::uint32_t, inputs()[i])
                                   : static_cast<std::uint32_t>(i);
    if (spec.storage_bits == 4) {
      codes[i / 2] = static_cast<std::uint8_t>(codes[i / 2] | code << (4 * (i % 2)));
    } else {
      std::memcpy(&codes[i * spec.storage_bits / 8], &code, spec.storage_bits / 8);
    }
  }
  for (const int threads : {1, 2}) {
    std::vector<float> values(count);
    formats::decode_array(spec, codes, values, threads);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(__builtin_bit_cast(std::uint32_t, values[i]),
                __builtin_bit_cast(std::uint32_t, decode(spec, code_at(spec, codes, i))))
          << "code " << code_at(spec, codes, i);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, testing::ValuesIn(formats::all_formats),
                         [](const auto& info) { return std::string(info.param->name); });

// Every pair of neighbouring codes at each of the four places, bit by bit.
TEST(SixBits, AreADenseStringOfBits) {
  for (std::size_t count = 0; count <= 9; ++count) {
    for (std::uint32_t pair = 0; pair < 1U << 12; ++pair) {
      std::vector<std::uint8_t> codes;
      for (std::size_t i = 0; i < count; ++i) {
        codes.push_back(static_cast<std::uint8_t>(pair >> (6 * (i % 2)) & 0x3F));
      }
      const std::vector<std::uint8_t> bytes = formats::pack_six_bits(codes);
      ASSERT_EQ(bytes.size(), (count * 6 + 7) / 8);
      for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        const std::uint32_t expected = bit < 6 * count ? codes[bit / 6] >> (bit % 6) & 1 : 0;
        ASSERT_EQ(bytes[bit / 8] >> (bit % 8) & 1, expected) << count << ' ' << pair;
      }
      ASSERT_EQ(formats::unpack_six_bits(bytes, count), codes);
    }
  }
  EXPECT_THROW(formats::unpack_six_bits(std::vector<std::uint8_t>(3), 5), std::invalid_argument);
}

TEST(ArrayErrors, SayWhatIsWrong) {
  const std::vector<float> in(4);
  std::vector<std::uint8_t> out(2);
  EXPECT_THROW(encode_array(formats::e4m3, in,
                            {.policy = profile_row(formats::ieee, formats::e4m3).policy}, out),
               std::invalid_argument);
  EXPECT_THROW(encode_array(formats::e2m1, in,
                            {.policy = profile_row(formats::ieee, formats::e4m3).policy}, out),
               std::invalid_argument);
  EXPECT_THROW(encode_array(formats::e2m1, in,
                            {.mode = RoundingMode::stochastic,
                             .policy = profile_row(formats::ieee, formats::e2m1).policy,
                             .random_bits = 17},
                            out),
               std::invalid_argument);
  std::vector<float> values(5);
  EXPECT_THROW(formats::decode_array(formats::e2m1, out, values), std::invalid_argument);
}

}  // namespace
}  // namespace assay
