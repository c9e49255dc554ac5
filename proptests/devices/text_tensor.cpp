// SPDX-License-Identifier: Apache-2.0
#include "proptests/devices/text_tensor.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <stdexcept>

namespace assay::proptests {
namespace {

constexpr std::array roles{"x",      "q",     "qt",      "a",      "b",     "c",  "bias",
                           "d",      "w",     "given",   "y",      "dy",    "dx", "dw",
                           "dscale", "dbias", "offsets", "counts", "random"};
constexpr std::array parts{"values", "scales", "tensor_scale"};

struct TypeName {
  std::uint8_t code, bits;
  const char* name;
};
constexpr std::array types{
    TypeName{ASSAY_DUT_FLOAT, 32, "fp32"},        TypeName{ASSAY_DUT_FLOAT, 16, "fp16"},
    TypeName{ASSAY_DUT_BFLOAT, 16, "bf16"},       TypeName{ASSAY_DUT_FLOAT8_E4M3FN, 8, "e4m3"},
    TypeName{ASSAY_DUT_FLOAT8_E5M2, 8, "e5m2"},   TypeName{ASSAY_DUT_FLOAT8_E8M0FNU, 8, "e8m0"},
    TypeName{ASSAY_DUT_FLOAT4_E2M1FN, 4, "e2m1"}, TypeName{ASSAY_DUT_INT, 64, "i64"},
    TypeName{ASSAY_DUT_UINT, 32, "u32"}};

}  // namespace

std::string tensor_name(const assay_dut_tensor& t) {
  return fmt::format("{} {}", roles.at(t.role - 1), parts.at(t.part));
}

std::string type_name(const assay_dut_tensor& t) {
  for (const TypeName& row : types)
    if (row.code == t.type_code && row.bits == t.type_bits) return row.name;
  throw std::invalid_argument(
      fmt::format("DLPack type {} of {} bits has no name in text", t.type_code, t.type_bits));
}

std::string tensor_shape(const assay_dut_tensor& t) {
  std::string text = type_name(t);
  if (t.layout != ASSAY_DUT_STRIDED) return fmt::format("{} 1 {}", text, t.bytes);
  text += fmt::format(" {}", t.ndim);
  for (int i = 0; i < t.ndim; ++i) text += fmt::format(" {}", t.shape[i]);
  return text;
}

Rows rows_of(const assay_dut_tensor& t) {
  if (t.layout != ASSAY_DUT_STRIDED) return {1, static_cast<std::int64_t>(t.bytes), 8};
  Rows rows{1, t.shape[t.ndim - 1], t.type_bits};
  for (int i = 0; i + 1 < t.ndim; ++i) rows.count *= t.shape[i];
  return rows;
}

std::uint64_t element(const std::uint8_t* row, std::int64_t i, int bits) {
  if (bits == 4) return row[i / 2] >> (i % 2 * 4) & 0xFU;
  std::uint64_t value = 0;
  std::memcpy(&value, row + i * (bits / 8), static_cast<std::size_t>(bits / 8));
  return value;
}

void set_element(std::uint8_t* row, std::int64_t i, int bits, std::uint64_t value) {
  if (bits == 4)
    row[i / 2] = static_cast<std::uint8_t>(row[i / 2] | value << (i % 2 * 4));
  else
    std::memcpy(row + i * (bits / 8), &value, static_cast<std::size_t>(bits / 8));
}

}  // namespace assay::proptests
