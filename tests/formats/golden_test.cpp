// SPDX-License-Identifier: Apache-2.0
// The codec against golden::encode and golden::decode: every BF16 and FP16 input, every mode; FP64
// inputs around every decision point; the policies; stochastic rounding.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "codec_cases.h"
#include "formats/array.h"
#include "golden/codec.h"

namespace assay {
namespace {

using formats::FormatSpec;
using formats::RoundingMode;

class AgainstGolden : public testing::TestWithParam<const FormatSpec*> {
 protected:
  const FormatSpec& spec = *GetParam();
};

TEST_P(AgainstGolden, PolicesTheSamePolicies) {
  using formats::Overflow;
  using formats::UnsignedRule;
  for (const auto overflow : {Overflow::saturate, Overflow::to_infinity, Overflow::to_nan}) {
    for (const auto nan : tests::nan_rules) {
      for (const auto rule : {UnsignedRule::clamp, UnsignedRule::nan, UnsignedRule::absolute}) {
        EXPECT_EQ(formats::expressible(spec, {overflow, nan, rule}),
                  golden::expressible(spec, {overflow, nan, rule}));
      }
    }
  }
}

TEST_P(AgainstGolden, EveryCodeDecodesToTheSameValue) {
  const std::uint64_t codes = spec.storage_bits == 32 ? 0 : std::uint64_t{1} << spec.storage_bits;
  for (std::uint32_t code = 0; code < codes; ++code) {
    const golden::Value exact = golden::decode(spec, code);
    const float value = formats::decode(spec, code);
    if (exact.is_nan()) {
      ASSERT_TRUE(std::isnan(value)) << code;
      ASSERT_EQ(std::signbit(value), exact.negative) << code;
    } else {
      ASSERT_TRUE(golden::value_of(value) == exact) << code;
    }
  }
}

TEST_P(AgainstGolden, EverySixteenBitInputInEveryMode) {
  std::vector<std::uint16_t> all(1 << 16);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const FormatSpec* source : {&formats::bf16, &formats::fp16}) {
    std::vector<golden::Value> values;
    for (const std::uint16_t code : all) values.push_back(golden::decode(*source, code));
    for (const auto* profile : {&formats::ieee, &formats::cuda13}) {
      const auto policy = formats::profile_row(*profile, spec).policy;
      for (const auto mode : tests::deterministic_modes) {
        std::vector<std::uint8_t> packed(formats::packed_size(spec, all.size()));
        formats::encode_array(spec, *source, all, {.mode = mode, .policy = policy}, packed);
        for (std::size_t i = 0; i < all.size(); ++i) {
          const std::uint32_t expected = golden::encode(spec, values[i], mode, policy);
          ASSERT_EQ(tests::code_at(spec, packed, i), expected)
              << source->name << " code " << i << ' ' << name_of(mode) << ' ' << profile->name;
        }
      }
    }
  }
}

// FP64 has 29 more bits than FP32: the neighbours of every decision point that FP32 cannot see.
TEST_P(AgainstGolden, Fp64InputsAroundEveryDecisionPoint) {
  const auto fields = formats::fields_of(spec);
  const std::uint32_t step = spec.storage_bits >= 16 ? fields.max_finite() / 997 : 1;
  std::vector<double> in;
  for (std::uint64_t code = 0; code <= fields.max_finite(); code += step) {
    const auto c = static_cast<std::uint32_t>(code);
    const double low = formats::decode(spec, c);
    const double high = c < fields.max_finite() ? double{formats::decode(spec, c + 1)} : 2 * low;
    for (const double at : {low, (low + high) / 2, high}) {
      for (const double x : {at, std::nextafter(at, 0), std::nextafter(at, 1e308)}) {
        in.push_back(x);
        in.push_back(-x);
      }
    }
  }
  const double nan = std::nan("");
  for (const double x : {0.0, 5e-324, 1e-310, 1e300, double{INFINITY}, nan}) {
    in.push_back(x);
    in.push_back(-x);
  }
  for (const auto* profile : formats::all_profiles) {
    const auto* row = formats::profile_row_if_any(*profile, spec);
    if (row == nullptr) continue;
    const auto policy = policy_for_f64(*row);
    for (const auto mode : tests::deterministic_modes) {
      std::vector<std::uint8_t> packed(formats::packed_size(spec, in.size()));
      formats::encode_array(spec, std::span<const double>(in), {.mode = mode, .policy = policy},
                            packed);
      for (std::size_t i = 0; i < in.size(); ++i) {
        ASSERT_EQ(tests::code_at(spec, packed, i),
                  golden::encode(spec, golden::value_of(in[i]), mode, policy))
            << in[i] << ' ' << name_of(mode) << ' ' << profile->name;
      }
    }
  }
}

TEST_P(AgainstGolden, StochasticOnCornerInputsWithEveryWordOfFourBits) {
  const auto policy = profile_row(formats::ieee, spec).policy;
  const std::vector<float> in = tests::corner_inputs(1);
  for (const float x : in) {
    const golden::Value exact = golden::value_of(x);
    for (std::uint32_t word = 0; word < 16; ++word) {
      ASSERT_EQ(formats::encode(spec, x, RoundingMode::stochastic, policy, {4, word}),
                golden::encode(spec, exact, RoundingMode::stochastic, policy, {4, word}))
          << x << " word " << word;
    }
    ASSERT_EQ(formats::encode(spec, double{x}, RoundingMode::stochastic, policy, {16, 0x7FFF}),
              golden::encode(spec, exact, RoundingMode::stochastic, policy, {16, 0x7FFF}))
        << x;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, AgainstGolden, testing::ValuesIn(formats::all_formats),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace assay
