// SPDX-License-Identifier: Apache-2.0
// Every code of every narrow element type means what the golden model says.
#include "simulator/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/presets.h"
#include "golden/codec.h"

namespace assay::simulator {
namespace {

/// All codes of a type of `bits` bits, packed as a file holds them.
std::vector<std::byte> all_codes(int bits) {
  const std::size_t count = std::size_t{1} << bits;
  std::vector<std::byte> bytes(count * static_cast<std::size_t>(bits) / 8);
  for (std::size_t code = 0; code < count; ++code) {
    if (bits == 4) {
      bytes[code / 2] |= static_cast<std::byte>(code << (code % 2 == 0 ? 0 : 4));
    } else {
      std::memcpy(&bytes[code * static_cast<std::size_t>(bits) / 8], &code,
                  static_cast<std::size_t>(bits) / 8);
    }
  }
  return bytes;
}

constexpr formats::Policy kExact{formats::Overflow::to_infinity, formats::NanRule::canonical,
                                 formats::UnsignedRule::clamp};

void expect_golden(Dtype dtype, const formats::FormatSpec& spec) {
  const int bits = info(dtype).bits;
  const std::vector<std::byte> bytes = all_codes(bits);
  std::vector<float> values(std::size_t{1} << bits);
  to_float(dtype, bytes, 0, values);
  for (std::uint32_t code = 0; code < values.size(); ++code) {
    const golden::Value want = golden::decode(spec, code);
    if (want.is_nan()) {
      ASSERT_TRUE(std::isnan(values[code])) << info(dtype).name << " code " << code;
      continue;
    }
    // Every other value of these types is a float, so the golden encoding of it is exact.
    const auto word =
        golden::encode(formats::fp32, want, formats::RoundingMode::nearest_even, kExact);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[code]), word)
        << info(dtype).name << " code " << code;
    float single = 0;
    to_float(dtype, bytes, code, std::span(&single, 1));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(single), word) << "read alone, code " << code;
  }
}

TEST(Dtype, F4IsE2m1InEveryCode) { expect_golden(Dtype::f4, formats::e2m1); }
TEST(Dtype, F8E4m3IsE4m3InEveryCode) { expect_golden(Dtype::f8_e4m3, formats::e4m3); }
TEST(Dtype, F8E5m2IsE5m2InEveryCode) { expect_golden(Dtype::f8_e5m2, formats::e5m2); }
TEST(Dtype, F8E8m0IsE8m0InEveryCode) { expect_golden(Dtype::f8_e8m0, formats::e8m0); }
TEST(Dtype, F16IsFp16InEveryCode) { expect_golden(Dtype::f16, formats::fp16); }
TEST(Dtype, Bf16IsBf16InEveryCode) { expect_golden(Dtype::bf16, formats::bf16); }

TEST(Dtype, IntegersOfOneAndTwoBytesAreExactInEveryCode) {
  for (const Dtype dtype : {Dtype::i8, Dtype::u8, Dtype::boolean, Dtype::i16, Dtype::u16}) {
    const int bits = info(dtype).bits;
    const auto bytes = all_codes(bits);
    std::vector<std::int64_t> ints(std::size_t{1} << bits);
    std::vector<float> floats(ints.size());
    to_int(dtype, bytes, 0, ints);
    to_float(dtype, bytes, 0, floats);
    for (std::size_t code = 0; code < ints.size(); ++code) {
      const auto unsigned_value = static_cast<std::int64_t>(code);
      const bool is_signed = dtype == Dtype::i8 || dtype == Dtype::i16;
      std::int64_t want = unsigned_value;
      if (is_signed && unsigned_value >= std::int64_t{1} << (bits - 1)) {
        want -= std::int64_t{1} << bits;
      }
      if (dtype == Dtype::boolean) want = code != 0 ? 1 : 0;
      ASSERT_EQ(ints[code], want) << info(dtype).name << " code " << code;
      ASSERT_EQ(floats[code], static_cast<float>(want)) << info(dtype).name << " code " << code;
    }
  }
}

TEST(Dtype, WideIntegersKeepEveryBit) {
  const std::int64_t extremes[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
  std::int64_t read[5];
  to_int(Dtype::i64, std::as_bytes(std::span(extremes)), 0, read);
  EXPECT_TRUE(std::equal(read, read + 5, extremes));
  const std::uint64_t fits = INT64_MAX;
  to_int(Dtype::u64, std::as_bytes(std::span(&fits, 1)), 0, std::span(read, 1));
  EXPECT_EQ(read[0], INT64_MAX);
  const std::uint64_t beyond = fits + 1;
  EXPECT_THROW(to_int(Dtype::u64, std::as_bytes(std::span(&beyond, 1)), 0, std::span(read, 1)),
               std::invalid_argument);
}

TEST(Dtype, AFloatingTypeIsNotReadAsIntegers) {
  const std::vector<std::byte> bytes(8);
  std::int64_t out = 0;
  for (const DtypeInfo& row : dtypes()) {
    if (!row.floating) continue;
    EXPECT_THROW(to_int(row.dtype, bytes, 0, std::span(&out, 1)), std::invalid_argument)
        << row.name;
  }
}

TEST(Dtype, NoElementOutsideTheBytesIsRead) {
  const std::vector<std::byte> bytes(16);
  for (const DtypeInfo& row : dtypes()) {
    const std::size_t count = 128 / static_cast<std::size_t>(row.bits);
    std::vector<float> out(count + 1);
    EXPECT_NO_THROW(to_float(row.dtype, bytes, 0, std::span(out).first(count))) << row.name;
    EXPECT_THROW(to_float(row.dtype, bytes, 0, out), std::out_of_range) << row.name;
    EXPECT_THROW(to_float(row.dtype, bytes, count, std::span(out).first(1)), std::out_of_range)
        << row.name;
    EXPECT_THROW(to_float(row.dtype, bytes, SIZE_MAX, std::span(out).first(1)), std::out_of_range)
        << row.name;
  }
}

// The names of safetensors say it: a letter for the kind and the number of bits.
TEST(Dtype, EveryRowIsWhatItsNameSays) {
  EXPECT_EQ(dtypes().size(), 17U);
  for (const DtypeInfo& row : dtypes()) {
    const std::string name(row.name);
    const bool boolean = name == "BOOL";
    EXPECT_EQ(row.floating, name.starts_with("F") || name.starts_with("BF")) << name;
    const int bits = boolean ? 8 : std::stoi(name.substr(name.find_first_of("0123456789")));
    EXPECT_EQ(row.bits, bits) << name;
  }
}

TEST(Dtype, NamesAreUniqueAndFound) {
  for (const DtypeInfo& row : dtypes()) EXPECT_EQ(find_dtype(row.name), &info(row.dtype));
  EXPECT_EQ(find_dtype("F128"), nullptr);
}

}  // namespace
}  // namespace assay::simulator
