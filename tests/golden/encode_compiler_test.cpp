// SPDX-License-Identifier: Apache-2.0
// encode of the wide formats against independent implementations: the processor's double -> float
// under all four rounding directions, the compiler's binary16, and the integer formula of bfloat16.
#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <random>
#include <vector>

#include "golden/codec.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/spec.h

struct Direction {
  int hardware;
  RoundingMode mode;
};
constexpr Direction directions[] = {{FE_TONEAREST, RoundingMode::nearest_even},
                                    {FE_TOWARDZERO, RoundingMode::toward_zero},
                                    {FE_UPWARD, RoundingMode::toward_positive},
                                    {FE_DOWNWARD, RoundingMode::toward_negative}};

// Doubles around the numbers of a narrower format with `digits` significant bits: on them, halfway
// between them, one double beside that, and anywhere; exponents beyond both ends of the narrower
// range.
std::vector<double> doubles(int digits, int lowest_exponent, int highest_exponent, int count) {
  std::mt19937_64 random(7);
  std::vector<double> xs;
  const auto span = static_cast<std::uint64_t>(highest_exponent - lowest_exponent);
  while (static_cast<int>(xs.size()) < count) {
    const std::uint64_t draw = random();
    const std::uint64_t exponent =
        static_cast<std::uint64_t>(1023 + lowest_exponent) + random() % span;
    std::uint64_t fraction = random() >> 12;
    const int kept = 1 + static_cast<int>(draw % static_cast<std::uint64_t>(digits + 1));
    if ((draw & 0x100) != 0) {  // a short fraction: exact, or a tie at the format's last bit
      fraction &= ~((std::uint64_t{1} << (52 - kept)) - 1);
      if ((draw & 0x200) != 0) fraction ^= 1;
      if ((draw & 0x400) != 0) fraction -= (fraction != 0) ? 1 : 0;
    }
    xs.push_back(std::bit_cast<double>((draw & 0x8000000000000000) | exponent << 52 | fraction));
  }
  for (const double special : {0.0, -0.0, HUGE_VAL, -HUGE_VAL}) xs.push_back(special);
  return xs;
}

std::uint32_t processor_f32(double x) {
  volatile double source = x;  // keeps the conversion where the rounding direction is set
  volatile float result = static_cast<float>(source);
  return std::bit_cast<std::uint32_t>(static_cast<float>(result));
}

TEST(EncodeFp32, AgreesWithTheProcessorInAllFourDirections) {
  for (const Direction& d : directions)
    for (const double x : doubles(24, -155, 132, 60000)) {
      std::fesetround(d.hardware);
      const std::uint32_t want = processor_f32(x);
      std::fesetround(FE_TONEAREST);
      ASSERT_EQ(encode(fp32, value_of(x), d.mode, policy_of(ieee, fp32)), want)
          << std::hexfloat << x;
    }
}

#ifdef __FLT16_MAX__
TEST(EncodeFp16, AgreesWithTheCompilerInAllFourDirections) {
  for (const Direction& d : directions)
    for (const double x : doubles(11, -30, 18, 60000)) {
      std::fesetround(d.hardware);
      volatile double source = x;
      volatile _Float16 result = static_cast<_Float16>(source);
      std::fesetround(FE_TONEAREST);
      const auto want = std::bit_cast<std::uint16_t>(static_cast<_Float16>(result));
      ASSERT_EQ(encode(fp16, value_of(x), d.mode, policy_of(ieee, fp16)), want)
          << std::hexfloat << x;
    }
}
#endif

TEST(DecodeFp32, AgreesWithTheProcessorOnAllExponents) {
  std::mt19937 random(3);
  for (int i = 0; i < 200000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    const Value ours = decode(fp32, bits);
    const float theirs = std::bit_cast<float>(bits);
    ASSERT_EQ(ours.is_nan(), theirs != theirs);
    ASSERT_EQ(ours.negative, bits >> 31 != 0);
    if (!ours.is_nan()) {
      ASSERT_TRUE(ours == value_of(theirs)) << bits;
    }
  }
}

TEST(EncodeBf16, NearestEvenIsTheIntegerFormula) {
  // Adding 0x7FFF plus the last kept bit and dropping 16 bits rounds to nearest even, since the
  // codes of FP32 and bfloat16 are ordered like their magnitudes (common knowledge; not used by
  // golden).
  std::mt19937 random(5);
  for (int i = 0; i < 200000; ++i) {
    auto bits = static_cast<std::uint32_t>(random());
    if (i % 3 == 0) bits = (bits & 0xFFFF0000) | 0x8000;  // a tie
    if ((bits & 0x7F800000) == 0x7F800000) continue;
    const std::uint32_t nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const std::uint32_t odd = bits >> 16 | ((bits & 0xFFFF) != 0 ? 1 : 0);
    const bool overflows = (bits & 0x7FFFFFFF) > 0x7F7F0000;
    const Value x = decode(fp32, bits);
    const Policy policy = policy_of(ieee, bf16);
    ASSERT_EQ(encode(bf16, x, RoundingMode::nearest_even, policy), nearest) << bits;
    ASSERT_EQ(encode(bf16, x, RoundingMode::toward_zero, policy), bits >> 16) << bits;
    if (!overflows) {
      ASSERT_EQ(encode(bf16, x, RoundingMode::to_odd, policy), odd) << bits;
    }
  }
}

TEST(RoundTrip, EveryCodeOfEveryFormatUpTo16BitsEncodesToItself) {
  for (const FormatSpec* spec : all_formats) {
    if (spec->storage_bits > 16) continue;
    for (std::uint32_t code = 0; code <= code_mask(*spec); ++code) {
      const Value v = decode(*spec, code);
      if (v.is_nan()) continue;
      if (spec == &int4 && code == 8) continue;  // -8, which no number becomes: below
      for (const Profile* profile : {&saturating, &ieee}) {
        const Policy policy = policy_of(*profile, *spec);
        if (v.is_infinite() && policy.overflow != Overflow::to_infinity) continue;
        ASSERT_EQ(encode(*spec, v, RoundingMode::nearest_even, policy), code) << spec->name;
      }
    }
  }
}

TEST(Int4, TheSixteenCodesAreTheNumbersOfTwosComplement) {
  for (int n = -8; n <= 7; ++n) {
    const auto code = static_cast<std::uint32_t>(n) & 0xF;
    EXPECT_TRUE(decode(int4, code) == Value::finite(n)) << n;
    EXPECT_FALSE(decode(int4, code).is_zero() && decode(int4, code).negative);
  }
  const Policy policy = policy_of(saturating, int4);
  for (const int n : {-8, -9, -1000})
    EXPECT_EQ(encode(int4, Value::finite(n), RoundingMode::toward_negative, policy), 0x9U);
}

}  // namespace
}  // namespace assay::golden
