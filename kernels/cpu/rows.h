// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tensors of a C call, row by row, whatever their strides: what the kernels that take any row
// stride read and write. Rows of a three-dimensional tensor are numbered through.

#include <cstring>
#include <span>
#include <vector>

#include "kernels/abi/operands.h"

namespace assay::kernels::cpu {

inline std::int64_t row_count(const assay_dut_tensor& t) {
  std::int64_t rows = 1;
  for (int i = 0; i + 1 < t.ndim; ++i) rows *= t.shape[i];
  return rows;
}
inline std::int64_t row_length(const assay_dut_tensor& t) { return t.shape[t.ndim - 1]; }

/// The bytes of one row; a row of 4-bit codes ends with the byte of its last code.
inline std::span<std::uint8_t> row_bytes_of(const assay_dut_tensor& t, std::int64_t row) {
  const std::int64_t last = t.ndim > 1 ? t.shape[t.ndim - 2] : 1;
  std::int64_t at = t.ndim > 1 ? row % last * t.strides[t.ndim - 2] : 0;
  if (t.ndim > 2) at += row / last * t.strides[0];
  return {static_cast<std::uint8_t*>(t.data) + at * t.type_bits / 8,
          static_cast<std::size_t>((row_length(t) * t.type_bits + 7) / 8)};
}

/// Whether the elements of a row follow each other, which these kernels need.
inline bool has_unit_rows(const assay_dut_tensor& t) {
  return t.layout != ASSAY_DUT_STRIDED || row_length(t) <= 1 || t.strides[t.ndim - 1] == 1;
}

/// Rows first .. first + count - 1 as a dense array of T.
template <class T>
std::vector<T> gather(const assay_dut_tensor* t, std::int64_t first, std::int64_t count) {
  std::vector<T> out;
  if (t == nullptr || count == 0) return out;
  const std::size_t bytes = row_bytes_of(*t, first).size();
  out.resize(count * bytes / sizeof(T));
  if (bytes == 0) return out;
  for (std::int64_t r = 0; r < count; ++r)
    std::memcpy(reinterpret_cast<std::uint8_t*>(out.data()) + r * bytes,
                row_bytes_of(*t, first + r).data(), bytes);
  return out;
}
template <class T>
std::vector<T> gather(const assay_dut_tensor* t) {
  return gather<T>(t, 0, t == nullptr ? 0 : row_count(*t));
}

/// A dense array to rows first, first + 1, ...
template <class T>
void scatter(const std::vector<T>& from, const assay_dut_tensor& t, std::int64_t first = 0) {
  if (from.empty()) return;
  const std::size_t bytes = row_bytes_of(t, first).size();
  const std::int64_t count = static_cast<std::int64_t>(from.size() * sizeof(T) / bytes);
  for (std::int64_t r = 0; r < count; ++r)
    std::memcpy(row_bytes_of(t, first + r).data(),
                reinterpret_cast<const std::uint8_t*>(from.data()) + r * bytes, bytes);
}

}  // namespace assay::kernels::cpu
