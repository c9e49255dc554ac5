// SPDX-License-Identifier: Apache-2.0
#pragma once
// The element types that safetensors files hold, as data, and their values as float.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace assay::simulator {

enum class Dtype : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f4,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean
};

/// `name` is the one in a safetensors header ("BF16"). Elements narrower than a byte are packed,
/// the even index in the low nibble.
struct DtypeInfo {
  Dtype dtype;
  std::string_view name;
  int bits;
  bool floating;
};

std::span<const DtypeInfo> dtypes();
const DtypeInfo& info(Dtype dtype);
/// nullptr if no type has this name.
const DtypeInfo* find_dtype(std::string_view name);

/// Elements [first, first + out.size()) of `bytes` as float. Exact for every type of at most 24
/// significant bits; f64 and wide integers round to nearest even. F4 is E2M1, F8_E4M3 is the "fn"
/// variant (S.1111.111 is NaN), F8_E5M2 is IEEE-like, F8_E8M0 is 2^(code - 127) with 0xFF = NaN.
/// Throws std::out_of_range if the elements are not all inside `bytes`.
void to_float(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
              std::span<float> out);

/// The same as double: exact for every type but wide integers.
void to_double(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
               std::span<double> out);

/// The same for integer types (and BOOL), as int64. Throws std::invalid_argument for floating types
/// and for a U64 value beyond int64.
void to_int(Dtype dtype, std::span<const std::byte> bytes, std::size_t first,
            std::span<std::int64_t> out);

}  // namespace assay::simulator
