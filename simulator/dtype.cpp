// SPDX-License-Identifier: Apache-2.0
#include "simulator/dtype.h"

#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace assay::simulator {
namespace {

constexpr DtypeInfo kDtypes[] = {
    {Dtype::f64, "F64", 64, true},        {Dtype::f32, "F32", 32, true},
    {Dtype::f16, "F16", 16, true},        {Dtype::bf16, "BF16", 16, true},
    {Dtype::f8_e4m3, "F8_E4M3", 8, true}, {Dtype::f8_e5m2, "F8_E5M2", 8, true},
    {Dtype::f8_e8m0, "F8_E8M0", 8, true}, {Dtype::f4, "F4", 4, true},
    {Dtype::i64, "I64", 64, false},       {Dtype::i32, "I32", 32, false},
    {Dtype::i16, "I16", 16, false},       {Dtype::i8, "I8", 8, false},
    {Dtype::u64, "U64", 64, false},       {Dtype::u32, "U32", 32, false},
    {Dtype::u16, "U16", 16, false},       {Dtype::u8, "U8", 8, false},
    {Dtype::boolean, "BOOL", 8, false},
};

static_assert(std::endian::native == std::endian::little, "the files are little endian");

template <typename T>
T load(const std::byte* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

/// sign | exponent | mantissa to float; every value of these formats is a float. Exponent all ones
/// is special only if `ieee`.
float minifloat(std::uint32_t code, int exponent_bits, int mantissa_bits, bool ieee) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t mantissa = code & ((1U << mantissa_bits) - 1);
  const std::uint32_t exponent = code >> mantissa_bits & ((1U << exponent_bits) - 1);
  const bool negative = (code >> (exponent_bits + mantissa_bits) & 1) != 0;
  float magnitude = 0;
  if (ieee && exponent == (1U << exponent_bits) - 1) {
    magnitude = mantissa == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  } else {
    const std::uint32_t significand = exponent == 0 ? mantissa : mantissa | 1U << mantissa_bits;
    const int power = (exponent == 0 ? 1 : static_cast<int>(exponent)) - bias - mantissa_bits;
    // Both factors and the product are exact: power >= -24 and significand < 2^11.
    magnitude = static_cast<float>(significand) * std::bit_cast<float>((power + 127U) << 23);
  }
  return negative ? -magnitude : magnitude;
}

float e4m3(std::uint8_t code) {
  if ((code & 0x7F) == 0x7F) return std::numeric_limits<float>::quiet_NaN();
  return minifloat(code, 4, 3, false);
}

float e8m0(std::uint8_t code) {
  if (code == 0xFF) return std::numeric_limits<float>::quiet_NaN();
  return code == 0 ? std::bit_cast<float>(0x00400000U)  // 2^-127, subnormal in float
                   : std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23);
}

void check_range(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
                 std::size_t count) {
  // bytes.size() * 8 cannot wrap: no object is larger than 2^63 bits here, and spans are of
  // mappings.
  const std::size_t available = bytes.size() * 8 / static_cast<std::size_t>(info(dtype).bits);
  if (first > available || count > available - first) {
    throw std::out_of_range("elements " + std::to_string(first) + ".." +
                            std::to_string(first + count) + " of a tensor of " +
                            std::to_string(available) + " elements.");
  }
}

/// Calls f(i, element) with each element as its C++ type; E2M1 and the other small floats as float.
template <typename Out, typename Convert>
void for_each(Dtype dtype, const std::byte* data, std::size_t first, std::span<Out> out,
              Convert convert) {
  const auto loop = [&](auto&& element) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(element(first + i));
  };
  switch (dtype) {
    case Dtype::f64:
      return loop([=](std::size_t i) { return load<double>(data, i); });
    case Dtype::f32:
      return loop([=](std::size_t i) { return load<float>(data, i); });
    case Dtype::f16:
      return loop(
          [=](std::size_t i) { return minifloat(load<std::uint16_t>(data, i), 5, 10, true); });
    case Dtype::bf16:
      return loop([=](std::size_t i) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(data, i)) << 16);
      });
    case Dtype::f8_e4m3:
      return loop([=](std::size_t i) { return e4m3(load<std::uint8_t>(data, i)); });
    case Dtype::f8_e5m2:
      return loop(
          [=](std::size_t i) { return minifloat(load<std::uint8_t>(data, i), 5, 2, true); });
    case Dtype::f8_e8m0:
      return loop([=](std::size_t i) { return e8m0(load<std::uint8_t>(data, i)); });
    case Dtype::f4:
      return loop([=](std::size_t i) {
        const auto pair = load<std::uint8_t>(data, i / 2);
        return minifloat(i % 2 == 0 ? pair & 15U : pair >> 4U, 2, 1, false);
      });
    case Dtype::i64:
      return loop([=](std::size_t i) { return load<std::int64_t>(data, i); });
    case Dtype::i32:
      return loop([=](std::size_t i) { return load<std::int32_t>(data, i); });
    case Dtype::i16:
      return loop([=](std::size_t i) { return load<std::int16_t>(data, i); });
    case Dtype::i8:
      return loop([=](std::size_t i) { return load<std::int8_t>(data, i); });
    case Dtype::u64:
      return loop([=](std::size_t i) { return load<std::uint64_t>(data, i); });
    case Dtype::u32:
      return loop([=](std::size_t i) { return load<std::uint32_t>(data, i); });
    case Dtype::u16:
      return loop([=](std::size_t i) { return load<std::uint16_t>(data, i); });
    case Dtype::u8:
      return loop([=](std::size_t i) { return load<std::uint8_t>(data, i); });
    case Dtype::boolean:
      return loop([=](std::size_t i) -> std::uint8_t { return load<std::uint8_t>(data, i) != 0; });
  }
}

}  // namespace

std::span<const DtypeInfo> dtypes() { return kDtypes; }

const DtypeInfo& info(Dtype dtype) {
  for (const DtypeInfo& row : kDtypes) {
    if (row.dtype == dtype) return row;
  }
  throw std::invalid_argument("no such element type.");
}

const DtypeInfo* find_dtype(std::string_view name) {
  for (const DtypeInfo& row : kDtypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

void to_float(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
              std::span<float> out) {
  check_range(dtype, bytes, first, out.size());
  for_each(dtype, bytes.data(), first, out, [](auto value) { return static_cast<float>(value); });
}

void to_double(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
               std::span<double> out) {
  check_range(dtype, bytes, first, out.size());
  for_each(dtype, bytes.data(), first, out, [](auto value) { return static_cast<double>(value); });
}

void to_int(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
            std::span<std::int64_t> out) {
  if (info(dtype).floating) {
    throw std::invalid_argument("a tensor of " + std::string(info(dtype).name) +
                                " was read as integers.");
  }
  check_range(dtype, bytes, first, out.size());
  for_each(dtype, bytes.data(), first, out, [](auto value) -> std::int64_t {
    if constexpr (std::is_same_v<decltype(value), std::uint64_t>) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        throw std::invalid_argument("the U64 value " + std::to_string(value) + " is beyond int64.");
      }
    }
    return static_cast<std::int64_t>(value);
  });
}

}  // namespace assay::simulator
